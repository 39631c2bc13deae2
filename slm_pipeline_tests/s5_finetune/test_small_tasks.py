"""Verdicts on tasks and the learning curve of a group, through Dagster on a tiny base; and the rule alone."""

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.intervals import Interval
from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune import assets
from slm_pipeline.s5_finetune.attempt import fine_tune
from slm_pipeline.s5_finetune.learning_curve import CURVE, FRACTIONS
from slm_pipeline.s5_finetune.small_tasks import VERDICTS, Own, upper, verdict, with_verdicts
from slm_pipeline.s5_finetune.trial import drawn, whole_sessions
from slm_pipeline.settings import Settings, get_settings
from slm_pipeline_tests.s6_refine.samples import example
from slm_pipeline_tests.tiny import NAME, make_tiny_base

GROUP = "small-00000000"
RULED = Settings(min_task_validation=20, min_task_score=0.2)


def interval(mean, low=None, high=None, n=40):
    return Interval(mean, low, high, n, n)


@pytest.mark.parametrize(
    ("score", "own", "decided", "said"),
    [
        (interval(0.0, 0.0, 0.0, n=5), None, "group", "too few validation calls to judge: 5, 20 needed"),
        (interval(0.05, 0.0, 0.12), None, "none", "at most 12.0% right, 20% needed"),
        (interval(0.1, 0.0, 0.25), None, "group", "good enough"),
        (interval(0.5, 0.3, 0.7), Own(interval(0.7, 0.5, 0.9), interval(0.2, 0.1, 0.3)), "own", "+0.200 [+0.100, +0.300]"),
        (interval(0.5, 0.3, 0.7), Own(interval(0.6, 0.4, 0.8), interval(0.1, -0.1, 0.3)), "group", "not better beyond noise: +0.100"),
        (interval(0.0, 0.0, 0.0), Own(interval(0.1, 0.02, 0.18), interval(0.1, 0.02, 0.18)), "none", "at most 18.0% right"),
        (interval(0.0, 0.0, 0.0), Own(interval(0.5, 0.3, 0.7), interval(0.5, 0.3, 0.7)), "own", "beats the group's"),
    ],
)
def test_the_rule(score, own, decided, said):
    found = verdict(score.n, score, own, RULED)
    assert found[0] == decided
    assert said in found[1]


@given(st.integers(1, 500))
def test_calls_that_all_fail_leave_as_much_hope_as_they_must(n):
    """Against the chance that a task of this score fails all of its calls."""
    most = upper(interval(0.0, 0.0, 0.0, n=n))
    assert (1 - most) ** n == pytest.approx(0.025)
    assert upper(Interval(0.9, 0.8, 1.0, n, n)) == 1.0
    assert upper(Interval(0.5, None, None, n, 1)) == 1.0


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 50))
def test_parts_of_the_training_sessions_are_nested_and_whole(sessions, one, other):
    table = pd.DataFrame({"id": [f"c{i}" for i in range(len(sessions))], "session_id": [f"s{s}" for s in sessions]})
    small, large = (whole_sessions(table, most, 7) for most in sorted((one, other)))
    assert set(small["id"]) <= set(large["id"])
    assert len(large) >= min(max(one, other), len(table))
    assert not set(large["session_id"]) & set(table.loc[~table["id"].isin(large["id"]), "session_id"])


def test_a_draw_keeps_its_calls_when_others_come():
    few = pd.DataFrame({"id": [f"c{i}" for i in range(10)]})
    many = pd.DataFrame({"id": [f"c{i}" for i in range(40)]})
    assert set(drawn(many, 5, 7)["id"]) & set(few["id"]) <= set(drawn(few, 5, 7)["id"])


