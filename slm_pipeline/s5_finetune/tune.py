"""`slm tune`: a better training configuration for a group, looked for within a time budget, by validation loss.

Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) proposes, its median rule (Golovin et al. 2017) ends trials that fall
behind. The first trial is today's configuration, so what is kept is never worse. All forms of prompt have the same answers, so their
losses compare. The study is a file in <home>/tune: a later search of the same examples goes on with it.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from time import monotonic

import optuna
from optuna.trial import FrozenTrial, TrialState

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources import search_runs, tracking
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.licences import teachers_of, training_allowed
from slm_pipeline.s5_finetune.attempt import FINGERPRINT
from slm_pipeline.s5_finetune.configuration import CONFIGURATION, Configuration, Form, configuration_of, default_configuration
from slm_pipeline.s5_finetune.dataset import Dataset
from slm_pipeline.s5_finetune.fit import trained
from slm_pipeline.s5_finetune.trial import dataset_of
from slm_pipeline.settings import Settings

KIND = "tune"
EXAMPLES, SELECTED = "s3_cluster/task_examples", "s4_select/selected_base"
SEARCHED = ("rank", "upper_layers", "learning_rate", "epochs", "prompt")
UNITS = {"s": 1, "m": 60, "h": 3600}
SPACE = 1  # raise it when `_proposed` searches elsewhere: old studies are left
UNPRUNED = 4  # trials before the median says anything


class BudgetError(ValueError):
    """A budget that cannot be read."""


class NothingToTune(LookupError):
    """There is no such group, or nothing that it may be trained on."""


def parse_budget(text: str) -> float:
    """Seconds of "90s", "15m", "1h" or "1h30m". Raises BudgetError."""
    if not re.fullmatch(r"(\d+[smh])+", text):
        raise BudgetError(f"{text!r} is no budget: say 90s, 15m, 1h or 1h30m.")
    seconds = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", text))
    if not seconds:
        raise BudgetError("A budget of no time finds nothing: say 90s, 15m or 1h.")
    return seconds


def tune(group: str, settings: Settings, budget: float, on_trial: Callable[[Json], None]) -> Json:
    """Search for `budget` seconds, or until Ctrl-C; keep the best configuration for the group if it is not the default.

    Returns `group`, `base`, `today` and `best` (trial rows; None if no trial of theirs ended), `kept` (whether `best` was kept), `charts`
    (MLflow's page that compares them) and `trials`, all of the study: trial, state, val_loss (nats per answer token), seconds, and what
    SEARCHED names. `on_trial` is told each row of this search. Raises NothingToTune.
    """
    base, examples = _given(group, settings)
    lake, today = Lake(settings.lake), configuration_of(group, settings)
    study = _study(group, base, examples, today, settings)
    for configuration in dict.fromkeys([today, default_configuration(settings)]):
        _enqueue(study, configuration)
    params = {"base": base.name, "budget_seconds": round(budget)}
    with search_runs.search_run(settings, group, KIND, KIND, params) as parent:
        objective = _objective(group, base, examples, today, settings, monotonic() + budget, parent)
        with suppress(KeyboardInterrupt):  # what was found until then is kept
            study.optimize(objective, timeout=budget, callbacks=[lambda _, trial: on_trial(_row(trial))])
        rows = [_row(trial) for trial in study.get_trials(deepcopy=False) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        best = min((row for row in rows if row["state"] == "complete"), key=lambda row: row["val_loss"], default=None)
        if best:
            tracking.log_scores(settings, parent, {"best_val_loss": best["val_loss"], "trials": len(rows)})
    now = next((row for row in rows if row["state"] == "complete" and _is(row, today)), None)
    kept = best is not None and not _is(best, default_configuration(settings))
    if kept:
        chosen = replace(today, **{name: best[name] for name in SEARCHED})
        lake.write(CONFIGURATION, group, {"configuration": chosen.json(), "trials": rows})
    elif best:
        lake.delete(CONFIGURATION, group)  # the default is the best known
    charts = tracking.charts_url(settings, tracking.experiment_id(settings, group))
    return {"group": group, "base": base.name, "today": now, "best": best, "kept": kept, "charts": charts, "trials": rows}


def _given(group: str, settings: Settings) -> tuple[BaseFiles, Artefact]:
    lake = Lake(settings.lake)
    examples, selected = lake.read(EXAMPLES, group), lake.read(SELECTED, group)
    if examples is None or selected is None:
        groups = sorted(set(lake.partitions(EXAMPLES)) & set(lake.partitions(SELECTED)))
        raise NothingToTune(
            f"There is no group {group!r} with examples and a base; there are: {', '.join(groups) or 'none yet: `slm run`'}."
        )
    name, table = selected.json("selection")["base"], examples.table("examples")
    if missing := {"train", "validation"} - set(table["split"]):
        raise NothingToTune(f"Group {group} has no {' and no '.join(sorted(missing))} examples: a search needs both.")
    verdict = training_allowed(entry(name, settings), teachers_of(table[table["split"].isin(["train", "validation"])], lake), settings)
    if not verdict.allowed:
        raise NothingToTune("\n".join(verdict.reasons))
    return ensure_base(name, settings), examples


def _study(group: str, base: BaseFiles, examples: Artefact, today: Configuration, settings: Settings) -> optuna.Study:
    """The study of this base, these examples and what is not searched. Its sampler's seed counts trials, so that a search that goes on
    does not propose the same again."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it prints the traceback of a Ctrl-C
    folder = settings.home / "tune"
    folder.mkdir(parents=True, exist_ok=True)
    fixed = {name: value for name, value in today.json().items() if name not in SEARCHED}
    name = digest(SPACE, base.name, examples.digest, fixed, settings.granted_tools, settings.model_dump(include=FINGERPRINT))
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / f'{group}.db').resolve()}",
        study_name=name,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
    )
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.get_trials(deepcopy=False)))
    return study


