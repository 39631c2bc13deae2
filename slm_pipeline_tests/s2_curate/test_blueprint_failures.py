"""What NVIDIA's Data Flywheel blueprint is known to do to a log, and must not happen here: calls through S2 and S3 as they are."""

import json
import random

import numpy as np

from slm_pipeline.records import Answer, ToolCall, response_of
from slm_pipeline.s2_curate.curation import curate_day
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.s3_cluster.assignment import assign_calls
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.examples import build_examples, gather
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s1_collect.calls import call

SETTINGS = Settings(min_task_calls=3, own_group_calls=10, min_group_calls=5, canary_share=0)
TRAIN = [s for s in (f"s{n}" for n in range(1000)) if split_of(s, SETTINGS.split_key) == "train"]
WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "hazel", "iris", "jade", "kelp", "lotus", "maple", "north")
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"key": {"type": "string"}}}}}
    for name in ("find", "order", "rare")
]


def question(n):
    return " ".join(random.Random(n).sample(WORDS, 6))


def ask(n, messages=None, answer=None, session=None, **request):
    answer = answer or Answer(text=f"It is {question(n + 5000)}.")
    asked = {"model": "m", "messages": messages or [{"role": "user", "content": question(n)}]} | request
    return call(n, session or TRAIN[n], request=asked, response=response_of(answer, "m"))


def tool_call(name="find", key="k"):
    return Answer(tool_calls=(ToolCall(name, {"key": key}),))


def curated(calls):
    return curate_day(calls, "2026-10-02", SETTINGS, lambda hashes: np.zeros(len(hashes), dtype=bool)).calls


def examples(calls):
    table = curated(calls)
    clusters, _ = find_clusters(sample_training([table], SETTINGS), None, SETTINGS)
    table = table.assign(task=assign_calls(table, clusters)["task"])
    table = table[table["task"].notna()]
    tasks = {task["key"]: task for task in clusters["tasks"]}
    gathered = gather({"2026-10-02": ""}, lambda day: table, tasks, SETTINGS, lambda text: len(text.split()))
    return build_examples(gathered, SETTINGS).examples


def agent_steps(n, session):
    """Three steps of an agent after one word of its user: each sees what the last one did."""
    system = {"role": "system", "content": "You look things up for the people of the shop and order what is missing."}
    messages = [system, {"role": "user", "content": question(n)}]
    steps = []
    for step in range(3):
        key = f"k{n}{step}"
        steps.append(ask(3 * n + step, list(messages), tool_call("find" if step < 2 else "order", key), session, tools=TOOLS))
        tool = {"id": f"c{step}", "type": "function", "function": {"name": "find", "arguments": json.dumps({"key": key})}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [tool]},
            {"role": "tool", "tool_call_id": f"c{step}", "content": f"There are {n + step} of them."},
        ]
    return steps


def test_three_agent_steps_that_share_a_user_turn_are_all_kept():
    made = examples([step for n in range(12) for step in agent_steps(n, TRAIN[n])])
    assert len(made) == 36
    assert set(made.groupby("session_id").size()) == {3}


def test_two_system_prompts_are_both_kept():
    def with_system(n, text, of):
        return ask(n, [{"role": "system", "content": text}, {"role": "user", "content": question(of)}], Answer(text=question(of + 77)))

    texts = ("You answer the customers of the shop in a friendly way.", "You answer the customers of the shop in a curt way.")
    made = examples([with_system(100 * i + n, text, n) for i, text in enumerate(texts) for n in range(15)])
    assert len(made) == 30
    assert made["task"].nunique() == 2


def test_three_spellings_of_one_call_become_one():
    def spelled(n, content, arguments):
        message = {"role": "assistant", "tool_calls": [{"id": f"x{n}", "function": {"name": "find", "arguments": arguments}}]}
        asked = {"model": "m", "messages": [{"role": "user", "content": content}], "tools": TOOLS}
        return call(n, TRAIN[n], request=asked, response={"choices": [{"message": message}]})

    spellings = [
        spelled(0, "Café in the north", '{"key": "a", "more": [1, 2]}'),
        spelled(1, [{"type": "text", "text": "Café in the north"}], '{"more":[1,2],"key":"a"}'),
        spelled(2, "Cafe\u0301 in the north \n", '{\n  "key": "a",\n  "more": [1, 2]\n}'),
    ]
    assert curated(spellings)["drop_reason"].fillna("").tolist() == ["", "exact_repeat", "exact_repeat"]


def test_one_tool_call_among_99_text_answers_drops_nothing():
    calls = [ask(n, tools=TOOLS) for n in range(99)] + [ask(99, answer=tool_call(), tools=TOOLS)]
    made = examples(calls)
    assert len(made) == 100
    assert (made["form"] == "tool_call").sum() == 1


def test_a_single_rare_tool_crashes_nothing():
    calls = [ask(n, answer=tool_call(key=f"k{n}"), tools=TOOLS) for n in range(40)] + [ask(40, answer=tool_call("rare"), tools=TOOLS)]
    made = examples(calls)
    assert made["answer"].str.contains('"rare"').sum() == 1
    assert len(made) == 41


def test_no_session_straddles_splits():
    sessions = [f"run {n}" for n in range(60)]
    table = curated([step for n, session in enumerate(sessions) for step in agent_steps(n, session)])
    assert set(table["split"]) == {"train", "validation", "calibration", "test"}
    assert (table.groupby("session_id")["split"].nunique() == 1).all()
    made = examples([step for n, session in enumerate(sessions) for step in agent_steps(n, session)])
    assert (made.groupby("session_id")["split"].nunique() == 1).all()
