"""From an adapter in the lake to a champion: the report is written once, its figures reach Dagster and MLflow, the gate decides."""

import json
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s6_refine import asking, assets, checks
from slm_pipeline.s6_refine.evaluation import metrics
from slm_pipeline.s6_refine.failures import ASSIGNMENT_COLUMNS, CURATED_COLUMNS
from slm_pipeline.s6_refine.promotion import promote_if_passed
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, examples, right

GENERAL = {
    "n": 4,
    "base": 0.75,
    "adapter": 0.5,
    "change": {"mean": -0.25, "low": -0.75, "high": 0.0, "n": 4, "sessions": 4},
    "lost": ["fact-1"],
}
CHECKS = [checks.beats_champion, checks.enough_test_calls, checks.agrees_with_lm_eval, checks.figures_agree]


class Loop:
    """One group in a lake of its own, whose systems answer as told: `quality` is the share of right calls by adapter digest."""

    def __init__(self, settings: Settings, monkeypatch):
        self.settings, self.lake, self.quality, self.asked = settings, Lake(settings.lake), {}, 0
        self.lake.write("s3_cluster/task_examples", GROUP, {"examples": examples(), "tasks": TASKS})
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions("group", [GROUP])
        for module in (assets, checks):
            monkeypatch.setattr(module, "get_settings", lambda: settings)
        monkeypatch.setattr(asking, "ensure_base", lambda name, settings: BaseFiles(name, settings.models, settings.models / "model.gguf"))
        monkeypatch.setattr("slm_pipeline.inference.ask_base", lambda test, *rest: right(test, 0.3))
        monkeypatch.setattr("slm_pipeline.inference.ask_adapter", self.ask_adapter)
        monkeypatch.setattr(asking, "_lm_eval", self.lm_eval)
        monkeypatch.setattr(asking, "general_ability", lambda base, adapted, settings: GENERAL)

    def ask_adapter(self, test: pd.DataFrame, schemas, base, adapter, settings, *rest):
        self.asked += 1
        return right(test, self.quality[adapter.folder.name])

    def lm_eval(self, contest, predictions, adapted, settings):
        ours = float(predictions.query("system == 'adapter'")["exact"].mean())
        return {"test.jsonl": ""}, {
            "adapter": {"exact_match": ours - 0.025, "stderr": 0.01, "n": 40},
            "base": {"exact_match": 0.0},
            "ours": ours,
        }

    def train(self, name: str, quality: float) -> str:
        """A challenger as the adapter asset leaves it; returns its version."""
        files = {"adapter.gguf": name, "adapter_config.json": "{}", "training": {"base": "tiny"}}
        artefact = self.lake.write("s5_finetune/adapter", GROUP, files, keep_old=True)
        self.quality[artefact.digest] = quality
        tags = {"base": "tiny", "dataset_digest": "d", "training_digest": "t"}
        with tracking.attempt(self.settings, GROUP, {"name": name}, tags) as run:
            version = tracking.register(self.settings, GROUP, run, name, artefact.digest)
        tracking.set_challenger(self.settings, GROUP, version)
        attempt = {"mlflow_run_id": run, "model_version": version, "failures_total": 0}
        attempt["experiment_id"] = tracking.experiment_id(self.settings, GROUP)
        self.lake.write("s5_finetune/attempt", GROUP, {"attempt": attempt})
        return version

    def evaluate(self) -> tuple[dict, dict]:
        """Metadata of the report and check results by name."""
        result = dg.materialize([assets.eval_report, *CHECKS], partition_key=GROUP, instance=self.instance)
        metadata = result.asset_materializations_for_node("eval_report")[0].metadata
        return metadata, {check.check_name: check for check in result.get_asset_check_evaluations()}

    def graded(self, run: str) -> pd.DataFrame:
        """The table of graded answers on an attempt's run."""
        path = tracking.client(self.settings).download_artifacts(run, tracking.GRADED)
        return pd.DataFrame(**json.loads(Path(path).read_text()))

    def scoreboard(self) -> dict:
        result = dg.materialize([assets.fallback_failures, assets.scoreboard], instance=self.instance)
        return result.asset_materializations_for_node("scoreboard")[0].metadata


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Loop(Settings(home=tmp_path_factory.mktemp("home"), bootstrap_samples=400), monkeypatch)


