import json

import pytest

from slm_pipeline.s3_cluster.assignment import Assigner, assign_calls
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.decisions import DecisionError, conditions, decide, undo, undo_what
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.s3_cluster.templates import factor
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=6, own_group_calls=24, min_group_calls=20, min_text_calls=12)
COUNT = "Count the words of this list, please.\nExample: pear fig -> 2\nList: {words}\nAnswer with nothing but the number of words:\n"


def cluster(calls, previous=None, decisions=()):
    return find_clusters(sample_training([calls], SETTINGS), previous, SETTINGS, decisions)[0]


def agent_key(clusters, agent):
    return next(task["key"] for task in clusters["tasks"] if task["agents"] == [agent])


def taken(clusters, what, key, before=(), **more):
    return decide(before, clusters, what, key, "ada", "2026-10-05T10:00:00+00:00", **more)


def assigned(calls, clusters, agent):
    return set(assign_calls(calls[calls["agent"] == agent], clusters)["task"])


@pytest.fixture(scope="module")
def calls():
    return made.table(made.template_rows(40) + made.template_rows(40, agent="counter", template=COUNT) + made.agent_rows(40))


@pytest.fixture(scope="module")
def found(calls):
    return cluster(calls)


def test_a_new_name_stays_and_key_and_prompt_do_not_change(calls, found):
    key = agent_key(found, "sorter")
    decisions = taken(found, "rename", key, name="alphabet")
    renamed = cluster(calls, found, decisions)
    again = cluster(calls, renamed, decisions)
    for clusters in (renamed, again):
        task = next(task for task in clusters["tasks"] if task["key"] == key)
        assert task["name"] == "alphabet"
        assert clusters["fingerprint"] == found["fingerprint"]
        request = json.loads(calls["request"].iloc[0])
        assert factor(request, task) == factor(request, next(task for task in found["tasks"] if task["key"] == key))
    assert cluster(calls, again) == cluster(calls, found)


def test_a_pinned_task_outlives_its_calls_and_a_prompt_that_grows_out_of_it(calls, found):
    key = agent_key(found, "sorter")
    others = calls[calls["agent"] != "sorter"]
    assert key not in {task["key"] for task in cluster(others, found)["tasks"]}
    decisions = taken(found, "pin", key)
    pinned = cluster(others, cluster(others, found, decisions), decisions)
    assert assigned(calls, pinned, "sorter") == {key}
    before, after = ({task["key"]: task for task in clusters["tasks"]}[key] for clusters in (found, pinned))
    assert {part: before[part] for part in ("structure", "prefix", "text_prefix", "text_suffix")} == {
        part: after[part] for part in ("structure", "prefix", "text_prefix", "text_suffix")
    }
    assert {change["kind"] for change in pinned["changes"]} == {"keep", "keep group"}


def test_an_excluded_task_has_no_group_and_says_why(calls, found):
    key = agent_key(found, "counter")
    clusters = cluster(calls, found, taken(found, "exclude", key))
    told = assign_calls(calls[calls["agent"] == "counter"], clusters)
    assert set(told["task"]) == {key}
    assert told["group"].isna().all()
    assert set(told["reason"]) == {"excluded"}
    assert clusters["ungrouped"][key]
    assert cluster(calls, clusters)["groups"] == cluster(calls, found)["groups"]


def test_merged_tasks_are_one_and_each_call_keeps_its_template(calls, found):
    key, other = agent_key(found, "sorter"), agent_key(found, "counter")
    decisions = taken(found, "merge", key, others=[other])
    merged = cluster(calls, found, decisions)
    again = cluster(calls, merged, decisions)
    for clusters in (merged, again):
        assert assigned(calls, clusters, "sorter") == assigned(calls, clusters, "counter") == {key}
        assert other not in {task["key"] for task in clusters["tasks"]}
        task = next(task for task in clusters["tasks"] if task["key"] == key)
        assert task["train_calls"] == 48
        assert task["agents"] == ["counter", "sorter"]
        varying = {json.dumps(factor(json.loads(request), task)) for request in calls.loc[calls["agent"] != "booking", "request"]}
        assert not any("Example" in prompt for prompt in varying)
        assert len({json.loads(prompt)[0]["content"] for prompt in varying}) == 1
    apart = cluster(calls, again)
    assert {task["key"] for task in apart["tasks"]} == {task["key"] for task in found["tasks"]}


