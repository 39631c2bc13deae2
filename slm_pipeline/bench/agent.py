"""`slm bench agent`: an agent's next step in tasks that the SLM has not seen, against the untuned base and the majority."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from slm_pipeline.answers import parse_answer
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.intervals import mean_interval, paired_interval
from slm_pipeline.lake import Artefact, digest
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
TRIAL = re.compile(r"[-_.]?(trial|attempt|run)[-_.]?\d+$", re.IGNORECASE)
REPLY = "reply"
SCORES = {"next": "next", "call": "call", "reply": "similarity"}
"""By key: the name of the next tool, a reply to the user counting as one; the whole call, where one is due; the similarity of a reply."""


def measure(settings: Settings, data: Path | None) -> Json:
    """Shares right of adapter, base at its best and majority on unseen tasks, with paired differences; all resample sessions.

    `data`: a file or folder of an agent's calls. Sessions whose ids differ in a trial's number ("task7-trial0") are one task and stay on
    one side: a fifth of the tasks is the test, a tenth of the others validation. Prompts keep their last `max_prompt_tokens`, the base's
    their last `base_prompt_tokens`. Says on standard error how far it is.
    """
    if data is None:
        raise ValueError("`slm bench agent` needs --data: a file or folder of an agent's calls")
    from slm_pipeline.bench._traffic import collected

    with temporary_home(settings) as fresh:
        lake = collected(fresh, data)
        predictions = pd.concat([_predictions(lake.read(EXAMPLES, group), fresh) for group in lake.partitions(EXAMPLES)])
    return _figures(predictions, settings) | {"seed": settings.seed}


def task_of(session: str) -> str:
    """What a session is a trial of."""
    return TRIAL.sub("", session)


def split_by_task(rows: pd.DataFrame, seed: int) -> pd.Series:
    """train, validation or test for every row: the same for all trials of a task."""
    tasks = sorted({task_of(session) for session in rows["session_id"]}, key=lambda task: digest(seed, task))
    others = {task: "validation" if i % 10 == 1 else "test" if i % 5 == 0 else "train" for i, task in enumerate(tasks)}
    return rows["session_id"].map(lambda session: others[task_of(session)])


def _predictions(found: Artefact, settings: Settings) -> pd.DataFrame:
    from slm_pipeline.bench._traffic import all_rows, recorded
    from slm_pipeline.inference import Adapter, ask_adapter, ask_base, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.dataset import build_dataset
    from slm_pipeline.s5_finetune.fit import fit
    from slm_pipeline.s6_refine.evaluation import better_form, score_answers

    (rows, worth), tasks = all_rows(found), found.json("tasks")
    rows = rows.assign(split=split_by_task(rows, settings.seed))
    training = rows[(rows["split"] != "test") & rows["id"].isin(worth)]
    test = recorded(rows[rows["split"] == "test"]).reset_index(drop=True)
    base, schemas = ensure_base(settings.base_models[0], settings), task_schemas(tasks)
    with TemporaryDirectory() as folder:
        dataset = build_dataset(training, base.folder, settings)
        fit(base, dataset, default_configuration(settings), settings, Path(folder), on_step=_steps)
        said = ask_adapter(test, schemas, base, Adapter(Path(folder)), settings, _count("adapter", len(test)))
    scored = {"adapter": score_answers("adapter", "factored", test, said, tasks)}
    seen = training[training["split"] == "train"]
    forms = {
        form: score_answers("base", form, test, ask_base(test, seen, schemas, base, form, settings, _count(form, len(test))), tasks)
        for form in ("full", "factored")
    }
    scored["base"] = forms[better_form(forms, "call")]
    due = test["answer"].where(test["form"] == "tool_call", "").map(_next)
    usual = seen["answer"].where(seen["form"] == "tool_call", "").map(_next).mode()[0]
    named = {name: of["answer"].map(_next) for name, of in scored.items()} | {"majority": pd.Series(usual, index=test.index)}
    scored["majority"] = scored["base"].assign(system="majority", call=float("nan"), similarity=float("nan"))
    return pd.concat(of.assign(next=(named[name] == due).astype(float), form=test["form"]) for name, of in scored.items())


def _next(answer: str | None) -> str:
    """The first tool that an answer calls."""
    calls = parse_answer(answer or "").tool_calls
    return calls[0].name if calls else REPLY


def _figures(predictions: pd.DataFrame, settings: Settings) -> Json:
    samples, seed = settings.bootstrap_samples, settings.seed
    by_system = {name: of.sort_values("id", ignore_index=True) for name, of in predictions.groupby("system")}
    adapter = by_system["adapter"]
    figures: Json = {"n": len(adapter), "sessions": int(adapter["session_id"].nunique())}
    figures |= {"calls": int((adapter["form"] == "tool_call").sum())}
    for key, column in SCORES.items():
        asked = adapter["form"].isin({"call": ["tool_call"], "reply": ["text"]}.get(key, ["tool_call", "text"]))
        sessions = adapter.loc[asked, "session_id"].tolist()
        for name, of in by_system.items():
            values = of.loc[asked, column].tolist()
            if name != "majority" or key == "next":
                figures |= _named(f"{key}_{name}", mean_interval(values, sessions, samples, seed))
            if name != "adapter" and (name != "majority" or key == "next"):
                gain = paired_interval(adapter.loc[asked, column].tolist(), values, sessions, samples, seed)
                figures |= _named(f"{key}_gain_over_{name}", gain)
    return figures


def _named(key: str, interval) -> Json:
    return {key: interval.mean, f"{key}_low": interval.low, f"{key}_high": interval.high}


def _steps(step: int, steps: int, loss: float) -> None:
    if step % 20 == 0:
        print(f"step {step} of at most {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)


def _count(what: str, of: int) -> Callable[[], None]:
    done = iter(range(1, of + 1))

    def say() -> None:
        if (n := next(done)) % 20 == 0:
            print(f"{what}: {n} of {of} test calls", file=sys.stderr, flush=True)

    return say