def test_challengers_become_champions_only_by_beating_them(loop):
    """One story: promoted over the base, not asked again, a worse one refused, a better one promoted over the champion."""
    first = loop.train("first", 0.8)
    metadata, results = loop.evaluate()
    assert metadata["verdict"].value.startswith("promoted: beats base by +0.500")
    assert tracking.champion(loop.settings, GROUP).version == first
    assert all(result.passed for result in results.values())
    assert results["beats_champion"].metadata[f"{GROUP} low"].value > 0

    report = loop.lake.read("s6_refine/eval_report", GROUP).json("report")
    attempt = loop.lake.read("s5_finetune/attempt", GROUP).json("attempt")
    logged = tracking.client(loop.settings).get_run(attempt["mlflow_run_id"]).data.metrics
    for name, value in metrics(report).items():
        assert logged[name] == metadata[name].value == value
    assert attempt["mlflow_run_id"] in metadata["mlflow_run"].value
    assert "comparison_with_champion" not in metadata
    assert metadata["against_the_teacher"].value.startswith("not testable: neither gold")
    assert metadata["general_ability"].value.startswith("75.0% before, 50.0% after, -25.0 [-75.0, +0.0] points, of 4 items; lost: fact-1")
    assert "8 wrong_arguments" in metadata["failures"].value
    assert "Wrong arguments: 6 now.city, 6 now.days, 2 forecast.city, 2 forecast.days." in metadata["failures"].value
    assert "question" not in metadata["failures"].value, "an erasure would leave it there"
    assert "slices" not in metadata, "all prompts are alike"
    assert "judge" not in metadata
    graded = loop.graded(attempt["mlflow_run_id"])
    assert len(graded) == 40
    assert list(graded["verdict"][:9]) == ["wrong_arguments"] * 8 + ["passed"]

    asked = loop.asked
    metadata, results = loop.evaluate()
    assert loop.asked == asked
    assert len(loop.graded(attempt["mlflow_run_id"])) == 40, "the table is replaced, not appended to"
    assert metadata["asked_again"].value is False
    assert metadata["champion"].value == f"v{first}"
    assert results["beats_champion"].passed

    loop.train("worse", 0.7)
    metadata, results = loop.evaluate()
    assert "does not beat champion v1" in metadata["verdict"].value
    assert not results["beats_champion"].passed
    assert results["beats_champion"].severity == dg.AssetCheckSeverity.WARN
    assert tracking.champion(loop.settings, GROUP).version == first
    assert "compare-runs" in metadata["comparison_with_champion"].value

    best = loop.train("best", 1.0)
    metadata, _ = loop.evaluate()
    assert metadata["verdict"].value.startswith("promoted: beats champion v1")
    assert tracking.champion(loop.settings, GROUP).version == best

    board = loop.scoreboard()
    report = loop.lake.read("s6_refine/eval_report", GROUP).json("report")
    written = loop.lake.read("s6_refine/scoreboard").json("scoreboard")
    assert written["groups"][0]["gain"] == report["gain"]["base"]["accuracy"]
    assert written["pooled"]["call"]["gain"]["mean"] == pytest.approx(report["gain"]["base"]["accuracy"]["mean"])
    assert written["groups"][0]["champion"] == f"v{best}"
    assert "+70.0 [" in board["scoreboard"].value

    # an adapter that was not the one judged, or a report against another champion, is never promoted
    loop.train("unseen", 1.0)
    assert "evaluate again" in promote_if_passed(GROUP, loop.settings).reason
    assert tracking.champion(loop.settings, GROUP).version == best


