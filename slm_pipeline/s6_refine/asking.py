"""Asks base, adapter and champion a group's test split, here and through lm-eval, and writes the report."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from slm_pipeline.checkers import Checker, checkers_of
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s6_refine.evaluation import better_form, build_report, gate_metric, score_answers, score_majority, score_teacher
from slm_pipeline.s6_refine.gate import judge, non_inferiority
from slm_pipeline.s6_refine.general import general_ability, set_digest
from slm_pipeline.s6_refine.graded import failure_counts, graded_answers
from slm_pipeline.s6_refine.judging import judged
from slm_pipeline.s6_refine.lm_eval_task import HuggingFaceForm, hugging_face_form, score_with_lm_eval, task_files
from slm_pipeline.s6_refine.promotion import ADAPTER, ATTEMPT, REPORT
from slm_pipeline.s6_refine.slices import slice_scores
from slm_pipeline.settings import Settings

EXAMPLES, BASE_ANSWERS = "s3_cluster/task_examples", "s6_refine/base_answers"
VERSION = 2  # raise it when the same answers shall give another report
SETTINGS = {"seed", "few_shot", "max_prompt_tokens", "base_prompt_tokens", "max_answer_tokens"}
SETTINGS |= {"bootstrap_samples", "min_test_calls", "lm_eval_limit", "leeway", "noninferiority_margin", "rare_tool_share"}
SETTINGS |= {"min_slice_calls", "similarity_pass", "general_items", "judge_url", "judge_model", "judge_form", "judge_calls"}


@dataclass(frozen=True)
class Contest:
    """A group's newest adapter, whom it has to beat besides the base, and the calls on which they are compared."""

    group: str
    tasks: Json
    training: pd.DataFrame
    test: pd.DataFrame
    checkers: dict[str, Checker]
    base: BaseFiles
    adapter: Artefact
    opponent: Json | None