@pytest.fixture
def lake(home, monkeypatch):
    """A group of two tasks with a trained adapter: the larger has calls enough for an adapter of its own."""
    given = {"EPOCHS": "1", "LORA_RANK": "2", "BATCH_SIZE": "4", "MAX_ANSWER_TOKENS": "8", "BASE_PROMPT_TOKENS": "256", "TRIAL_CALLS": "6"}
    given |= {"OWN_GROUP_CALLS": "10", "MIN_TASK_VALIDATION": "4", "MIN_TASK_SCORE": "0.75", "BOOTSTRAP_SAMPLES": "100"}
    for name, value in given.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    make_tiny_base(home)
    lake = Lake(get_settings().lake)
    tasks = {key: {"name": f"say {key}", "tools": None, "response_format": None, "system": None, "forms": ["text"]} for key in ("a", "b")}
    gold = {"target_source": "gold", "teacher_answer": None}
    rows = [
        example(
            i, "train" if i // 2 % 3 else "validation", str(i), "text", id=f"{task}{i}", session_id=f"{task}{i // 2}", task=task, **gold
        )
        for task, count in (("a", 18), ("b", 8))
        for i in range(count)
    ]
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": tasks, "summary": {"failures_total": 0}})
    lake.write("s4_select/selected_base", GROUP, {"selection": {"base": NAME}})
    fine_tune(GROUP, get_settings(), "", lambda *_: None)
    return lake


def materialize(asset):
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("group", [GROUP])
        result = dg.materialize([asset], partition_key=GROUP, instance=instance)
    (made,) = result.asset_materializations_for_node(asset.key.path[-1])
    return {key: value.value for key, value in made.metadata.items()}


def test_every_task_gets_a_verdict_that_is_shown(lake):
    shown = materialize(assets.task_verdicts)
    first, second = lake.read(VERDICTS, GROUP).json("verdicts")
    assert (first["task"], first["training"], first["validation"]) == ("a", 12, 6)
    assert first["own_gain"]["n"] == 6, "it has calls enough to be tried alone"
    assert first["verdict"] == "none", "a random model says nothing right"
    assert (second["task"], second["verdict"]) == ("b", "group"), "calls of two sessions leave hope"
    assert "own_gain" not in second
    assert second["score"]["n"] == 4
    assert "none: stays with the LLM" in shown["verdicts"]
    assert shown["tasks: own"] == 0
    rows = [{"key": key, "group": group, "state": "in a group"} for key, group in (("a", GROUP), ("x", GROUP), (None, None))]
    told = with_verdicts(rows, lake)
    assert [row["verdict"] for row in told] == ["none", None, None]
    assert [row["state"] for row in told] == ["in a group, better left to the LLM", "in a group", "in a group"]
    assert materialize(assets.task_verdicts)["asked_again"] is False


def test_a_task_with_too_few_calls_is_not_asked(lake, monkeypatch):
    monkeypatch.setenv("SLM_MIN_TASK_VALIDATION", "5")
    materialize(assets.task_verdicts)
    _, second = lake.read(VERDICTS, GROUP).json("verdicts")
    assert (second["verdict"], second["validation"], second["score"]["n"]) == ("group", 4, 0)
    assert second["reason"] == "too few validation calls to judge: 4, 5 needed"
    monkeypatch.setenv("SLM_MIN_TASK_VALIDATION", "50")
    assert materialize(assets.task_verdicts)["tasks: group"] == 2
    assert [row["score"]["n"] for row in lake.read(VERDICTS, GROUP).json("verdicts")] == [0, 0]


def test_the_learning_curve_ends_at_the_adapter_itself(lake):
    shown, settings = materialize(assets.learning_curve), get_settings()
    curve = lake.read(CURVE, GROUP).json("curve")
    record = lake.read("s5_finetune/adapter", GROUP).json("training")
    sizes = [point["examples"] for point in curve["points"]]
    assert sizes == sorted(sizes)
    assert [point["fraction"] for point in curve["points"]] == list(FRACTIONS)
    assert (sizes[-1], curve["points"][-1]["loss"]) == (record["examples"], record["best_loss"])
    assert {point["score"]["n"] for point in curve["points"]} == {6}
    assert curve["verdict"] == shown["verdict"]
    assert shown["curve"].startswith("![score and loss against training examples](data:image/png;base64,")
    runs = tracking.client(settings).search_runs([tracking.experiment_id(settings, GROUP)])
    assert {f"{size} examples" for size in sizes} < {run.info.run_name for run in runs}
    assert materialize(assets.learning_curve)["trained_now"] is False


def test_without_an_adapter_there_is_nothing_to_judge(home):
    assert materialize(assets.task_verdicts) == {"note": "no adapter"}
    assert materialize(assets.learning_curve) == {"note": "no adapter"}
