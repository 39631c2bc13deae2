"""What fine-tuning cost of general ability: the same small set asked of base and adapter through lm-eval (forgetting).

The set, `general_ability/`, is our own: facts, sums and sentences that a small model mostly gets right, so that a loss shows. It is an
ordinary lm-eval task; options are ranked by log-likelihood, nothing is generated.
"""

from pathlib import Path

import yaml

from slm_pipeline.intervals import paired_interval
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.lm_eval_task import HuggingFaceForm, run_lm_eval
from slm_pipeline.settings import Settings

TASK = "general_ability"
FOLDER = Path(__file__).parent / TASK
BATCH = 64


def set_digest() -> str:
    """Changes when the set does."""
    return digest(*(path.read_bytes() for path in sorted(FOLDER.iterdir())))


def general_ability(base: HuggingFaceForm, adapted: HuggingFaceForm, settings: Settings) -> Json:
    """{"n", "base", "adapter": shares of items answered rightly, "change": their paired difference with its interval, "lost": ids}.

    `general_items` bounds the items, taken in the set's order. `lost` are the items that only the base answers rightly.
    """
    before, after = (_answered(model, settings.general_items) for model in (base, adapted))
    right, left = list(before.values()), list(after.values())
    change = paired_interval(left, right, list(before), settings.bootstrap_samples, settings.seed)
    lost = [item for item in before if before[item] > after[item]]
    return {"n": len(before), "base": sum(right) / len(right), "adapter": sum(left) / len(left), "change": change.json(), "lost": lost}


def _answered(model: HuggingFaceForm, items: int) -> dict[str, float]:
    """1.0 or 0.0 by item, in the set's order."""
    config = yaml.safe_load((FOLDER / f"{TASK}.yaml").read_text())
    samples = run_lm_eval(config, FOLDER / "items.jsonl", *model, items, BATCH)["samples"][TASK]
    return {sample["doc"]["id"]: sample["acc"] for sample in sorted(samples, key=lambda sample: sample["doc_id"])}