def evaluate(group: str, champion: AdapterVersion | None, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact, bool]:
    """The report of a group's newest adapter and whether it is new; nothing is asked again while its inputs are the same.

    `say` is told how far the asking has come.
    """
    lake = Lake(settings.lake)
    examples, adapter, written = (lake.read(asset, group) for asset in (EXAMPLES, ADAPTER, REPORT))
    tasks, opponent = examples.json("tasks"), _opponent(written, adapter, champion)
    checkers = checkers_of(tasks, group, settings)
    checked = {task: checker.digest for task, checker in sorted(checkers.items())}
    inputs = digest(
        VERSION, examples.digest, adapter.digest, opponent, checked, set_digest(), settings.model_dump(mode="json", include=SETTINGS)
    )
    if written and written.inputs == inputs:
        return written, False
    table, base = examples.table("examples"), ensure_base(adapter.json("training")["base"], settings)
    training, test = (table[table["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    contest = Contest(group, tasks, training, test, checkers, base, adapter, opponent)
    predictions, forms = _ask(contest, lake, settings, say)
    facts = {
        "group": group,
        "base": {"name": base.name, "forms": forms},
        "adapter": {"digest": adapter.digest, "version": lake.read(ATTEMPT, group).json("attempt")["model_version"]},
        "champion": opponent,
        "checkers": checked,
    }
    replies = written.json("judgements") if written and "judgements.json" in written.files else {}
    report, graded, task = _judged(contest, predictions, facts, replies, settings, say)
    if report["judge"].get("unavailable"):
        inputs = digest(inputs, "without the judge")  # asked again next time
    version = digest(inputs, report["scores_digest"], report["lm_eval"], report["general"], report["judge"])
    contents = {"report": report, "predictions": predictions, "graded": graded, "judgements": replies, **task}
    return lake.write(REPORT, group, contents, inputs, version=version), True


def _judged(
    contest: Contest, predictions: pd.DataFrame, facts: Json, replies: dict[str, str], settings: Settings, say: Callable[[str], None]
) -> tuple[Json, pd.DataFrame, dict[str, str]]:
    """The report, the graded answers, and lm-eval's task folder."""
    report = build_report(contest.test, predictions, settings, facts)
    metric = report["gate_metric"]
    graded = graded_answers(contest.test, predictions, contest.tasks, metric, settings)
    say("scoring base and adapter with lm-eval")
    with hugging_face_form(contest.base.folder, contest.adapter.local()) as adapted:
        task, by_lm_eval = _lm_eval(contest, predictions, adapted, settings)
        general = general_ability((contest.base.folder, None), adapted, settings)
    report |= {
        "gate": asdict(judge(report, settings, contest.adapter.digest)),
        "noninferiority": asdict(non_inferiority(report, settings)),
        "slices": slice_scores(contest.test, contest.training, predictions, metric, settings),
        "failures": failure_counts(graded),
        "lm_eval": by_lm_eval,
        "general": general,
        "judge": judged(contest.test, predictions, replies, settings, say),
    }
    return report, graded, task


def _opponent(written: Artefact | None, adapter: Artefact, champion: AdapterVersion | None) -> Json | None:
    """Whom the adapter has to beat besides the base. Once promoted it is not its own opponent: the one it beat stays."""
    if champion is None:
        return None
    if champion.lake_digest != adapter.digest:
        return {"version": champion.version, "digest": champion.lake_digest, "base": champion.base}
    report = written.json("report") if written else None
    return report["champion"] if report and report["adapter"]["digest"] == adapter.digest else None


def _ask(contest: Contest, lake: Lake, settings: Settings, say: Callable[[str], None]) -> tuple[pd.DataFrame, Json]:
    """Predictions of all systems on the test split, the base at its best; and the base's mean score in each prompt form."""
    from slm_pipeline.inference import adapter_of, ask_adapter, ask_base, task_schemas

    test, training, tasks, base = contest.test, contest.training, contest.tasks, contest.base
    scoring = (tasks, contest.checkers, settings.leeway)
    schemas, metric = task_schemas(tasks), gate_metric(test, contest.checkers)

    def adapted(system: str, files: Artefact, of: BaseFiles) -> pd.DataFrame:
        adapter = adapter_of(files)
        said = ask_adapter(test, schemas, of, adapter, settings, _progress(system, len(test), say))
        return score_answers(system, adapter.form, test, said, *scoring)

    known = {key: Completion(**said) for key, said in _base_answers(lake, contest.group).items()}

    def untuned(form: str) -> pd.DataFrame:
        said = ask_base(test, training, schemas, base, form, settings, _progress(f"base, {form} prompt", len(test), say), known)
        return score_answers("base", form, test, said, *scoring)

    forms = {form: untuned(form) for form in ("full", "factored")}
    answers = {key: asdict(said) for key, said in sorted(known.items())}
    version = digest({key: said.text for key, said in known.items()})
    lake.write(BASE_ANSWERS, contest.group, {"answers": answers}, version=version)
    frames = [forms[better_form(forms, metric)], adapted("adapter", contest.adapter, base)]
    if opponent := contest.opponent:
        files = lake.version(ADAPTER, contest.group, opponent["digest"])
        frames.append(adapted("champion", files, ensure_base(opponent["base"], settings)))
    frames += [score_teacher(test, *scoring), score_majority(test, training)]
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


def _lm_eval(contest: Contest, predictions: pd.DataFrame, adapted: HuggingFaceForm, settings: Settings) -> tuple[dict[str, str], Json]:
    """lm-eval's task folder, and base and adapter scored with it. `ours` is our exact match of the adapter on the same examples.

    lm-eval asks the base the adapter's prompt, without examples or schema; an answer longer than every target is wrong, so it ends there.
    It knows no tools, so tasks that were granted some are left out.
    """
    from slm_pipeline.inference import COLUMN, adapter_prompt, granted_tools, prompt_form
    from slm_pipeline.prompting import special_tokens, token_ids

    base, group = contest.base.folder, contest.group
    test = contest.test[~contest.test["task"].isin(granted_tools(contest.adapter.json("training")))]
    longest = max((len(token_ids(answer, base)) for answer in test["answer"]), default=0)
    stop = [special_tokens(base)["eos_token"]]
    limit = min(longest + 8, settings.max_answer_tokens)
    form = prompt_form(contest.adapter.json("training"))
    prompts = [adapter_prompt(json.loads(messages), base, settings) for messages in test[COLUMN[form]]]
    files = task_files(group, prompts, test["answer"], stop, limit)
    if test.empty:
        return files, {}
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content)
        asked = (settings.lm_eval_limit, settings.lm_eval_batch)
        models = {"base": (base, None), "adapter": adapted}
        scores = {name: score_with_lm_eval(Path(folder), group, *model, *asked) for name, model in models.items()}
    same = predictions[(predictions["system"] == "adapter") & predictions["id"].isin(test["id"])].head(scores["adapter"]["n"])
    return files, {**scores, "ours": float(same["exact"].mean())}
