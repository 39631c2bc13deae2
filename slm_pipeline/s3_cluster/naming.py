"""Names and summaries that a person understands, made without a model: from the role and duty that a prompt states, its most used tools,
or its telling words."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import count, takewhile
from typing import NamedTuple

from slm_pipeline.answers import functions_of
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.phrases import EMPTY, Duty, duties, label_of, role_of, telling, third_person

MOST_WORDS = 6
READ = 12  # prompts of a task that are read
LONGEST = 8_000  # characters of a prompt that are read: its two ends
CLOSING = 500  # characters at a prompt's end, where it often says what it wants
COMMON = 0.25  # share of all tasks whose prompts say a word that tells nothing
RECURS = 0.7  # share of them that must say something for it to be the task's and not a call's


class Said(NamedTuple):
    """What the prompts of a task have in common: duties, most telling first; role; label of the answer; telling words in their order,
    and those of their ends."""

    duties: list[Duty]
    role: str | None
    label: str | None
    words: list[str]
    closing: list[str]


def name_tasks(tasks: list[Json], openings: list[list[str]]) -> None:
    """Set `name` of every task, two to six words where the prompts have them, unique and deterministic; and `about`, a sentence.

    `openings`: the first messages of each task's calls.
    """
    said = [_said(task, texts) for task, texts in zip(tasks, openings, strict=True)]
    spread = Counter(word for found in said for word in set(found.words))
    for task, found in zip(tasks, said, strict=True):
        task["name"] = _name(task, found, spread, len(tasks))
        task["about"] = _about(task, found)
    same: dict[str, list[int]] = {}
    for i, task in enumerate(tasks):
        same.setdefault(task["name"], []).append(i)
    for alike in same.values():
        if len(alike) > 1:
            _tell_apart([tasks[i] for i in alike], [said[i] for i in alike], spread)
    taken: set[str] = set()
    for task in sorted(tasks, key=lambda task: (task["name"], task["identity"])):
        task["name"] = free_name(task["name"], taken)
        taken.add(task["name"])


def summary(task: Json) -> str:
    """One sentence: what the prompts ask for, how many calls, how they are answered."""
    calls = "1 call" if task["train_calls"] == 1 else f"{task['train_calls']:,} calls"
    turns = "in longer conversations" if task["turns"] == "multi" else "one question each"
    return f"{task['about']}; {calls}, {turns}, {_answers(task)}"


def static_text(task: Json) -> str:
    """What all prompts of a task say: system prompt, and the template without its slots."""
    inner = (re.sub(r" (?=[,.;:!?)])", "", run) for run in task.get("inner") or ())
    return "\n".join(part for part in (task["system"], task["text_prefix"], *inner, task["text_suffix"]) if part)


def free_name(name: str, taken: Container[str]) -> str:
    """The name, or with the first number that makes it one that nothing has yet."""
    return next(found for number in count(1) if (found := name if number == 1 else f"{name} {number}") not in taken)


def slug(name: str) -> str:
    """Lower-case letters, digits and hyphens, at most 40 characters, cut between words."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "task"
    return text if len(text) <= 40 else text[:41].rpartition("-")[0] or text[:40]


