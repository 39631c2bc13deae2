import json
import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.assignment import Assigner, assign_calls, fingerprint
from slm_pipeline.s3_cluster.clustering import agreement, find_clusters
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=6, own_group_calls=24, min_group_calls=20, min_text_calls=12)


def cluster(calls, previous=None, config=SETTINGS):
    sample = sample_training([calls], config)
    return find_clusters(sample, previous, config)[0]


def agents_by_task(calls, clusters):
    assigned = assign_calls(calls, clusters)
    return calls.assign(task=assigned["task"]).dropna(subset="task").groupby("task")["agent"].agg(set)


def test_tasks_and_groups_of_three_kinds_of_agents():
    calls = made.traffic()
    clusters = cluster(calls)
    assert [len(agents) for agents in agents_by_task(calls, clusters)] == [1] * 7
    tasks = {task["agents"][0]: task for task in clusters["tasks"]}
    assert set(tasks["booking"]["actions"]) == {"text", "cancel_booking", "rebook"}
    assert tasks["booking"]["name"] == "booking agent"
    assert tasks["home-heat"]["name"] == "get heat"
    groups = {group["key"]: set(group["tasks"]) for group in clusters["groups"]}
    small = {task["key"] for agent, task in tasks.items() if agent.startswith("home")}
    assert small in groups.values()
    assert {tasks["sorter"]["key"]} in groups.values()
    assert {tasks["booking"]["key"]} in groups.values()
    assert clusters["unassigned_share"] == 0


def test_the_template_is_found_with_its_few_shot_examples():
    calls = made.table(made.template_rows(40))
    (task,) = cluster(calls)["tasks"]
    head, tail = made.TEMPLATE.split("{words}")
    assert (task["text_prefix"], task["text_suffix"], task["kind"]) == (head, tail, "prefix")


def test_the_same_first_words_with_other_last_words_are_other_tasks():
    opening = "Read the words below with great care and do what is asked.\nWords: {words}\n"
    sort = opening + "Answer with all of these words, sorted by the alphabet."
    count = opening + "Answer with the number of words and with nothing else."
    calls = made.table(made.template_rows(40, template=sort) + made.template_rows(40, agent="counter", template=count))
    assert [len(agents) for agents in agents_by_task(calls, cluster(calls))] == [1, 1]


def test_a_system_prompt_that_varies_is_recognised_by_its_first_words():
    rows = []
    for i in range(30):
        system = f"You translate notes into short French sentences. The current time is 10:{i}."
        rows.append(made.row(i, "t", [{"role": "system", "content": system}, {"role": "user", "content": f"note {i}"}], "oui"))
    calls = made.table(rows)
    (task,) = cluster(calls)["tasks"]
    assert task["system"] is None
    assert task["text_prefix"].startswith("You translate notes into short French sentences.")
    assert assign_calls(calls, cluster(calls))["task"].notna().all()


def test_a_system_prompt_of_an_agent_with_tools_may_vary():
    rows = made.tool_rows("heat", 40)
    for i, one in enumerate(rows):
        request = json.loads(one["request"])
        system = {"role": "system", "content": f"You look after the heating. It is 2026-02-0{i % 9 + 1} and {i} degrees."}
        one["request"] = json.dumps(request | {"messages": [system, *request["messages"]]})
    calls = made.table(rows)
    (task,) = cluster(calls)["tasks"]
    assert task["system"] is None
    assert assign_calls(calls, cluster(calls))["task"].notna().all()


