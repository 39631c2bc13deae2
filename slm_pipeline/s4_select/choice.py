"""The bases of a group compared by short fine-tunes, each one a run in MLflow."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s4_select.candidates import costs
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.halving import RungResult, behind_best, cheapest_passing, explain_choice, successive_halving, trial_rows
from slm_pipeline.settings import Settings

KIND = "selected_base"


def choose(group: str, names: list[str], examples: pd.DataFrame, tasks: Json, settings: Settings, say: Callable[[str], None]) -> Json:
    """Compare the bases `names` by short fine-tunes: `base` (the name chosen), `why`, and `trials` (`halving.trial_rows`).

    `examples` are all of the group; they need training and validation examples. One epoch on at most `trial_examples`; loss and
    score are taken on the same validation calls, at most `trial_calls`. `say` is told of every fine-tune.
    """
    from slm_pipeline.resources import search_runs, tracking
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.trial import drawn, fine_tune_briefly, whole_sessions

    training = examples[examples["split"] == "train"]
    asked = drawn(examples[examples["split"] == "validation"], settings.trial_calls, settings.seed)
    price = costs({name: entry(name, settings) for name in names}, examples, settings)
    configuration = replace(default_configuration(settings), epochs=1)
    params = {"candidates": len(names), "trial_examples": settings.trial_examples, "trial_calls": len(asked)}
    with search_runs.search_run(settings, group, KIND, "choice of base", params) as parent:

        def try_out(name: str, rung: int, budget: int, last: bool) -> RungResult:
            base, subset = ensure_base(name, settings), whole_sessions(training, budget, settings.seed)
            named = {"base": name, "rung": rung, "examples": len(subset)}
            with search_runs.search_run(settings, group, KIND, f"{name}, rung {rung}", named, parent) as run:
                began = monotonic()
                seen = pd.concat([subset, asked])
                tried = fine_tune_briefly(group, base, seen, asked if last else asked.head(0), tasks, configuration, settings)
                result = RungResult(name, rung, tried.examples, tried.nats_per_byte, tuple(tried.scores))
                figures = {"nats_per_byte": result.nats_per_byte, "best_val_loss": tried.loss, "seconds": monotonic() - began}
                scored = {"score": sum(tried.scores) / len(tried.scores)} if last else {}
                tracking.log_scores(settings, run, figures | scored)
            say(f"{name}, rung {rung}: {tried.examples} examples, {result.nats_per_byte:.3f} nats per byte of the answers")
            return result

        results = successive_halving(price, settings.trial_examples, try_out)
        rows = trial_rows(results, asked["session_id"], price, settings)
        finalists = [result for result in results if result.scores]
        chosen = cheapest_passing(behind_best(finalists, asked["session_id"], settings), price)
        search_runs.mark(settings, parent, chosen=chosen)
    return {"base": chosen, "why": explain_choice(rows, chosen), "trials": rows}
