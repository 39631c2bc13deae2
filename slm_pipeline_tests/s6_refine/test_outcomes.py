"""Who is right on calls that an SLM has not learned from, and who says so."""

import json
import threading

import pandas as pd

from slm_pipeline.answering import KNOWN, Asked, Proposal
from slm_pipeline.answers import parse_answer
from slm_pipeline.checkers import Checker
from slm_pipeline.s6_refine.outcomes import judged, outcomes
from slm_pipeline.settings import Settings

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
SETTINGS = Settings()


def call(city):
    return json.dumps({"name": "weather", "arguments": {"city": city}})


def message(city):
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}


def example(answer=None, teacher=None, gold=None, **more):
    messages = json.dumps([{"role": "system", "content": "Tools: weather"}, {"role": "user", "content": "weather in Oslo?"}])
    return {
        "id": "call-1",
        "session_id": "s",
        "task": "task",
        "split": "validation",
        "messages": messages,
        "full_messages": messages,
        "answer": answer or call("Oslo"),
        "form": "tool_call",
        "teacher_answer": teacher,
        "outcome": json.dumps({"gold": message(gold)}) if gold else None,
    } | more


def asked(checker=None):
    return Asked([{"role": "user", "content": "weather in Oslo?"}], TOOLS, checker)


def test_gold_judges_both():
    row = example(teacher=call("Rome"), gold="Oslo")
    assert judged(row, parse_answer(call("oslo")), asked(), SETTINGS) == (True, False, "gold")
    assert judged(row, parse_answer(call("Rome")), asked(), SETTINGS) == (False, False, "gold")


def test_without_gold_the_teacher_is_right_and_the_slm_if_it_says_the_same():
    row = example(teacher=call("Oslo"))
    assert judged(row, parse_answer(call("Oslo")), asked(), SETTINGS) == (True, True, "teacher")
    assert judged(row, parse_answer(call("Rome")), asked(), SETTINGS) == (False, True, "teacher")


def test_a_checker_comes_first_and_one_that_fails_says_nothing(tmp_path):
    def checker(body):
        path = tmp_path / "task.py"
        path.write_text(f"def check(messages, answer):\n    {body}\n")
        return Checker(path, path.read_text())

    row = example(teacher=call("Rome"), gold="Rome")
    passes_oslo = asked(checker("return 'Oslo' in str(answer)"))
    assert judged(row, parse_answer(call("Oslo")), passes_oslo, SETTINGS) == (True, False, "checker")
    assert judged(row, parse_answer(call("Oslo")), asked(checker("return 1 / 0")), SETTINGS)[2] == "gold"


def test_every_call_that_was_not_learned_from_gets_a_row():
    rows = pd.DataFrame(
        [
            example(teacher=call("Oslo"), id=f"call-{split}", split=split, session_id=split)
            for split in ("train", "validation", "calibration", "test")
        ]
    )

    def answer(example, asked):
        return Proposal(call("Oslo"), parse_answer(call("Oslo")), 3, 1.0, -0.1, -0.5, None, 10, 20, 5.0)

    found = outcomes(rows, {"task": {"tools": TOOLS}}, {}, answer, SETTINGS)
    assert set(found["split"]) == {"validation", "calibration"}
    assert found["text"].iloc[0].endswith("Tools: weather"), "a router reads a text's end"
    assert (found["slm"] == 1).all()
    assert (found["agrees"] == 1).all()
    assert all(len(known) == len(KNOWN) for known in found["known"])


def test_a_server_is_asked_several_calls_at_a_time_and_rows_keep_their_order():
    rows = pd.DataFrame([example(id=f"call-{i}", full_messages=json.dumps([{"role": "user", "content": str(i)}])) for i in range(8)])
    together = threading.Barrier(4, timeout=20)

    def answer(row, asked):
        together.wait()
        text = asked.messages[-1]["content"]
        return Proposal(text, parse_answer(text), 1, 1.0, -0.1, -0.1, None, 5, 3, 1.0)

    found = outcomes(rows, {"task": {"tools": TOOLS}}, {}, answer, SETTINGS, parallel=4)
    assert found["id"].tolist() == rows["id"].tolist()
    assert found["answer"].tolist() == [str(i) for i in range(8)]