def test_prompts_of_two_call_sites_that_share_tools_are_two_tasks_whichever_tool_is_called():
    asked = ("Where is the parcel {}? Ask the tools.", "Remind me of the parcel {} on Monday.")
    tools = [made.tool("track", "key"), made.tool("remind", "key")]
    rows = [
        made.row(
            i,
            str(i % 2),
            [{"role": "user", "content": asked[i % 2].format(i)}],
            made.call(("track", "remind")[i // 2 % 2], key="k"),
            tools=tools,
        )
        for i in range(80)
    ]
    calls = made.table(rows)
    clusters = cluster(calls)
    assert [len(agents) for agents in agents_by_task(calls, clusters)] == [1, 1]
    assert [set(task["actions"]) for task in clusters["tasks"]] == [{"track", "remind"}] * 2


def test_system_prompts_that_differ_in_a_value_are_one_that_varies_but_other_duties_are_other_tasks():
    rows = []
    for i in range(120):
        city = ("Oslo", "Lima", "Riga", "Bonn")[i % 4]
        duty = ("You translate notes for guests from", "You rate complaints by visitors of")[i // 4 % 2]
        messages = [{"role": "system", "content": f"{duty} {city}. Be brief."}, {"role": "user", "content": f"note {i}"}]
        rows.append(made.row(i, duty, messages, "oui"))
    calls = made.table(rows)
    assert [len(agents) for agents in agents_by_task(calls, cluster(calls))] == [1, 1]


def test_two_system_prompts_that_differ_a_little_stay_two_tasks():
    rows = []
    for i in range(80):
        duty = ("You sort tickets by urgency.", "You sort tickets by product.")[i % 2]
        rows.append(made.row(i, duty, [{"role": "system", "content": duty}, {"role": "user", "content": f"note {i * i}"}], "oui"))
    calls = made.table(rows)
    assert [len(agents) for agents in agents_by_task(calls, cluster(calls))] == [1, 1]


def test_what_is_asked_last_in_a_conversation_tells_tasks_apart():
    asked = ("Now sum up all that was said so far in one line.", "Now list the names that were mentioned, one a line.")
    rng = random.Random(5)
    rows = []
    for i in range(80):
        messages = [
            {"role": "user", "content": f"Let us talk about {made.some_words(rng)}"},
            {"role": "assistant", "content": made.some_words(rng)},
            {"role": "user", "content": asked[i % 2]},
        ]
        rows.append(made.row(i, asked[i % 2], messages, "fine then"))
    calls = made.table(rows)
    assert [len(agents) for agents in agents_by_task(calls, cluster(calls))] == [1, 1]


def test_the_slots_of_a_template_have_types():
    template = "Write {n} lines for {name} before 2026-03-{n}.\nWords: {words}\nThen stop."
    rng = random.Random(2)
    rows = []
    for i in range(60):
        text = template.format(n=rng.randint(10, 28), name=rng.choice(["Ada", "Bo", "Cy"]), words=made.some_words(rng, 6))
        rows.append(made.row(i, "writer", [{"role": "user", "content": text}], "x y z"))
    (task,) = cluster(made.table(rows))["tasks"]
    assert task["slots"] == ["number", "choice", "date", "text"]


def test_texts_without_structure_are_clustered_by_wording():
    about = {"weather": "sunny rain forecast tomorrow snow wind temperature", "music": "song album guitar singer concert melody band"}
    rng = random.Random(3)
    rows = []
    for topic, words in about.items():
        for i in range(60):
            text = " ".join(rng.sample(words.split(), 5))
            rows.append(made.row(i, topic, [{"role": "user", "content": text}], topic))
    rows += [
        made.row(i, "noise", [{"role": "user", "content": text}], "?") for i, text in enumerate(["tax law of 1890", "SELECT 1", "42"] * 3)
    ]
    calls = made.table(rows)
    clusters = cluster(calls, config=SETTINGS.model_copy(update={"min_task_calls": 20}))
    assert [task["kind"] for task in clusters["tasks"]] == ["text", "text"]
    assert [len(agents) for agents in agents_by_task(calls, clusters)] == [1, 1]
    assert agreement(sample_training([calls], SETTINGS), dict(_members(calls, clusters)), clusters) == 1


def _members(calls, clusters):
    train = calls[calls["split"] == "train"]
    assigned = assign_calls(train, clusters).dropna(subset="task")
    return zip(assigned["id"], assigned["task"], strict=True)


def test_only_training_calls_decide():
    calls = made.traffic()
    held_out = calls["split"] != "train"
    changed = calls.assign(
        request=[
            json.dumps({"messages": [{"role": "user", "content": "x"}]}) if h else r
            for r, h in zip(calls["request"], held_out, strict=True)
        ]
    )
    assert cluster(changed) == cluster(calls)


def test_dropped_calls_do_not_count():
    calls = made.table(made.tool_rows("heat", 20, drop_reason="failed_outcome"))
    assert cluster(calls)["tasks"] == []


def test_rare_calls_have_no_task_and_small_kinds_no_group():
    clusters = cluster(made.table(made.tool_rows("heat", 5) + made.tool_rows("light", 20)))
    assert [task["agents"] for task in clusters["tasks"]] == [["home-light"]]
    assert clusters["groups"] == []
    assert list(clusters["ungrouped"]) == [clusters["tasks"][0]["key"]]


def test_nothing_to_cluster():
    assert cluster(made.traffic().head(0))["tasks"] == []


def test_descriptions_may_vary_within_a_task_but_parameters_may_not():
    rows = made.tool_rows("heat", 40)
    for i, one in enumerate(rows):
        request = json.loads(one["request"])
        request["tools"][0]["function"]["description"] = f"wording {i % 2}"
        if i >= 20:
            request["tools"][0]["function"]["parameters"]["properties"]["day"]["type"] = "integer"
        one["request"] = json.dumps(request)
    assert sorted(len(task["variants"]) for task in cluster(made.table(rows))["tasks"]) == [2, 2]


@pytest.mark.parametrize("where", ["system", "tools", "template"])
def test_one_byte_of_the_static_part_sends_the_call_to_the_llm(where):
    calls = made.traffic()
    assigner = Assigner(cluster(calls))
    agent = "sorter" if where == "template" else "booking"
    request = json.loads(calls.loc[calls["agent"] == agent, "request"].iloc[0])
    assert assigner.assign(request).task
    if where == "tools":
        request["tools"][0]["function"]["description"] += "!"
    elif where == "system":
        request["messages"][0]["content"] += "!"
    else:
        request["messages"][0]["content"] = request["messages"][0]["content"].replace("fig pear", "fig  pear")
    assigned = assigner.assign(request)
    assert assigned.task is None
    assert assigned.reason == ("unknown_structure" if where == "system" else "template_changed")


def test_without_clusters_every_call_is_unassigned():
    assigned = assign_calls(made.traffic(), None)
    assert set(assigned["reason"]) == {"no_clusters"}
    assert assigned["task"].isna().all()


def test_a_malformed_call_is_unassigned():
    calls = made.table([made.row(0, "a", "no messages", "x", drop_reason="malformed"), *made.tool_rows("heat", 20)])
    assert assign_calls(calls, cluster(calls))["reason"].iloc[0] == "malformed"


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_keys_stay_when_a_fifth_more_data_arrives(rng, planted):
    first = made.traffic()
    clusters = cluster(first)
    more = made.template_rows(8, start=500) + made.tool_rows("heat", 8, seed=1) + made.tool_rows("garden", 12 * planted)
    more = [one | {"id": f"new-{i}", "session_id": f"new-{i}"} for i, one in enumerate(more)]
    grown = pd.concat([first, made.table(rng.sample(more, len(more)))], ignore_index=True)
    again = cluster(grown, clusters)
    old = {task["key"]: (task["agents"], task["name"]) for task in clusters["tasks"]}
    new = {task["key"]: (task["agents"], task["name"]) for task in again["tasks"]}
    assert old.items() <= new.items()
    assert [agents for key, (agents, _) in new.items() if key not in old] == ([["home-garden"]] if planted else [])
    before, after = assign_calls(first, clusters), assign_calls(first, again)
    assert (before["task"] == after["task"]).all()
    # 24 planted training calls are enough for a group of their own; nothing else changes
    expected = {"keep", "keep group"} | ({"new"} if planted else set()) | ({"new group"} if planted == 3 else set())
    assert {change["kind"] for change in again["changes"]} == expected
    assert {group["key"] for group in clusters["groups"]} <= {group["key"] for group in again["groups"]}


def test_a_template_that_changes_a_little_keeps_its_key():
    old = cluster(made.table(made.template_rows(40)))
    wording = (
        "Sort these words by the alphabet, please.\nExample: pear fig -> fig pear\nWords: {words}\nAnswer with the sorted words only:\n"
    )
    both = made.table(made.template_rows(40) + made.template_rows(20, start=100, template=wording))
    assert old["tasks"][0]["key"] in {task["key"] for task in cluster(both, old)["tasks"]}


def test_a_task_that_is_gone_is_retired():
    clusters = cluster(made.traffic())
    changes = cluster(made.table(made.tool_rows("light", 20)), clusters)["changes"]
    assert sum(change["kind"] == "retire" for change in changes) == 6


def test_the_order_of_calls_does_not_matter():
    calls = made.traffic()
    assert cluster(calls.sample(frac=1, random_state=1)) == cluster(calls)


def test_the_sample_is_bounded_and_a_call_keeps_its_place_in_it():
    calls = made.traffic()
    few = SETTINGS.model_copy(update={"cluster_sample": 30})
    half = set(sample_training([calls.head(90)], few)["id"])
    days = [calls.head(90), calls.tail(len(calls) - 90)]
    whole = set(sample_training(days, few)["id"])
    assert len(half) == len(whole) == 30
    assert whole & set(calls.head(90)["id"]) <= half


def test_the_fingerprint_changes_only_with_what_assignment_uses():
    clusters = cluster(made.traffic())
    counted = json.loads(json.dumps(clusters))
    counted["tasks"][0]["train_calls"] += 1
    assert fingerprint(counted) == fingerprint(clusters)
    counted["tasks"][0]["group"] = None
    assert fingerprint(counted) != fingerprint(clusters)
