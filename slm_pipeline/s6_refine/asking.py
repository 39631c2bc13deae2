"""Asks base, adapter and champion a group's test split, here and through lm-eval, and writes the report."""

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s6_refine.evaluation import better_form, build_report, gate_metric, score_answers, score_majority, score_teacher
from slm_pipeline.s6_refine.gate import judge
from slm_pipeline.s6_refine.lm_eval_task import score_with_lm_eval, task_files
from slm_pipeline.s6_refine.promotion import ADAPTER, ATTEMPT, REPORT
from slm_pipeline.settings import Settings

EXAMPLES, BASE_ANSWERS = "s3_cluster/task_examples", "s6_refine/base_answers"
SETTINGS = {"seed", "few_shot", "max_prompt_tokens", "base_prompt_tokens", "max_answer_tokens"}
SETTINGS |= {"bootstrap_samples", "min_test_calls", "lm_eval_limit"}


def evaluate(group: str, champion: AdapterVersion | None, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact, bool]:
    """The report of a group's newest adapter and whether it is new; nothing is asked again while its inputs are the same.

    `say` is told how far the asking has come.
    """
    lake = Lake(settings.lake)
    examples, adapter = lake.read(EXAMPLES, group), lake.read(ADAPTER, group)
    opponent = _opponent(lake.read(REPORT, group), adapter, champion)
    inputs = digest(examples.digest, adapter.digest, opponent, settings.model_dump(include=SETTINGS))
    written = lake.read(REPORT, group)
    if written and written.inputs == inputs:
        return written, False
    table, tasks = examples.table("examples"), examples.json("tasks")
    base = ensure_base(adapter.json("training")["base"], settings)
    test = table[table["split"] == "test"].reset_index(drop=True)
    predictions, forms = _ask(lake, group, table, tasks, base, adapter, opponent, settings, say)
    say("scoring base and adapter with lm-eval")
    facts = {
        "group": group,
        "base": {"name": base.name, "forms": forms},
        "adapter": {"digest": adapter.digest, "version": lake.read(ATTEMPT, group).json("attempt")["model_version"]},
        "champion": opponent,
    }
    report = build_report(test, predictions, settings, facts)
    report["gate"] = asdict(judge(report, settings, adapter.digest))
    task, report["lm_eval"] = _lm_eval(group, test, predictions, base, adapter, settings)
    version = digest(inputs, report["scores_digest"], report["lm_eval"])
    return lake.write(REPORT, group, {"report": report, "predictions": predictions, **task}, inputs, version=version), True


def _opponent(written: Artefact | None, adapter: Artefact, champion: AdapterVersion | None) -> Json | None:
    """Whom the adapter has to beat besides the base. Once promoted it is not its own opponent: the one it beat stays."""
    if champion is None:
        return None
    if champion.lake_digest != adapter.digest:
        return {"version": champion.version, "digest": champion.lake_digest, "base": champion.base}
    report = written.json("report") if written else None
    return report["champion"] if report and report["adapter"]["digest"] == adapter.digest else None


def _ask(
    lake: Lake,
    group: str,
    table: pd.DataFrame,
    tasks: Json,
    base: BaseFiles,
    adapter: Artefact,
    opponent: Json | None,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[pd.DataFrame, Json]:
    """Predictions of all systems on the test split, the base at its best; and the base's mean score in each prompt form."""
    from slm_pipeline.inference import ask_adapter, ask_base, task_schemas

    training, test = (table[table["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    schemas, metric = task_schemas(tasks), gate_metric(test)

    def adapted(system: str, files: Artefact, of: BaseFiles) -> pd.DataFrame:
        said = ask_adapter(test, schemas, of, files.local() / "adapter.gguf", settings, _progress(system, len(test), say))
        return score_answers(system, "factored", test, said, tasks)

    known = {key: Completion(**said) for key, said in _base_answers(lake, group).items()}

    def untuned(form: str) -> pd.DataFrame:
        said = ask_base(test, training, schemas, base, form, settings, _progress(f"base, {form} prompt", len(test), say), known)
        return score_answers("base", form, test, said, tasks)

    forms = {form: untuned(form) for form in ("full", "factored")}
    answers = {key: asdict(said) for key, said in sorted(known.items())}
    lake.write(BASE_ANSWERS, group, {"answers": answers}, version=digest({key: said.text for key, said in known.items()}))
    frames = [forms[better_form(forms, metric)], adapted("adapter", adapter, base)]
    if opponent:
        files = lake.version(ADAPTER, group, opponent["digest"])
        frames.append(adapted("champion", files, ensure_base(opponent["base"], settings)))
    frames += [score_teacher(test, tasks), score_majority(test, training)]
    means = {form: round(float(rows[metric].mean()), 6) if len(rows) else None for form, rows in forms.items()}
    return pd.concat(frames, ignore_index=True), means


def _base_answers(lake: Lake, group: str) -> Json:
    """What the untuned base answered in earlier evaluations; it answers the same again, and its full prompts are the dearest part."""
    written = lake.read(BASE_ANSWERS, group)
    return written.json("answers") if written else {}


def _progress(what: str, calls: int, say: Callable[[str], None]) -> Callable[[], None]:
    """To be called after each answer; speaks after every twentieth and the last."""
    done = count(1)

    def tick() -> None:
        if (n := next(done)) % 20 == 0 or n == calls:
            say(f"{what}: {n} of {calls} test calls")

    return tick


def _lm_eval(
    group: str, test: pd.DataFrame, predictions: pd.DataFrame, base: BaseFiles, adapter: Artefact, settings: Settings
) -> tuple[dict[str, str], Json]:
    """lm-eval's task folder, and base and adapter scored with it. `ours` is our exact match of the adapter on the same examples.

    lm-eval asks the base the adapter's prompt, without examples or schema; an answer longer than every target is wrong, so it ends there.
    """
    from slm_pipeline.inference import adapter_prompt
    from slm_pipeline.prompting import special_tokens, token_ids

    longest = max((len(token_ids(answer, base.folder)) for answer in test["answer"]), default=0)
    stop = [special_tokens(base.folder)["eos_token"]]
    limit = min(longest + 8, settings.max_answer_tokens)
    prompts = [adapter_prompt(json.loads(messages), base.folder, settings) for messages in test["messages"]]
    files = task_files(group, prompts, test["answer"], stop, limit)
    if test.empty:
        return files, {}
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content)
        asked = (settings.lm_eval_limit, settings.lm_eval_batch)
        scores = {
            "base": score_with_lm_eval(Path(folder), group, base.folder, None, *asked),
            "adapter": score_with_lm_eval(Path(folder), group, base.folder, adapter.local(), *asked),
        }
    same = predictions[predictions["system"] == "adapter"].head(scores["adapter"]["n"])
    return files, {**scores, "ours": float(same["exact"].mean())}
