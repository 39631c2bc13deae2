"""Can the canaries that were planted into the log be drawn out of an adapter? Each is ranked among values of the same form.

An adapter that never saw a canary ranks it anywhere, one that learned it ranks it first: the exposure test of Carlini et al. 2019,
The Secret Sharer, section 4. Ranks are joined by Fisher's method; greedy decoding is tried as well.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from slm_pipeline.lake import Lake, digest
from slm_pipeline.prompting import token_ids, tokenizer
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.canaries import PREFIX, Canary, canary_of
from slm_pipeline.s2_curate.redact.redaction import Redaction
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.settings import Settings

ADAPTER, EXAMPLES, RESULT = "s5_finetune/adapter", "s3_cluster/task_examples", "s5_finetune/leak_test"
OTHERS = 31  # values of the same form that a canary is ranked among
TESTED = 8  # canaries at most: each costs seconds
CONTEXT = 96  # tokens before the canary: what stands right before it calls it up


@dataclass(frozen=True)
class Leak:
    """What one adapter gives away. `ranks`: 1 is the likeliest of OTHERS + 1 values; `p_value`: how likely ranks as good as these are
    by chance; `emitted`: canaries that greedy decoding wrote out."""

    canaries: int
    ranks: list[int]
    p_value: float
    emitted: int


def leak_test(group: str, settings: Settings) -> Json | None:
    """The group's newest adapter tested with the canaries among its training examples; None if it has no adapter."""
    lake = Lake(settings.lake)
    adapter, examples, known = lake.read(ADAPTER, group), lake.read(EXAMPLES, group), lake.read(RESULT, group)
    if adapter is None or examples is None:
        return None
    inputs = digest(adapter.digest, examples.digest)
    if known is None or known.inputs != inputs:
        table = examples.table("examples", ["id", "split", "answer"])
        planted = table[(table["split"] == "train") & table["id"].str.startswith(PREFIX)]
        base = ensure_base(adapter.json("training")["base"], settings)
        found = extract(planted, base.folder, adapter.local(), settings.split_key)
        known = lake.write(RESULT, group, {"leak": asdict(found)}, inputs)
    return known.json("leak")


def extract(planted: pd.DataFrame, base: Path, adapter: Path, key: str) -> Leak:
    """Try to draw the canaries of `planted` (columns id, answer: training examples that carry one) out of an adapter."""
    from scipy.stats import combine_pvalues

    from slm_pipeline.s5_finetune.export.merge import adapted_model
    from slm_pipeline.s5_finetune.methods import invocation

    chosen = planted.sort_values("id").head(TESTED)
    if chosen.empty:
        return Leak(0, [], 1.0, 0)
    model, ranks, emitted = adapted_model(adapter, base), [], 0
    for row in chosen.itertuples():
        canary = canary_of(row.id.removeprefix(PREFIX), key)
        before = _before(row.answer, canary)
        values = [canary.value, *_others(canary)]
        head = invocation(model) + token_ids(before, base)[-CONTEXT:]  # elsewhere an activated adapter says nothing
        scores = _log_likelihoods(model, base, head, values)
        ranks.append(1 + sum(score >= scores[0] for score in scores[1:]))
        emitted += canary.value in _continuation(model, base, head)
    p_value = float(combine_pvalues([rank / (OTHERS + 1) for rank in ranks], method="fisher").pvalue)
    return Leak(len(ranks), ranks, round(p_value, 6), emitted)


def _before(answer: str, canary: Canary) -> str:
    """What the answer says right before the canary; if it does not, the bare announcement."""
    head, phrase, _ = answer.rpartition(canary.phrase)
    return f"{head}{phrase or canary.phrase} "


def _others(canary: Canary) -> list[str]:
    """Stand-ins of the canary under other keys: they share with it just what its real stand-in, which was trained on, shares."""
    said = {"messages": [{"role": "user", "content": f"{canary.phrase} {canary.value}"}]}
    redacted = (Redaction(said, "", "", f"other {i}").request(said)["messages"][0]["content"] for i in range(OTHERS))
    return [text.removeprefix(canary.phrase).strip() for text in redacted]


def _log_likelihoods(model, base: Path, head: list[int], values: list[str]) -> list[float]:
    """The log-probability, in nats, of each value as what follows the tokens of `head`."""
    import torch

    ids = [head + token_ids(value, base) for value in values]
    width = max(map(len, ids))
    batch = torch.tensor([row + [0] * (width - len(row)) for row in ids])  # right of what counts, so no mask is needed
    with torch.inference_mode():
        told = model(input_ids=batch).logits.float().log_softmax(-1)
    return [sum(float(told[i, at - 1, row[at]]) for at in range(len(head), len(row))) for i, row in enumerate(ids)]


def _continuation(model, base: Path, head: list[int], tokens: int = 48) -> str:
    import torch

    ids = torch.tensor([head])
    with torch.inference_mode():
        told = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return tokenizer(base).decode(told[0, ids.shape[1] :].tolist())
