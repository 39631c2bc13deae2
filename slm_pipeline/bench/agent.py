"""`slm bench agent`: an agent's next step in tasks that the SLM has not seen, against the untuned base and the majority."""

import re
from pathlib import Path

import pandas as pd

from slm_pipeline.answers import parse_answer
from slm_pipeline.bench._cross_validation import FOLDS, Fold, ask_trained, count, folds, kept_answers
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.intervals import mean_interval, paired_interval
from slm_pipeline.lake import Artefact
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion
from slm_pipeline.s5_finetune.configuration import COLUMN, Form
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
TRIAL = re.compile(r"[-_.]?(trial|attempt|run)[-_.]?\d+$", re.IGNORECASE)
REPLY = "reply"
FORMS: tuple[Form, ...] = ("full", "factored")
SCORES = {"next": "next", "call": "call", "reply": "similarity"}
"""By key: the name of the next tool, a reply to the user counting as one; the whole call, where one is due; the similarity of a reply."""


def measure(settings: Settings, data: Path | None) -> Json:
    """Shares right of adapter, base at its best and majority on unseen tasks, with paired differences; all resample sessions.

    `data`: a file or folder of an agent's calls. Sessions whose ids differ in a trial's number ("task7-trial0") are one task. Tasks are
    parted in folds: every call is asked of an adapter that was trained on other tasks, of the base, which is shown examples of other
    tasks, and the majority is that of other tasks. Prompts keep their last `max_prompt_tokens`, the base's their last
    `base_prompt_tokens`. What was answered is kept in `<home>/bench`, so that a measurement that was stopped goes on. Says on standard
    error how far it is.
    """
    if data is None:
        raise ValueError("`slm bench agent` needs --data: a file or folder of an agent's calls")
    from slm_pipeline.bench._traffic import collected

    with temporary_home(settings) as fresh:
        lake = collected(fresh, data)
        groups = [lake.read(EXAMPLES, group) for group in lake.partitions(EXAMPLES)]
        predictions = pd.concat([_predictions(found, fresh, settings.home / "bench") for found in groups])
    return _figures(predictions, settings) | {"seed": settings.seed, "folds": FOLDS}


def task_of(session: str) -> str:
    """What a session is a trial of."""
    return TRIAL.sub("", session)


def _predictions(found: Artefact, settings: Settings, kept: Path) -> pd.DataFrame:
    """One row for each system and call, with the call's form and whether the next tool is right."""
    from slm_pipeline.bench._traffic import all_rows, recorded
    from slm_pipeline.s6_refine.evaluation import better_form, score_answers

    (rows, worth), tasks = all_rows(found), found.json("tasks")
    said: dict[str, dict[str, Completion]] = {"adapter": {}, **{form: {} for form in FORMS}}
    usual: dict[str, str] = {}
    for fold in folds(rows, rows["session_id"].map(task_of), worth, settings.seed):
        answers = {"adapter": ask_trained("adapter", fold, tasks, settings, kept)}
        answers |= {form: _ask_base(form, fold, tasks, settings, kept) for form in FORMS}
        for system, completions in answers.items():
            said[system] |= dict(zip(fold.asked["id"], completions, strict=True))
        usual |= dict.fromkeys(fold.asked["id"], _due(fold.learned).mode()[0])
    asked = recorded(rows).reset_index(drop=True)

    def scored(system: str, form: Form, of: str) -> pd.DataFrame:
        return score_answers(system, form, asked, [said[of][id_] for id_ in asked["id"]], tasks)

    forms = {form: scored("base", form, form) for form in FORMS}
    systems = {"adapter": scored("adapter", "factored", "adapter"), "base": forms[better_form(forms, "call")]}
    named = {name: of["answer"].map(_next) for name, of in systems.items()} | {"majority": asked["id"].map(usual)}
    systems["majority"] = systems["base"].assign(system="majority", call=float("nan"), similarity=float("nan"))
    due = _due(asked)
    return pd.concat(of.assign(next=(named[name] == due).astype(float), form=asked["form"]) for name, of in systems.items())


def _ask_base(form: Form, fold: Fold, tasks: Json, settings: Settings, kept: Path) -> list[Completion]:
    """What the untuned base, shown examples of what is trained on, answers to the fold's calls."""
    from slm_pipeline.inference import ask_base, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base

    base, shown = ensure_base(settings.base_models[0], settings), fold.learned[fold.learned["split"] == "train"]
    read = ["id", COLUMN[form], "answer"]
    inputs = [base.name, form, settings.few_shot, settings.seed, *(rows[read].to_dict("list") for rows in (shown, fold.asked))]
    done = count(f"base, {form} prompts, {fold.name}", len(fold.asked))
    return kept_answers(kept, inputs, settings, lambda: ask_base(fold.asked, shown, task_schemas(tasks), base, form, settings, done))


def _due(rows: pd.DataFrame) -> pd.Series:
    """The tool that each row's answer calls next."""
    return rows["answer"].where(rows["form"] == "tool_call", "").map(_next)


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
