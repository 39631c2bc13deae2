import json
import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.assignment import assign_calls
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.examples import build_examples, gather, group_tasks, stored, version_of
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages, mine
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=3, own_group_calls=10, min_group_calls=5, max_answer_tokens=8)
words = st.lists(st.sampled_from(["a", "b", "cc", "\n", "d\n"]), max_size=6).map(" ".join)


def tasks_of(calls):
    clusters, _ = find_clusters(sample_training([calls], SETTINGS), None, SETTINGS)
    return clusters, {task["key"]: task for task in clusters["tasks"]}


def examples_of(rows, settings=SETTINGS):
    calls = made.table(rows)
    clusters, tasks = tasks_of(calls)
    calls = calls.assign(task=assign_calls(calls, clusters)["task"])
    gathered = gather({"": ""}, lambda _: calls.assign(day=""), tasks, settings, count_words)
    examples, _, summary = build_examples(gathered, settings)
    return examples, summary, calls, tasks


def count_words(text):
    return len(text.split())


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
    assert {reason: n for reason, n in summary["left_out"].items() if n} == {"near_duplicates": 2, "same_as_test": 1}
    assert summary["failures"] == 1


def test_calls_that_were_chosen_by_what_they_say_never_enter_the_test_split():
    """Neither those that an SLM failed on nor those it passed: either alone would shift what the test split measures."""
    rows = made.template_rows(40)
    before, *_ = examples_of(rows)
    gold = {"target_source": "gold", "session_id": "again"}
    tried = [
        rows[8] | gold | {"id": "passed", "split": "test", "served_by": "slm", "chosen": True},
        rows[8] | gold | {"id": "failed", "split": "test", "served_by": "llm", "failed_model": "slm", "chosen": True},
        rows[8] | gold | {"id": "validated", "split": "validation", "served_by": "slm", "chosen": True},
    ]
    examples, summary, *_ = examples_of(rows + tried)
    assert list(examples["id"]) == list(before["id"])
    assert summary["left_out"]["chosen"] == 3
    audited = [rows[8] | gold | {"id": "audited", "split": "test", "served_by": "slm"}]
    examples, *_ = examples_of(rows + tried + audited)
    assert set(examples["id"]) - set(before["id"]) == {"audited"}


def test_a_failure_keeps_what_the_slm_had_said_in_the_same_canonical_form():
    rows = made.tool_rows("weather", 30)
    said = json.dumps(made.call("get_weather", day="Monday", place="Nowhere"))
    rows[0] |= {"failed_model": "slm", "served_by": "llm", "failed_answer": said}
    rows[1] |= {"failed_model": "slm", "served_by": "llm"}  # it gave no answer
    examples, *_ = examples_of(rows)
    rejected = examples.set_index("id")["rejected_answer"]
    assert rejected[rows[0]["id"]] == '{"name": "get_weather", "arguments": {"place": "Nowhere", "day": "Monday"}}'
    assert rejected.drop(rows[0]["id"]).isna().all()


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
    examples, _, _, tasks = examples_of(rows)
    assert all(list(json.loads(a)["arguments"]) == ["place", "day"] for a in examples.loc[examples["split"] == "train", "answer"])
    ((_, described),) = group_tasks(list(tasks.values()), examples).items()
    assert described["forms"] == ["tool_call"]
    assert described["name"] == "get heat"


def test_json_that_was_asked_for_and_came_every_time_is_a_form_of_its_own():
    form = {
        "type": "json_schema",
        "json_schema": {"name": "word", "schema": {"type": "object", "properties": {"word": {"type": "string"}}}},
    }
    rows = made.template_rows(30, response_format=form)
    for row in rows:
        row["answer"] = json.dumps({"text": json.dumps({"word": json.loads(row["answer"])["text"]}), "tool_calls": []})
    examples, _, _, tasks = examples_of(rows)
    ((_, described),) = group_tasks(list(tasks.values()), examples).items()
    assert described["forms"] == ["json"]
    rows[0]["answer"] = json.dumps({"text": "no JSON", "tool_calls": []})
    examples, _, _, tasks = examples_of(rows)
    ((_, described),) = group_tasks(list(tasks.values()), examples).items()
    assert described["forms"] == ["json", "text"]


