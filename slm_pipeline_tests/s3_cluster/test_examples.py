import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.assignment import assign_calls
from slm_pipeline.s3_cluster.clustering import find_clusters, sample_training
from slm_pipeline.s3_cluster.examples import build_examples, group_tasks
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages, mine
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=3, own_group_calls=10, min_group_calls=5, max_answer_tokens=8)
words = st.lists(st.sampled_from(["a", "b", "cc", "\n", "d\n"]), max_size=6).map(" ".join)


def tasks_of(calls):
    clusters, _ = find_clusters(sample_training([calls], SETTINGS), None, SETTINGS)
    return clusters, {task["key"]: task for task in clusters["tasks"]}


def examples_of(rows):
    calls = made.table(rows)
    clusters, tasks = tasks_of(calls)
    calls = calls.assign(task=assign_calls(calls, clusters)["task"])
    examples, summary = build_examples(calls, tasks, SETTINGS, lambda text: len(text.split()))
    return examples, summary, calls, tasks


@given(words, st.lists(words, min_size=2, max_size=5), words)
def test_head_and_tail_never_overlap_and_tear_no_word(head, slots, tail):
    texts = [f"{head} {slot} {tail}" for slot in slots]
    found_head, found_tail = mine(texts)
    for text in texts:
        rest = text[len(found_head) : len(text) - len(found_tail)]
        assert found_head + rest + found_tail == text
        assert (found_head + "|" + rest + "|" + found_tail).replace("|", "") == text
        assert f"{found_head} {rest} {found_tail}".split() == text.split()


def test_a_factored_call_is_the_task_line_and_what_varies():
    calls = made.table(made.template_rows(20))
    _, tasks = tasks_of(calls)
    ((_, task),) = tasks.items()
    request = {"messages": [{"role": "user", "content": made.TEMPLATE.format(words="zinc lead")}]}
    assert factor(request, task) == [{"role": "system", "content": f"Task: {task['name']}"}, {"role": "user", "content": "zinc lead"}]
    with pytest.raises(TemplateChanged):
        factor({"messages": [{"role": "user", "content": "something else"}]}, task)


def test_a_conversation_keeps_its_turns_in_the_canonical_form():
    calls = made.table(made.agent_rows(30))
    _, tasks = tasks_of(calls)
    ((_, task),) = tasks.items()
    request = json.loads(calls["request"].iloc[1])
    request["messages"] += [
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "image_url"}, {"type": "text", "text": "now?"}]}
    ]
    question = request["messages"][1]["content"]
    assert factor(request, task) == [
        {"role": "system", "content": "Tools: find_booking, cancel_booking, rebook"},
        {"role": "user", "content": question},
        {"role": "assistant", "content": '{"name": "find_booking", "arguments": {"key": "k0"}}'},
        {"role": "user", "content": "Result: found\nand\nnow?"},
    ]
    full = full_messages(request)
    assert full[1:] == factor(request, task)[1:]
    assert "You are a booking agent. Be kind." in full[0]["content"]
    assert '"parameters"' in full[0]["content"]


def test_repeats_are_thinned_from_training_only_and_a_failure_stays():
    rows = made.template_rows(30, split="train")
    same = rows[0]
    repeats = [same | {"id": "again", "session_id": "again"}, same | {"id": "failed", "session_id": "failed", "failed_model": "slm"}]
    tests = [rows[1] | {"id": f"test{i}", "session_id": f"test{i}", "split": "test"} for i in range(2)]
    examples, summary, *_ = examples_of(rows + repeats + tests)
    training = examples[examples["split"] == "train"]
    kept = training[training["id"].isin([same["id"], "again", "failed"])]
    assert kept[["id", "failed", "weight"]].values.tolist() == [["failed", True, 3]]
    assert rows[1]["id"] not in set(training["id"])
    assert (examples["split"] == "test").sum() == 2
    nothing = dict.fromkeys(("dropped_by_curation", "template_changed", "over_long", "asked_an_slm"), 0)
    assert summary["left_out"] == nothing | {"near_duplicates": 2, "same_as_test": 1}
    assert summary["failures"] == 1


def test_calls_that_an_slm_was_asked_never_enter_the_test_split():
    """Neither those it failed on nor those it passed: either alone would shift what the test split measures."""
    rows = made.template_rows(40)
    before, *_ = examples_of(rows)
    gold = {"target_source": "gold", "session_id": "again"}
    tried = [
        rows[8] | gold | {"id": "passed", "split": "test", "served_by": "slm"},
        rows[8] | gold | {"id": "failed", "split": "test", "served_by": "llm", "failed_model": "slm"},
        rows[8] | gold | {"id": "validated", "split": "validation", "served_by": "slm"},
    ]
    examples, summary, *_ = examples_of(rows + tried)
    assert list(examples["id"]) == list(before["id"])
    assert summary["left_out"]["asked_an_slm"] == 3


def test_long_and_dropped_answers_are_not_trained_on_but_tested():
    long = " ".join(made.WORDS)
    rows = made.template_rows(40)
    rows[0] |= {"answer": json.dumps({"text": long, "tool_calls": []})}  # training
    rows[8] |= {"answer": json.dumps({"text": long, "tool_calls": []})}  # test
    rows[1] |= {"drop_reason": "refusal"}
    rows[9] |= {"answer": None, "drop_reason": "no_target"}
    examples, summary, *_ = examples_of(rows)
    assert not {rows[0]["id"], rows[1]["id"], rows[9]["id"]} & set(examples["id"])
    assert rows[8]["id"] in set(examples["id"])
    assert summary["left_out"]["over_long"] == 1
    assert summary["left_out"]["dropped_by_curation"] == 2


def test_several_steps_of_one_session_that_share_the_user_turn_are_all_kept():
    rows = made.agent_rows(30, split="train")
    first = json.loads(rows[2]["request"])
    for i, count in ((0, 2), (1, 4), (2, 6)):
        rows[i] |= {"session_id": "one", "request": json.dumps(first | {"messages": first["messages"][:count]})}
    examples, *_ = examples_of(rows)
    assert (examples["session_id"] == "one").sum() == 3


def test_answers_follow_the_schema_and_forms_come_from_training():
    rows = made.tool_rows("heat", 30)
    turned = json.loads(rows[0]["answer"])
    turned["tool_calls"][0]["arguments"] = dict(reversed(turned["tool_calls"][0]["arguments"].items()))
    rows[0]["answer"] = json.dumps(turned)
    twice = json.loads(rows[8]["answer"])
    rows[8]["answer"] = json.dumps(twice | {"tool_calls": twice["tool_calls"] * 2})  # test
    examples, _, calls, tasks = examples_of(rows)
    assert all(list(json.loads(a)["arguments"]) == ["place", "day"] for a in examples.loc[examples["split"] == "train", "answer"])
    ((_, described),) = group_tasks(list(tasks.values()), examples, calls).items()
    assert described["forms"] == ["tool_call"]
    assert described["name"] == "get heat"


def test_half_surrogate_pairs_reach_no_file(tmp_path):
    rows = made.template_rows(30)
    rows[0]["answer"] = json.dumps({"text": "\ud83d ok", "tool_calls": []})
    rows[0]["request"] = json.dumps({"messages": [{"role": "user", "content": made.TEMPLATE.format(words="\ud83d x")}]})
    examples, *_ = examples_of(rows)
    examples.to_parquet(tmp_path / "examples.parquet")
    assert "? ok" in set(examples["answer"])
