"""How calls of granted tools stand in an answer, and how an answer is written with them.

`<<` begins a call and `>>` ends it; the result behind it is the tool's. In an answer of text a call stands where its equation does,
"<<2 + 8>> = 10 (left: 8 10)", and only the marks are taken away. Before a tool call, calls are notes, one a line,
"<<2024-05-15 + 3 days>> = 2024-05-18", and the lines are taken away; so are those of a user's tools ("<<orders: A12>> = shipped"), which
may stand before text as well. A model learns this from its training examples. When it answers,
it stops at `>>`, the tool's result is put behind, and it goes on from there (Cobbe et al. 2021; Schick et al. 2023, Toolformer).
"""

import re
from collections.abc import Callable, Collection
from typing import Literal, get_args

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use import calculator, date_arithmetic
from slm_pipeline.tool_use.lookups import FILE, Lookup, ToolError, helpful, look_up, read_lookups

BuiltIn = Literal["calculator", "dates"]
Tool = BuiltIn | Lookup
MOST_LOOKUPS = 4
"""Times that a user's tools are asked for one answer."""
BEGIN, END = "<<", ">>"
CALL = re.compile(f"{BEGIN}([^<>\n]+){END}")

Ask = Callable[[str, Json | None, list[str], int], tuple[str, int]]
"""Goes on behind what is written, under a schema, until a stop string (left out), the end, or so many tokens; gives what it wrote and its
tokens."""


def granted(tasks: Collection[str], group: str, settings: Settings) -> dict[str, tuple[Tool, ...]]:
    """The tools of each of `tasks` that has some: `granted_tools` names a task's key, its group's, or * for all. Raises ToolError."""
    grants, own = settings.granted_tools, read_lookups(settings)
    named = {task: grants.get(task) or grants.get(group) or grants.get("*") or () for task in tasks}
    known = dict.fromkeys(get_args(BuiltIn)) | own
    if unknown := sorted({name for names in named.values() for name in names} - known.keys()):
        raise ToolError(
            f"SLM_GRANTED_TOOLS: no tool {', '.join(unknown)}; there are {', '.join(known)}, and rows of {settings.home / FILE}"
        )
    return {task: tuple(own.get(name, name) for name in names) for task, names in named.items() if names}


def told(tools: Collection[Tool]) -> list[str | Json]:
    """The tools as JSON."""
    return [tool if isinstance(tool, str) else tool.model_dump(exclude_none=True) for tool in tools]


def tools_of(said: Collection[str | Json]) -> tuple[Tool, ...]:
    """The inverse of `told`."""
    return tuple(tool if isinstance(tool, str) else Lookup(**tool) for tool in said)


def with_calls(prompt: str, answer: str, form: str, tools: Collection[Tool]) -> str:
    """A training answer (canonical text of the form "text" or "tool_call") with the calls that give its results."""
    if BEGIN in answer or END in answer:
        return answer
    found = [(tool.name, *of) for tool in tools if isinstance(tool, Lookup) for of in helpful(tool, prompt, answer)]
    noted = [(f"{name}: {text}", said) for name, text, said in found[:MOST_LOOKUPS]]
    if form == "text":
        answer = calculator.marked(answer) if "calculator" in tools else answer
    elif "dates" in tools:
        noted += [(expression, date_arithmetic.shift(expression)) for expression in date_arithmetic.notes(prompt, answer)]
    return "".join(f"{BEGIN}{expression}{END} = {said}\n" for expression, said in noted) + answer


def without_calls(written: str, tools: Collection[Tool] = ()) -> str:
    """What a model wrote of an answer of text, without the marks of calls that gave something, and without the lines of a user's tools."""
    for tool in tools:
        if isinstance(tool, Lookup):
            written = re.sub(f"^{BEGIN}{tool.name}: [^<>\n]+{END}[^\n]*\n?", "", written, flags=re.MULTILINE)
    return CALL.sub(lambda call: call[0] if calculator.calculate(call[1]) is None else call[1], written)


def write(ask: Ask, schema: Json | None, tools: Collection[Tool], limit: int) -> tuple[str, int]:
    """An answer written with tools under `schema`, if there is one, and the tokens it took, at most `limit`.

    Notes stand before what the schema says, and are written without it.
    """
    written, spent, lookups = "", 0, MOST_LOOKUPS
    while spent < limit:
        more, tokens = ask(written, None, [END] if schema is None else [END, "{", "["], limit - spent)
        spent += tokens
        _, begun, expression = more.rpartition(BEGIN)
        if not begun:
            written += more if schema is None else ""
            break
        asked = next((tool for tool in tools if isinstance(tool, Lookup) and expression.startswith(f"{tool.name}: ")), None)
        said = look_up(asked, expression.removeprefix(f"{asked.name}: ")) if asked and lookups > 0 else None
        lookups -= asked is not None
        written += f"{more}{END}{f' = {said}' if said else _result(expression, tools)}" + ("" if schema is None and not asked else "\n")
    if schema is None:
        return without_calls(written, tools), spent
    answer, tokens = ask(written, schema, [], limit)
    return answer, spent + tokens


def _result(expression: str, tools: Collection[Tool]) -> str:
    """What is written behind a call; nothing if no tool knows it: then the model goes on by itself."""
    if "calculator" in tools and (told := calculator.continuation(expression)):
        return told
    if "dates" in tools and (day := date_arithmetic.shift(expression)):
        return f" = {day}"
    return ""
