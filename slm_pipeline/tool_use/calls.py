"""How calls of granted tools stand in an answer, and how an answer is written with them.

`<<` begins a call and `>>` ends it; the result behind it is the tool's. In an answer of text a call stands where its equation does,
"<<2 + 8>> = 10 (left: 8 10)", and only the marks are taken away. Before a tool call, calls are notes, one a line,
"<<2024-05-15 + 3 days>> = 2024-05-18", and the lines are taken away. A model learns this from its training examples. When it answers,
it stops at `>>`, the tool's result is put behind, and it goes on from there (Cobbe et al. 2021; Schick et al. 2023, Toolformer).
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from slm_pipeline.records import Json
from slm_pipeline.tool_use import calculator, date_arithmetic

Tool = Literal["calculator", "dates"]
BEGIN, END = "<<", ">>"
CALL = re.compile(f"{BEGIN}([^<>\n]+){END}")

Ask = Callable[[str, Json | None, list[str], int], tuple[str, int]]
"""Goes on behind what is written, under a schema, until a stop string (left out), the end, or so many tokens; gives what it wrote and its
tokens."""


def granted(tasks: Collection[str], group: str, grants: Mapping[str, tuple[Tool, ...]]) -> dict[str, tuple[Tool, ...]]:
    """The tools of each of `tasks` that has some; `grants` names a task's key, its group's, or * for all."""
    found = {task: grants.get(task) or grants.get(group) or grants.get("*") or () for task in tasks}
    return {task: tools for task, tools in found.items() if tools}


def with_calls(prompt: str, answer: str, form: str, tools: Collection[Tool]) -> str:
    """A training answer (canonical text of the form "text" or "tool_call") with the calls that give its results."""
    if BEGIN in answer or END in answer:
        return answer
    if form == "text":
        return calculator.marked(answer) if "calculator" in tools else answer
    noted = date_arithmetic.notes(prompt, answer) if "dates" in tools else []
    return "".join(f"{BEGIN}{expression}{END} = {date_arithmetic.shift(expression)}\n" for expression in noted) + answer


def without_calls(written: str) -> str:
    """What a model wrote of an answer of text, without the marks of calls that gave something."""
    return CALL.sub(lambda call: call[0] if calculator.calculate(call[1]) is None else call[1], written)


def write(ask: Ask, schema: Json | None, tools: Collection[Tool], limit: int) -> tuple[str, int]:
    """An answer written with tools under `schema`, if there is one, and the tokens it took, at most `limit`.

    Notes stand before what the schema says, and are written without it.
    """
    written, spent = "", 0
    while spent < limit:
        more, tokens = ask(written, None, [END] if schema is None else [END, "{", "["], limit - spent)
        spent += tokens
        _, begun, expression = more.rpartition(BEGIN)
        if not begun:
            written += more if schema is None else ""
            break
        written += f"{more}{END}{_result(expression, tools)}" + ("" if schema is None else "\n")
    if schema is None:
        return without_calls(written), spent
    answer, tokens = ask(written, schema, [], limit)
    return answer, spent + tokens


def _result(expression: str, tools: Collection[Tool]) -> str:
    """What is written behind a call; nothing if no tool knows it: then the model goes on by itself."""
    if "calculator" in tools and (told := calculator.continuation(expression)):
        return told
    if "dates" in tools and (day := date_arithmetic.shift(expression)):
        return f" = {day}"
    return ""