def test_half_surrogate_pairs_reach_no_file(tmp_path):
    rows = made.template_rows(30)
    rows[0]["answer"] = json.dumps({"text": "\ud83d ok", "tool_calls": []})
    rows[0]["request"] = json.dumps({"messages": [{"role": "user", "content": made.TEMPLATE.format(words="\ud83d x")}]})
    examples, *_ = examples_of(rows)
    examples.to_parquet(tmp_path / "examples.parquet")
    assert "? ok" in set(examples["answer"])


def reports(count, split="train", seed=0, start=0, **more):
    """A templated task with long varying parts and long answers."""
    rng = random.Random(f"reports{seed}")
    rows = []
    for i in range(count):
        asked, said = made.some_words(rng, 18), made.some_words(rng, 18)
        message = {"role": "user", "content": f"Sum up what follows for the man at the top.\n{asked}\nIn short:\n"}
        rows.append(made.row(start + i, "reporter", [message], said, split=split, **more))
    return rows


def like(row, id_, split="train", asked=True, said=True, **more):
    """The row in another session, with one word changed in what is asked and in what is said."""
    request, answer = json.loads(row["request"]), json.loads(row["answer"])
    if asked:
        first, text, last = request["messages"][0]["content"].split("\n", 2)
        request["messages"][0]["content"] = "\n".join([first, "otherwise " + text.split(" ", 1)[1], last])
    if said:
        answer["text"] = "otherwise " + answer["text"].split(" ", 1)[1]
    return (
        row
        | {
            "id": id_,
            "session_id": id_,
            "timestamp": row["timestamp"] + 1000,
            "split": split,
            "request": json.dumps(request),
            "answer": json.dumps(answer),
        }
        | more
    )


LONG = SETTINGS.model_copy(update={"max_answer_tokens": 30})


def kept(rows, settings=LONG):
    examples, summary, *_ = examples_of(rows, settings)
    return set(examples["id"]), {reason: n for reason, n in summary["left_out"].items() if n}, examples.set_index("id")


def test_near_duplicates_in_question_and_answer_are_thinned_from_training_only():
    rows = reports(30)
    ids, lost, examples = kept([*rows, like(rows[0], "near"), like(rows[1], "v", split="validation"), like(rows[2], "other", said=False)])
    assert ids == {row["id"] for row in rows} | {"v"}
    assert lost == {"near_duplicates": 2}
    assert examples.loc[rows[0]["id"], "weight"] == 2
    ids, lost, _ = kept([*rows, rows[0] | {"id": "same question", "session_id": "x", "answer": rows[5]["answer"]}])
    assert "same question" in ids
    assert not lost


def test_training_asks_nothing_that_a_test_call_nearly_asks():
    rows = reports(30)
    other_answer = {"answer": json.dumps({"text": "no", "tool_calls": []})}
    ids, lost, _ = kept([*rows, like(rows[0], "t", split="test"), like(rows[1], "t2", split="test") | other_answer])
    assert not {rows[0]["id"], rows[1]["id"]} & ids
    assert lost == {"same_as_test": 2}


def test_a_call_on_which_an_slm_failed_stays_and_what_it_repeats_goes():
    rows = reports(30)
    ids, _, examples = kept([*rows, like(rows[0], "failed", failed_model="slm", served_by="llm")])
    assert rows[0]["id"] not in ids
    assert examples.loc["failed", ["failed", "weight"]].tolist() == [True, 2]


