"""Made-up traffic of three agents, as curated rows: small tool sets, a templated prompt, a long conversation."""

import json
import random
import re

import pandas as pd

WORDS = re.findall(
    r"\w+", "amber birch cedar delta ember flint grove hazel iris jade kelp lotus maple north olive pearl quartz river slate tulip"
)
TEMPLATE = "Sort these words by the alphabet.\nExample: pear fig -> fig pear\nWords: {words}\nAnswer with the sorted words only:\n"
SPLITS = ["train"] * 6 + ["validation", "calibration", "test", "test"]


def tool(name, *parameters, description="Does it."):
    properties = {parameter: {"type": "string", "description": f"the {parameter}"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def call(name, **arguments):
    return {"text": "", "tool_calls": [{"name": name, "arguments": arguments}]}


def row(number, agent, messages, answer, **more):
    columns = {
        key: more.pop(key, None) for key in ("outcome", "served_by", "failed_model", "failed_answer", "failed_reason", "drop_reason")
    }
    columns["chosen"] = more.pop("chosen", False)
    split, day = more.pop("split", SPLITS[number % 10]), more.pop("day", "2026-10-01")
    answer = {"text": answer, "tool_calls": []} if isinstance(answer, str) else answer
    return {
        "id": f"{agent}-{number:04}",
        "timestamp": 1.79e9 + number,
        "day": day,
        "agent": agent,
        "session_id": f"{agent}-s{number}",
        "client_id": "c",
        "split": split,
        "request": json.dumps({"model": "m", "messages": messages} | more),
        "answer": json.dumps(answer),
        "target_source": "teacher",
        "teacher_answer": json.dumps(answer),
    } | columns


def table(rows):
    frame = pd.DataFrame(rows)
    text = [column for column in frame.columns if column not in ("timestamp", "chosen")]
    return frame.astype(dict.fromkeys(text, "str"))


def some_words(rng, count=4):
    return " ".join(rng.sample(WORDS, count))


def tool_rows(task, count, seed=0, **more):
    """Single-turn questions to a small tool set of its own."""
    rng = random.Random(f"{task}{seed}")
    tools = [tool(f"get_{task}", "place", "day"), tool(f"set_{task}", "place")]
    questions = [some_words(rng) for _ in range(count)]
    return [
        row(
            i,
            f"home-{task}",
            [{"role": "user", "content": q}],
            call(f"get_{task}", place=q.split()[0], day=q.split()[1]),
            tools=tools,
            **more,
        )
        for i, q in enumerate(questions)
    ]


def template_rows(count, start=0, agent="sorter", template=TEMPLATE, **more):
    """A few-shot prompt in which only one line varies."""
    rng = random.Random(f"{agent}{start}")
    asked = [some_words(rng, rng.randint(3, 6)) for _ in range(count)]
    return [
        row(start + i, agent, [{"role": "user", "content": template.format(words=words)}], " ".join(sorted(words.split())), **more)
        for i, words in enumerate(asked)
    ]


def agent_rows(count, **more):
    """One agent loop with several tools and conversations of different lengths."""
    rng = random.Random(7)
    tools = [tool(name, "key") for name in ("find_booking", "cancel_booking", "rebook")]
    rows = []
    for i in range(count):
        messages = [{"role": "system", "content": "You are a booking agent. Be kind."}, {"role": "user", "content": some_words(rng)}]
        for step in range(i % 3):
            arguments = json.dumps({"key": f"k{step}"})
            made = {"id": "x", "type": "function", "function": {"name": "find_booking", "arguments": arguments}}
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [made]},
                {"role": "tool", "tool_call_id": "x", "content": "found"},
            ]
        answer = "Done." if i % 2 else call(rng.choice(["cancel_booking", "rebook"]), key=f"k{i}")
        rows.append(row(i, "booking", messages, answer, tools=tools, **more))
    return rows


def traffic():
    small = [r for task in ("heat", "light", "music", "door", "blind") for r in tool_rows(task, 20)]
    return table(small + template_rows(40) + agent_rows(40))