def test_a_users_checker_decides_and_a_changed_one_judges_anew(tmp_path, monkeypatch):
    """It is read from the home, its score becomes the gate's, the teacher is measured by it too, and a broken one shuts the gate."""
    loop = Loop(Settings(home=tmp_path, bootstrap_samples=400), monkeypatch)
    loop.train("first", 0.8)
    (tmp_path / "checkers").mkdir()
    checker = tmp_path / "checkers" / f"{GROUP}.py"
    checker.write_text("def check(messages, answer):\n    return 'Nowhere' not in answer['tool_calls'][0]['function']['arguments']\n")
    metadata, _ = loop.evaluate()
    assert metadata["gate_metric"].value == "checked"
    assert metadata["test/checked"].value == pytest.approx(0.8)
    assert metadata["against_the_teacher"].value.startswith("not shown: checked -0.200 [")
    assert "8 rejected" in metadata["failures"].value
    assert "passed by checkers" in loop.scoreboard()["scoreboard"].value
    asked = loop.asked
    loop.evaluate()
    assert loop.asked == asked
    checker.write_text("def check(messages, answer):\n    return answer['no such key']\n")
    metadata, _ = loop.evaluate()
    assert loop.asked > asked
    assert metadata["gate"].value.startswith("a checker failed on")
    assert f"checkers/{GROUP}.py, line 2: KeyError" in metadata["gate"].value


def test_an_llm_judges_once_and_one_that_fails_is_asked_again(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path, bootstrap_samples=400, judge_url="http://127.0.0.1:9/v1", judge_calls=8)
    loop, replies = Loop(settings, monkeypatch), []

    def ask(messages):
        replies.append(
            "Score: 4" if "Nowhere" in messages[1]["content"] else "Hm." if "question 0" in messages[1]["content"] else "Score: 10"
        )
        return replies[-1]

    loop.train("first", 0.8)
    metadata, _ = loop.evaluate()
    assert "ended early: the judge at judge_url cannot be reached" in metadata["judge"].value
    monkeypatch.setattr("slm_pipeline.s6_refine.judging.judge_of", lambda settings: ask)
    metadata, _ = loop.evaluate()
    assert metadata["asked_again"].value is True
    assert len(replies) == 8
    report = loop.lake.read("s6_refine/eval_report", GROUP).json("report")["judge"]
    read = [reply for reply in replies if reply.startswith("Score")]
    assert (report["n"], report["unreadable"], report["score"]["n"]) == (8, 8 - len(read), len(read))
    assert report["score"]["mean"] == pytest.approx(sum((int(reply.split()[-1]) - 1) / 9 for reply in read) / len(read))
    assert metadata["test/judge"].value == report["score"]["mean"]
    (tmp_path / "checkers").mkdir()
    (tmp_path / "checkers" / "weather.py").write_text("def check(messages, answer): return True")
    loop.evaluate()
    assert len(replies) == 8, "the same answers were judged before"


def test_failures_of_all_days_are_counted(tmp_path, monkeypatch):
    loop = Loop(Settings(home=tmp_path), monkeypatch)
    for day, ids in (("2026-10-01", ["a", "b"]), ("2026-10-02", ["c"]), ("2026-10-03", [])):
        answer = json.dumps({"text": "yes", "tool_calls": []})
        rows = [[i, day, "train", answer, "g v1", answer, "wrong_tool", None] for i in ids] + [
            [f"{day} good", day, "train", answer, *[None] * 4]
        ]
        loop.lake.write("s2_curate/curated_calls", day, {"calls": pd.DataFrame(rows, columns=CURATED_COLUMNS)})
        assigned = pd.DataFrame([[row[0], "t", GROUP] for row in rows], columns=ASSIGNMENT_COLUMNS)
        loop.lake.write("s3_cluster/task_assignments", day, {"assignments": assigned})
    loop.lake.write("s5_finetune/attempt", GROUP, {"attempt": {"failures_total": 0}})
    result = dg.materialize([assets.fallback_failures], instance=loop.instance)
    metadata = result.asset_materializations_for_node("fallback_failures")[0].metadata
    assert metadata["totals"].value == {GROUP: 3}
    assert f"| {GROUP} | 3 | 3 | 17 |" in metadata["failures"].value
    assert loop.lake.read("s6_refine/fallback_failures").json("failures")[GROUP]["newest"] == "2026-10-02"


def test_without_an_adapter_there_is_nothing_to_judge(tmp_path, monkeypatch):
    loop = Loop(Settings(home=tmp_path), monkeypatch)
    metadata, results = loop.evaluate()
    assert metadata["verdict"].value.startswith("no adapter")
    assert all(result.passed for result in results.values())
    assert loop.scoreboard()["scoreboard"].value == "no group was evaluated yet"