def _enqueue(study: optuna.Study, configuration: Configuration) -> None:
    """Have a configuration tried first, unless it was tried to the end."""
    params = {name: getattr(configuration, name) for name in SEARCHED}
    ended = [trial.params for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])]
    waiting = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False, states=[TrialState.WAITING])]
    if params not in ended + waiting:
        study.enqueue_trial(params)


def _proposed(trial: optuna.Trial, today: Configuration) -> Configuration:
    return replace(
        today,
        rank=trial.suggest_int("rank", 4, 64, log=True),
        upper_layers=trial.suggest_float("upper_layers", 0.1, 1.0),
        learning_rate=trial.suggest_float("learning_rate", 2e-4, 1e-2, log=True),
        epochs=trial.suggest_int("epochs", 1, 6),
        prompt=trial.suggest_categorical("prompt", ["factored", "full"]),
    )


def _objective(
    group: str, base: BaseFiles, examples: Artefact, today: Configuration, settings: Settings, deadline: float, parent: str
) -> Callable[[optuna.Trial], float]:
    """What Optuna minimises: the validation loss of a trial's configuration. Trials are runs below `parent`; they end at `deadline`."""
    table, tasks = examples.table("examples"), examples.json("tasks")

    @lru_cache
    def dataset(prompt: Form) -> Dataset:
        # preferences are tuned for after the validation loss has been taken
        return replace(dataset_of(group, base, table, tasks, prompt, settings), preferences=())

    def objective(trial: optuna.Trial) -> float:
        configuration = _proposed(trial, today)
        params = {name: _shown(getattr(configuration, name)) for name in SEARCHED}

        def on_step(step: int, steps: int, loss: float) -> None:
            if monotonic() > deadline:
                trial.set_user_attr("out_of_time", True)
                raise optuna.TrialPruned

        def on_epoch(progress) -> None:
            value = progress.curves[-1]["val_loss"]
            search_runs.log_loss(settings, run, progress.step, value)
            trial.report(value, progress.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        began, found = monotonic(), None
        with search_runs.search_run(settings, group, KIND, f"trial {trial.number}", params, parent) as run:
            try:
                found = trained(base, dataset(configuration.prompt), configuration, settings, None, on_step, on_epoch)[1].best_loss
            except optuna.TrialPruned:
                search_runs.mark(settings, run, state="pruned")
            scores = {} if found is None else {"best_val_loss": found}
            tracking.log_scores(settings, run, scores | {"seconds": monotonic() - began})
        if found is None:
            raise optuna.TrialPruned
        return found

    return objective


def _row(trial: FrozenTrial) -> Json:
    state = "out of time" if trial.user_attrs.get("out_of_time") else trial.state.name.lower()
    loss = trial.value if trial.state == TrialState.COMPLETE else min(trial.intermediate_values.values(), default=None)
    seconds = round(trial.duration.total_seconds(), 1) if trial.duration else None
    return {
        "trial": trial.number,
        "state": state,
        "val_loss": loss,
        "seconds": seconds,
        **{name: trial.params.get(name) for name in SEARCHED},
    }


def _is(row: Json, configuration: Configuration) -> bool:
    return all(row[name] == getattr(configuration, name) for name in SEARCHED)


def _shown(value: int | float | str) -> int | float | str:
    """A parameter as pages of MLflow can show it."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
