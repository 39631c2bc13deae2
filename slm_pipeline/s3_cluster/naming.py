"""Names that a person understands, made without a model: from the system prompt, the most used tool, or telling words."""

import re
from collections import Counter

from slm_pipeline.answers import functions_of
from slm_pipeline.records import Json

STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by can do for from have how i if in into is it its me must my need no not of on or our shall should so "
        "that the their them then there these they this to us use using was we what when which will with you your here following given "
        "each any all only example input output role notice please system user",
    )
)
WORD = re.compile(r"[^\W\d_]{3,}")
AGENT = re.compile(r"\b(?:[Yy]ou are|[Aa]s|#) (?:an? |the )?((?:[A-Za-z-]+ ){1,3})[Aa]gent\b")


def name_tasks(tasks: list[Json], openings: list[list[str]]) -> None:
    """Set `name` of every task; unique and deterministic. `openings`: the first messages of each task's calls."""
    spread = Counter(word for texts in openings for word in {word for text in texts for word in _telling(text)})
    for task, texts in zip(tasks, openings, strict=True):
        task["name"] = _name(task, texts, spread)
    repeated = {name for name, n in Counter(task["name"] for task in tasks).items() if n > 1}
    for task in tasks:
        if task["name"] in repeated and task["tools"]:
            task["name"] = f"{task['name']} or {_second_tool(task)}"
    seen: Counter[str] = Counter()
    for task in tasks:
        seen[task["name"]] += 1
        if seen[task["name"]] > 1:
            task["name"] += f" {seen[task['name']]}"


def slug(name: str) -> str:
    """Lower-case letters, digits and hyphens, at most 40 characters, cut between words."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "task"
    return text if len(text) <= 40 else text[:41].rpartition("-")[0] or text[:40]


def _name(task: Json, openings: list[str], spread: Counter[str]) -> str:
    if match := AGENT.search((task["system"] or "")[:400]):
        return f"{match[1].strip().lower()} agent"
    if task["tools"]:
        named = [tool for tool in task["actions"] if tool not in ("text", "json")] or [
            function["name"] for function in functions_of(task["tools"])
        ]
        return (
            _spoken(named[0])
            if task["turns"] == "single"
            else f"{_spoken(named[0])}, {_spoken(named[1])}"
            if named[1:]
            else _spoken(named[0])
        )
    if task["kind"] == "prefix" and (found := _first(f"{task['text_prefix']} {task['text_suffix']}") or _first(task["prefix"])):
        return " ".join(found)
    if task["kind"] == "structure" and (found := _first(task["system"] or "")):
        return " ".join(found)
    counts = Counter(word for text in openings for word in _telling(text))
    ranked = sorted(counts, key=lambda word: (-counts[word] / spread[word], word))
    return " ".join(ranked[:3]) or "plain prompts"


def _first(text: str) -> list[str]:
    return list(dict.fromkeys(_telling(text)))[:5]


def _telling(text: str) -> list[str]:
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def _spoken(tool: str) -> str:
    """`Weather_1_GetWeather` as "get weather", `read_file` as "read file"."""
    text = re.sub(r"[^A-Za-z0-9]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", tool)).strip().lower()
    return re.sub(r"^(?:\w+ ){1,3}\d+ (?=[a-z])", "", text)


def _second_tool(task: Json) -> str:
    names = sorted({_spoken(function["name"]) for function in functions_of(task["tools"])} - {task["name"]})
    return names[0] if names else "nothing"
