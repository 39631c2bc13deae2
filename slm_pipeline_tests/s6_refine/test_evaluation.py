"""A report says what was measured: with n, paired, weighted, and never mixing fidelity with correctness."""

import json

import pandas as pd
import pytest

from slm_pipeline.checkers import Checker
from slm_pipeline.s6_refine.evaluation import (
    COLUMNS,
    better_form,
    build_report,
    gate_metric,
    metrics,
    score_answers,
    score_majority,
    score_teacher,
)
from slm_pipeline.s6_refine.gate import judge, non_inferiority
from slm_pipeline.s6_refine.graded import failure_counts, graded_answers
from slm_pipeline.s6_refine.panels import failure_lines
from slm_pipeline.s6_refine.slices import slice_scores
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, Said, call, example, examples, right

SETTINGS = Settings(bootstrap_samples=400)
FACTS = {"group": GROUP, "base": {"name": "tiny", "forms": {}}, "adapter": {"digest": "a", "version": "1"}, "champion": None}


def report_of(table: pd.DataFrame, adapter: list, base: list, facts=FACTS, **more) -> dict:
    test, training = table[table["split"] == "test"], table[table["split"] == "train"]
    frames = [score_answers("base", "full", test, base, TASKS), score_answers("adapter", "factored", test, adapter, TASKS)]
    frames += [score_answers(name, "factored", test, said, TASKS) for name, said in more.items()]
    frames += [score_teacher(test, TASKS), score_majority(test, training)]
    return build_report(test, pd.concat(frames, ignore_index=True), SETTINGS, facts)


@pytest.fixture(scope="module")
def report():
    table = examples()
    test = table[table["split"] == "test"]
    return report_of(table, right(test, 0.8), right(test, 0.3))


def test_every_score_has_n_and_an_interval(report):
    adapter = report["systems"]["adapter"]
    assert adapter["call"] == adapter["accuracy"]
    assert adapter["call"]["mean"] == pytest.approx(0.8)
    assert adapter["call"]["low"] < 0.8 < adapter["call"]["high"]
    assert (adapter["call"]["n"], adapter["call"]["sessions"]) == (40, 20)
    assert (adapter["tokens" if "tokens" in adapter else "completion_tokens"], adapter["latency_p50_ms"]) == (10, 100)


def test_gains_are_paired(report):
    gain = report["gain"]["base"]["accuracy"]
    assert gain["mean"] == pytest.approx(0.5)
    assert gain["low"] > 0
    assert report["gain"]["base"]["tool"]["mean"] == 0


def test_majority_is_learnt_from_the_training_split_and_scores_tools_only(report):
    majority = report["systems"]["majority"]
    assert majority["tool"]["mean"] == pytest.approx(0.75)
    assert majority["call"]["n"] == 0
    assert report["gain"]["majority"]["tool"]["mean"] == pytest.approx(0.25)


def test_a_task_without_training_examples_has_no_majority():
    table = examples()
    test = table[table["split"] == "test"]
    assert not score_majority(test, table.iloc[:0])["tool"].any()


def test_the_teacher_is_its_own_measure_of_fidelity_but_not_of_correctness():
    wrong_gold = json.dumps({"gold": {"tool_calls": [{"function": {"name": "now", "arguments": {"city": "Rome"}}}]}})
    rows = [example(i, "test", call("now", city="Oslo"), outcome=wrong_gold) for i in range(4)]
    rows.append(example(5, "test", call("now", city="Rome"), outcome=wrong_gold, target_source="gold", teacher_answer=None))
    table = pd.DataFrame(rows)
    scored = score_teacher(table, TASKS)
    assert len(scored) == 4
    assert (scored["call"] == 1).all()
    assert (scored["correct"] == 0).all()


def test_weights_count_traffic():
    table = examples(4)
    test = table[table["split"] == "test"].assign(weight=[7, 1, 1, 1])
    said = [Said(answer) if i == 0 else Said("{}") for i, answer in enumerate(test["answer"])]
    assert report_of(pd.concat([test, table[table["split"] == "train"]]), said, said)["systems"]["adapter"]["call"][
        "mean"
    ] == pytest.approx(0.7)


def test_the_base_is_judged_at_its_best():
    test = examples().query("split == 'test'")
    forms = {"full": score_answers("base", "full", test, right(test, 0.2), TASKS)}
    forms["factored"] = score_answers("base", "factored", test, right(test, 0.4), TASKS)
    assert better_form(forms, "call") == "factored"