def _said(task: Json, openings: Sequence[str]) -> Said:
    chosen = openings[:: -(-len(openings) // READ)]
    texts = [_ends(f"{task['system']}\n{text}" if task["system"] else text) for text in chosen]
    least = RECURS * len(texts)
    stated: dict[tuple[str, str], list[Duty]] = {}
    for text in texts:
        first: dict[tuple[str, str], Duty] = {}
        for duty in duties(text):
            words = duty.name.split()
            first.setdefault((words[0], words[-1]), duty)  # verb and thing: a value may stand between them
        for key, duty in first.items():
            stated.setdefault(key, []).append(duty)
    common = [_common(found) for found in stated.values() if len(found) >= least]
    words = Counter(word for text in texts for word in set(telling(text)))
    lasting, closing = ([word for word in dict.fromkeys(telling(text)) if words[word] >= least] for text in (texts[0], texts[0][-CLOSING:]))
    return Said(common, _most(map(role_of, texts), least), _most(map(label_of, texts), least), lasting, closing)


def _common(found: Sequence[Duty]) -> Duty:
    names = [duty.name.split() for duty in found]
    words = [word for word in names[0] if all(word in other for other in names)]
    sentence = _shared([duty.sentence for duty in found])
    if len(sentence.split()) < 4 and sentence.endswith("..."):
        sentence = f"{third_person(words[0]).capitalize()} {' '.join(words[1:])} ..."
    return Duty(" ".join(words), sentence)


def _ends(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST * 3 // 4]}\n{text[-LONGEST // 4 :]}"


def _most(found: Iterable[str | None], least: float) -> str | None:
    (most, times), *_ = Counter(found).most_common(1)
    return most if times >= least else None


def _shared(sentences: Sequence[str]) -> str:
    """The sentence that most say, else the words that all begin with."""
    (most, times), *_ = Counter(sentences).most_common(1)
    if times > len(sentences) / 2:
        return most
    columns = zip(*(sentence.split() for sentence in sentences), strict=False)
    return " ".join([*(words[0] for words in takewhile(lambda words: len(set(words)) == 1, columns)), "..."])


def _name(task: Json, said: Said, spread: Counter[str], tasks: int) -> str:
    if said.role and said.role.endswith(" agent"):
        return said.role
    if task["tools"] and task["turns"] == "single":
        return _spoken(_used_tools(task)[0])
    if task["tools"]:
        return f"{said.role} with tools" if said.role else _of_tools(task)
    if said.duties:
        return said.duties[0].name
    if said.role:
        return " ".join(telling(said.role)) if " to " in said.role else f"{said.role} answers"
    if said.label:
        return said.label
    words = [word for word in said.words if spread[word] <= max(1, COMMON * tasks)][:4] or said.words[:4]
    return " ".join(words) if len(words) > 1 else f"{words[0]} prompts" if words else "plain prompts"


def _about(task: Json, said: Said) -> str:
    if said.duties:
        about = said.duties[0].sentence
    elif said.role:
        about = f"Works as {said.role}"
    else:
        about = (
            f"Gives {said.label}"
            if said.label
            else f"Prompts with the words {', '.join(said.words[:6])}"
            if said.words
            else "Plain prompts"
        )
    if not task["tools"]:
        return about
    about = about if said.duties or said.role else f"Works with {_of_tools(task)}"
    return f"{about} ({len(task['tools'])} tools in all)" if len(task["tools"]) > 1 else f"{about} (one tool)"


def _rarest(words: Sequence[str], spread: Counter[str]) -> list[str]:
    """Words that the fewest tasks say, by their inverse document frequency; of equals the first."""
    return sorted(words, key=lambda word: spread[word])


def _tell_apart(tasks: Sequence[Json], said: Sequence[Said], spread: Counter[str]) -> None:
    """Add to each of several equal names what its prompts say and the others' do not: another duty, a role, a tool, or a word."""
    marks = [_marks(task, found, spread) for task, found in zip(tasks, said, strict=True)]
    for i, task in enumerate(tasks):
        others = {mark for j, found in enumerate(marks) if j != i for mark in found}
        base = task["name"].split()[: MOST_WORDS - 2]
        if more := next((mark for mark in marks[i] if mark not in others), None):
            task["name"] = f"{' '.join(base)}: {' '.join(more.split()[: MOST_WORDS - len(base)])}"


def _marks(task: Json, said: Said, spread: Counter[str]) -> list[str]:
    """What may tell a task from others of its name, best first."""
    if task["tools"]:
        return sorted({_spoken(function["name"]) for function in functions_of(task["tools"])} - {task["name"]})
    found = [*(duty.name for duty in said.duties[1:]), said.role, said.label, *_rarest(said.closing, spread), *_rarest(said.words, spread)]
    return [mark for mark in found if mark and not set(mark.split()) & set(task["name"].split())]


def _used_tools(task: Json) -> list[str]:
    return [tool for tool in task["actions"] if tool not in ("text", "json")] or [f["name"] for f in functions_of(task["tools"])]


def _of_tools(task: Json) -> str:
    """`calendar, email and file tools`: the things that the tools are about, those in use first."""
    weights: Counter[str] = Counter()
    for tool in {function["name"] for function in functions_of(task["tools"])} | set(task["actions"]) - {"text", "json"}:
        for word in set(_things(tool)):
            weights[word] += 0.1 + task["actions"].get(tool, 0.0)
    things = sorted(weights, key=lambda word: (-round(weights[word], 6), word))[:3]
    if not things:
        return _spoken(_used_tools(task)[0])
    return f"{_and(things)} tools"


def _things(tool: str) -> list[str]:
    """The nouns in a tool's name: `search_mails_by_date` is about mails and dates."""
    words = [word for word in _spoken(tool).split()[1:] if telling(word) and word not in EMPTY and not word.endswith("ed")]
    return [re.sub(r"(?<=[a-rt-z])s$", "", word) for word in words]


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _answers(task: Json) -> str:
    if task["answer_form"] == "tool_call":
        used = _used_tools(task)
        return f"answered by the tool {used[0]}" if len(used) == 1 else f"answered by {len(used)} tools"
    if task["answer_form"] in ("text", "json"):
        return "answered as text" if task["answer_form"] == "text" else "answered as JSON"
    shares = Counter({"text": task["actions"].get("text", 0), "JSON": task["actions"].get("json", 0)})
    shares["a tool call"] = round(1 - shares.total(), 4)
    return "answered as " + " or ".join(f"{form} ({share:.0%})" for form, share in shares.most_common() if share > 0.005)


def _spoken(tool: str) -> str:
    """`Weather_1_GetWeather` as "get weather", `read_file` as "read file"."""
    text = re.sub(r"[^A-Za-z0-9]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", tool)).strip().lower()
    return re.sub(r"^(?:\w+ ){1,3}\d+ (?=[a-z])", "", text)