def test_prose_among_json_is_not_trained_on_unless_an_slm_failed_there():
    rows = [row | {"answer": json.dumps({"text": json.dumps({"n": i}), "tool_calls": []})} for i, row in enumerate(reports(200))]
    prose = json.dumps({"text": "I would say that this is a good one", "tool_calls": []})
    rows[3] |= {"answer": prose}
    rows[4] |= {"answer": prose, "failed_model": "slm", "served_by": "llm"}
    ids, lost, _ = kept(rows)
    assert rows[3]["id"] not in ids
    assert rows[4]["id"] in ids
    assert lost == {"wrong_form": 1}


def test_an_answer_that_equal_questions_contradict_is_not_trained_on():
    rows = reports(30)
    asked = [rows[0] | {"id": f"again{i}", "session_id": f"again{i}"} for i in range(4)]
    odd = asked[3] | {"answer": json.dumps({"text": "no", "tool_calls": []})}
    ids, lost, _ = kept([*rows, *asked[:3], odd])
    assert odd["id"] not in ids
    assert lost["low_agreement"] == 1


@pytest.mark.parametrize("limit", [20_000, 12])
@pytest.mark.parametrize("changed", [None, "d2"])
def test_a_new_day_reads_only_itself_and_gives_what_all_days_at_once_give(limit, changed):
    settings = LONG.model_copy(update={"max_group_examples": limit})
    rows = reports(60, split="train") + reports(30, split="test", seed=1, start=100)
    rows += [like(rows[i], f"near{i}") for i in range(6)]
    calls = made.table([row | {"day": f"d{i % 3}"} for i, row in enumerate(rows)])
    clusters, tasks = tasks_of(calls)
    calls = calls.assign(task=assign_calls(calls, clusters)["task"])
    by_day = dict(list(calls.groupby("day")))
    sources, was_read = {"d0": "1", "d1": "1", "d2": "1"}, []

    def read(day):
        was_read.append(day)
        part = by_day[day]
        return part.iloc[5:] if day == changed and sources[day] == "2" else part

    first = gather({"d0": "1", "d1": "1"} | ({changed: "1"} if changed else {}), read, tasks, settings, count_words)
    sources |= {changed: "2"} if changed else {}
    chosen = build_examples(first, settings)
    was_read.clear()
    later = gather(sources, read, tasks, settings, count_words, stored(chosen.examples, chosen.left_out, first.days))
    assert was_read == (["d2"] if limit > 12 or not changed else ["d0", "d1", "d2"])
    at_once = gather(sources, read, tasks, settings, count_words)
    some, other = build_examples(later, settings), build_examples(at_once, settings)
    pd.testing.assert_frame_equal(some.examples, other.examples)
    pd.testing.assert_frame_equal(some.left_out, other.left_out)
    assert some.summary == other.summary
    assert later.days == at_once.days
    assert version_of(some.examples, {}) == version_of(other.examples, {}) != version_of(chosen.examples, {})


def test_a_limit_keeps_failures_first_and_then_the_same_calls_whatever_else_there_is():
    settings = LONG.model_copy(update={"max_group_examples": 20})
    rows = reports(60)
    rows[7] |= {"failed_model": "slm", "served_by": "llm"}
    ids, lost, _ = kept(rows, settings)
    assert rows[7]["id"] in ids
    assert (len(ids), lost) == (20, {"beyond_limit": 40})
    fewer, _, _ = kept(rows[:50], settings)
    assert ids & {row["id"] for row in rows[:50]} <= fewer


def test_a_group_of_which_nothing_can_be_learned_has_no_examples():
    rows = [row | {"drop_reason": "refusal"} for row in made.template_rows(4, split="train")]
    calls = made.table(rows).assign(task="sort")
    gathered = gather({"a": "", "b": ""}, lambda day: calls.assign(day=day), {}, SETTINGS, count_words)
    examples, left_out, summary = build_examples(gathered, SETTINGS)
    assert (len(examples), len(left_out)) == (0, 0)
    assert summary["left_out"]["dropped_by_curation"] == 8