def test_a_split_by_position_sends_first_and_later_calls_to_two_tasks(calls, found):
    key = agent_key(found, "booking")
    decisions = taken(found, "split", key, when=conditions(None))
    split = cluster(calls, found, decisions)
    first, later = ({task["turns"]: task for task in split["tasks"] if task["agents"] == ["booking"]}[t] for t in ("single", "multi"))
    assert key not in {first["key"], later["key"]}
    assert first["train_calls"] + later["train_calls"] == 24
    assigner = Assigner(split)
    for request in map(json.loads, calls.loc[calls["agent"] == "booking", "request"]):
        longer = any(message["role"] == "assistant" for message in request["messages"])
        assert assigner.assign(request).task == (later if longer else first)["key"]
    assert cluster(calls, split, decisions)["tasks"] == split["tasks"]
    assert agent_key(cluster(calls, split), "booking") == key


def test_a_pinned_task_that_is_split_stays_pinned(calls, found):
    key = agent_key(found, "booking")
    decisions = taken(found, "split", key, before=taken(found, "pin", key), when=conditions(None))
    split = cluster(calls, found, decisions)
    halves = {task["key"] for task in split["tasks"] if task["agents"] == ["booking"]}
    gone = cluster(calls[calls["agent"] != "booking"], split, decisions)
    assert halves < {task["key"] for task in gone["tasks"]}
    assert assigned(calls, gone, "booking") == halves


def test_a_split_by_words_looks_at_the_prompt(calls, found):
    key = agent_key(found, "sorter")
    split = cluster(calls, found, taken(found, "split", key, when=conditions("River")))
    assigner = Assigner(split)
    told = {
        "river" in json.loads(request)["messages"][0]["content"]: assigner.assign(json.loads(request)).task
        for request in calls.loc[calls["agent"] == "sorter", "request"]
    }
    assert len(set(told.values())) == 2
    assert all(told.values())


def test_a_decision_about_a_task_that_is_gone_rests_until_it_is_back(calls, found):
    key = agent_key(found, "sorter")
    decisions = taken(found, "rename", key, name="alphabet")
    gone = cluster(calls[calls["agent"] != "sorter"], found, decisions)
    back = cluster(calls, gone, decisions)
    assert next(task["name"] for task in back["tasks"] if task["key"] == key) == "alphabet"


def test_bad_input_is_told_with_what_was_probably_meant(found):
    key = agent_key(found, "sorter")
    with pytest.raises(DecisionError, match=f"no task '{key[:-1]}'. Did you mean {key}"):
        taken(found, "pin", key[:-1])
    with pytest.raises(DecisionError, match="no task 'nothing-like-it'"):
        taken(found, "merge", key, others=["nothing-like-it"])
    with pytest.raises(DecisionError, match="pinned already"):
        taken(found, "pin", key, before=taken(found, "pin", key))
    with pytest.raises(DecisionError, match="has the name"):
        taken(found, "rename", key, name="booking agent")
    with pytest.raises(DecisionError, match="one letter"):
        taken(found, "rename", key, name=" ")
    with pytest.raises(DecisionError, match="other tools"):
        taken(found, "merge", key, others=[agent_key(found, "booking")])
    with pytest.raises(DecisionError, match="with itself"):
        taken(found, "merge", key, others=[key])
    with pytest.raises(DecisionError, match="no decision 4; there are: 1"):
        undo(taken(found, "pin", key), 4)
    with pytest.raises(DecisionError, match="not excluded"):
        undo_what(taken(found, "pin", key), "exclude", key)


def test_numbers_of_decisions_are_not_used_twice_while_later_ones_stand(found):
    key, other = agent_key(found, "sorter"), agent_key(found, "counter")
    decisions = taken(found, "exclude", other, before=taken(found, "pin", key))
    decisions = taken(found, "pin", other, before=undo(decisions, 1))
    assert [decision["n"] for decision in decisions] == [2, 3]
    assert [decision["what"] for decision in undo_what(decisions, "pin", other)] == ["exclude"]