def test_text_groups_are_judged_by_similarity():
    rows = pd.DataFrame([example(i, "test", f"line {i}\nline", form="text") for i in range(6)])
    assert gate_metric(rows) == "similarity"
    report = report_of(rows, [Said(f"line {i}\nline") for i in range(6)], [Said("nothing like it") for _ in range(6)])
    assert report["systems"]["adapter"]["accuracy"]["mean"] == 1
    assert report["systems"]["adapter"]["tool"]["mean"] is None
    assert "tool_majority" not in {name.split("/")[1] for name in metrics(report)}


def test_an_answer_that_never_came_counts_as_wrong():
    table = examples(4)
    test = table[table["split"] == "test"]
    report = report_of(table, [None, *right(test, 1.0)[1:]], right(test, 0.0))
    assert report["systems"]["adapter"]["call"]["mean"] == pytest.approx(0.75)


def test_predictions_have_the_promised_columns_and_the_report_is_json():
    table = examples(4)
    test = table[table["split"] == "test"]
    assert list(score_answers("adapter", "factored", test, right(test, 1.0), TASKS).columns) == COLUMNS
    assert json.loads(json.dumps(report_of(table, right(test, 1.0), right(test, 0.0)), allow_nan=False))


def test_an_empty_test_split_still_makes_a_report():
    training = examples(4).query("split == 'train'")
    report = report_of(training, [], [])
    assert report["n"] == 0
    assert report["gain"]["base"]["accuracy"]["n"] == 0


def test_latency_alone_does_not_change_the_scores_digest():
    table = examples(4)
    test = table[table["split"] == "test"]
    slower = [Said(said.text, latency_ms=999.0) for said in right(test, 1.0)]
    one, other = report_of(table, right(test, 1.0), right(test, 0.0)), report_of(table, slower, right(test, 0.0))
    assert one["scores_digest"] == other["scores_digest"]
    assert one["systems"]["adapter"]["latency_p95_ms"] != other["systems"]["adapter"]["latency_p95_ms"]


def test_figures_are_those_of_the_report(report):
    figures = metrics(report)
    assert figures["test/gain_low"] == report["gain"]["base"]["accuracy"]["low"]
    assert figures["test/adapter_accuracy"] == report["systems"]["adapter"]["call"]["mean"]
    assert figures["test/tool_majority"] == pytest.approx(0.75)
    assert figures["test/n"] == 40


def test_fidelity_is_agreement_with_the_teacher_whatever_is_right():
    gold = json.dumps({"gold": {"tool_calls": [{"function": {"name": "now", "arguments": {"city": "Rome"}}}]}})
    right, said = call("now", city="Rome"), call("now", city="Oslo")
    rows = [example(i, "test", right, outcome=gold, target_source="gold", teacher_answer=said) for i in range(4)]
    rows += [example(9, "test", right, outcome=gold, target_source="gold", teacher_answer=None)]
    scored = score_answers("adapter", "factored", pd.DataFrame(rows), [Said(right), Said(said), Said("no idea"), None, Said(right)], TASKS)
    assert scored["fidelity"].tolist()[:4] == [0, 1, 0, 0]
    assert scored["fidelity"].isna().tolist() == [False] * 4 + [True]
    assert scored["correct"].tolist() == [1, 0, 0, 0, 1]
    text = pd.DataFrame([example(0, "test", "four", form="text", teacher_answer="five")])
    assert 0 < score_answers("adapter", "factored", text, [Said("fine")], TASKS)["fidelity"].item() < 1


def test_abstention_is_measured_where_no_call_is_due():
    rows = [example(i, "test", "Which city?", form="text") for i in range(4)] + [example(9, "test", call("now", city="Rome"))]
    given = [Said("Which city do you mean?"), Said(call("now", city="Rome")), Said("?"), None, Said(call("now", city="Rome"))]
    scored = score_answers("adapter", "factored", pd.DataFrame(rows), given, TASKS)
    assert scored["abstained"].tolist()[:4] == [1, 0, 1, 0]
    assert pd.isna(scored["abstained"].iloc[4])
    assert scored["needless"].dropna().tolist() == [1, 0], "of the two calls that were made one was due"
    without = {"weather": TASKS["weather"] | {"tools": []}}
    assert score_answers("adapter", "factored", pd.DataFrame(rows[:4]), given[:4], without)["abstained"].isna().all()


def checkers(tmp_path, text: str) -> dict:
    (tmp_path / "weather.py").write_text(text)
    return {"weather": Checker(tmp_path / "weather.py", text)}


