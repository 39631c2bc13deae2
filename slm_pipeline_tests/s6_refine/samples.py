"""A small group of tool calls, its examples, and answers of known quality."""

import json
from dataclasses import dataclass

import pandas as pd

GROUP = "weather-0a1b2c3d"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
    for name in ("now", "forecast")
]
TASKS = {"weather": {"name": "weather", "tools": TOOLS, "response_format": None, "system": None, "forms": ["tool_call"]}}


@dataclass(frozen=True)
class Said:
    text: str
    prompt_tokens: int = 20
    tokens: int = 10
    latency_ms: float = 100.0


def call(tool: str, **arguments) -> str:
    return json.dumps({"name": tool, "arguments": arguments})


def example(i: int, split: str, answer: str, form: str = "tool_call", **changes) -> dict:
    messages = json.dumps([{"role": "system", "content": "weather"}, {"role": "user", "content": f"question {i}"}])
    row = {"id": f"{split}{i:03}", "session_id": f"{split}-s{i // 2}", "timestamp": float(i), "day": "2026-10-01", "agent": "a"}
    row |= {"task": "weather", "split": split, "weight": 1, "form": form, "messages": messages, "full_messages": messages}
    return row | {"answer": answer, "target_source": "teacher", "teacher_answer": answer, "outcome": None, "failed": False} | changes


def examples(n: int = 40) -> pd.DataFrame:
    """n test examples, three in four of which call `now`, and 2n training examples of the same mix."""
    rows = [example(i, "test", call("forecast" if i % 4 == 3 else "now", city=f"C{i}", days=i)) for i in range(n)]
    rows += [example(i, "train", call("forecast" if i % 4 == 3 else "now", city=f"T{i}", days=i)) for i in range(2 * n)]
    return pd.DataFrame(rows)


def right(table: pd.DataFrame, share: float) -> list[Said]:
    """Answers of which the first `share` of each ten are right; the others name the right tool with a wrong city."""
    return [
        Said(answer if i % 10 < share * 10 else json.dumps({**json.loads(answer), "arguments": {"city": "Nowhere", "days": 1}}))
        for i, answer in enumerate(table["answer"])
    ]