def test_a_checker_scores_every_system_and_what_it_cannot_score_is_left_out_and_told(tmp_path):
    table = examples(4)
    test = table[table["split"] == "test"]
    text = "def check(messages, answer):\n    assert 'question 3' not in messages[-1]['content']\n    return 'C1' in str(answer)\n"
    found = checkers(tmp_path, text)
    scored = score_answers("adapter", "factored", test, [*right(test, 1.0)[:2], None, Said("C1")], TASKS, found)
    assert scored["checked"].tolist()[:3] == [0, 1, 0]
    assert pd.isna(scored["checked"].iloc[3])
    assert scored["checker_error"].dropna().tolist() == ["checkers/weather.py, line 2: AssertionError"]
    frames = [scored, scored.assign(system="base"), score_teacher(test, TASKS, found)]
    report = build_report(test, pd.concat(frames, ignore_index=True), SETTINGS, FACTS | {"checkers": {"weather": "digest"}})
    assert (report["gate_metric"], report["right"]) == ("checked", "checked")
    assert report["checker_errors"] == {"n": 3, "first": "checkers/weather.py, line 2: AssertionError"}
    assert report["systems"]["teacher"]["checked"]["n"] == 3


def test_the_checker_is_the_gates_score_only_if_every_task_has_one():
    table = pd.DataFrame([example(0, "test", call("now")), example(1, "test", call("now"), task="other")])
    assert gate_metric(table, {"weather"}) == "call"
    assert gate_metric(table, {"weather", "other"}) == "checked"
    assert gate_metric(table.iloc[:0], {"weather"}) == "similarity"


def test_non_inferiority_is_paired_with_the_teachers_own_errors():
    """The teacher is wrong on the same calls as the adapter: the difference is none, with no spread."""
    gold = [json.dumps({"gold": {"tool_calls": [{"function": {"name": "now", "arguments": {"city": f"C{i}"}}}]}}) for i in range(30)]
    said = [call("now", city=f"C{i}" if i % 3 else "Nowhere") for i in range(30)]
    rows = [example(i, "test", call("now", city=f"C{i}"), outcome=gold[i], target_source="gold", teacher_answer=said[i]) for i in range(30)]
    report = report_of(pd.DataFrame(rows), [Said(text) for text in said], [Said("{}") for _ in rows])
    tested = non_inferiority(report, SETTINGS)
    assert (tested.verdict, tested.score, tested.difference["mean"], tested.difference["low"]) == ("not inferior", "correct", 0, 0)
    assert metrics(report)["test/against_teacher_low"] == 0
    worse = report_of(pd.DataFrame(rows), [Said(call("now", city="Nowhere")) for _ in rows], [Said("{}") for _ in rows])
    assert non_inferiority(worse, SETTINGS).verdict == "inferior"


def test_a_group_without_test_calls_has_a_report_too():
    table = examples(4)
    none, training = table[table["split"] == "calibration"], table[table["split"] == "train"]
    frames = [score_answers(system, "factored", none, [], TASKS) for system in ("base", "adapter")]
    predictions = pd.concat([*frames, score_teacher(none, TASKS), score_majority(none, training)], ignore_index=True)
    report = build_report(none, predictions, SETTINGS, FACTS)
    assert non_inferiority(report, SETTINGS).verdict == "not testable"
    assert judge(report, SETTINGS, "a").reason.startswith("too few test calls: 0")
    assert slice_scores(none, training, predictions, report["gate_metric"], SETTINGS) == []
    graded = graded_answers(none, predictions, TASKS, report["gate_metric"], SETTINGS)
    assert failure_lines(report | {"failures": failure_counts(graded)}).startswith("No test calls.")


def test_the_newest_third_of_the_calls_is_compared_by_itself():
    """The adapter is right on the oldest calls and wrong on the newest; the base the other way round."""
    test = pd.DataFrame([example(i, "test", call("now", city=f"C{i}")) for i in range(30)])
    right, wrong = ([Said(call("now", city=f"C{i}" if (i < 20) == old else "nowhere")) for i in range(30)] for old in (True, False))
    systems = {"adapter": right, "base": wrong}
    rows = [score_answers(name, "", test, said, TASKS, {}, SETTINGS.leeway) for name, said in systems.items()]
    report = build_report(test, pd.concat(rows, ignore_index=True), SETTINGS, {})
    assert report["newest"]["base"]["mean"] == -1
    assert report["newest"]["base"]["n"] == 10
    assert "champion" not in report["newest"]
