"""Generated traffic of several templated tasks with known repeats: exact ones in other spellings, and planted near-duplicates."""

import json
import random
from collections.abc import Callable
from typing import NamedTuple

from slm_pipeline.records import AgentCall, Answer, Json, ToolCall, response_of

EDITS = 0.05  # of the words
DECOYS = 0.03
TOOL = {"name": "book", "parameters": {"type": "object", "properties": {name: {"type": "string"} for name in ("who", "to", "on", "note")}}}
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi", "yo", "zu"]
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in ("", "n", "st")]


class Made(NamedTuple):
    """A call with the two texts that near-duplicates are judged by, and the number of the call that it repeats, if it does."""

    call: AgentCall
    varying: str
    answer: str
    exact_of: int | None
    near_of: int | None


def repeated_traffic(n: int, exact: float, near: float, seed: int) -> list[Made]:
    """n calls of five tasks, of which these shares are repeats of an earlier call in another session.

    Near-duplicates are planted on the task with long texts: 5 % of the words of question and answer are changed, dropped or added.
    All other calls differ from each other, many in a number or a name only. Twice DECOYS of them come close: an earlier
    question with 5 % edits and another answer, or question and answer with 30 % edits.
    """
    rng = random.Random(seed)
    made: list[Made] = []
    used: set[str] = set()
    long: list[int] = []
    while len(made) < n:
        chance = rng.random()
        if chance < exact and made:
            of = rng.randrange(len(made))
            made.append(made[of]._replace(call=_spelled(made[of].call, len(made), rng), exact_of=of, near_of=None))
        elif chance < exact + near and long:
            of = rng.choice(long)
            made.append(_report_call(len(made), _edited(made[of].varying, rng), _edited(made[of].answer, rng), of))
        elif chance < exact + near + DECOYS and long:
            asked = _edited(made[rng.choice(long)].varying, rng)
            made.append(_report_call(len(made), asked, _report(rng)[1].text))
        elif chance < exact + near + 2 * DECOYS and long:
            other = made[rng.choice(long)]
            made.append(_report_call(len(made), _edited(other.varying, rng, 0.3), _edited(other.answer, rng, 0.3)))
        else:
            task = rng.choice(_TASKS)
            asked, answer = task.write(rng)
            if asked in used:
                continue
            used.add(asked)
            said = json.dumps([{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]) if answer.tool_calls else answer.text
            if task is _TASKS[0]:
                long.append(len(made))
            made.append(Made(_call(len(made), task, asked, answer), asked, said, None, None))
    return made


def _report_call(number: int, asked: str, said: str, of: int | None = None) -> Made:
    return Made(_call(number, _TASKS[0], asked, Answer(text=said)), asked, said, None, of)


class _Task(NamedTuple):
    template: str
    write: Callable[[random.Random], tuple[str, Answer]]
    tools: list[Json] | None = None


def _report(rng: random.Random) -> tuple[str, Answer]:
    return " ".join(rng.choices(WORDS, k=rng.randint(30, 120))), Answer(text=" ".join(rng.choices(WORDS, k=rng.randint(20, 60))))


def _sum(rng: random.Random) -> tuple[str, Answer]:
    numbers = [rng.randint(1, 99) for _ in range(4)]
    return " ".join(map(str, numbers)), Answer(text=f"{' + '.join(map(str, numbers))} = {sum(numbers)}")


def _label(rng: random.Random) -> tuple[str, Answer]:
    return " ".join(rng.choices(WORDS, k=rng.randint(4, 9))), Answer(text=rng.choice(("good", "bad", "neither")))


def _booking(rng: random.Random) -> tuple[str, Answer]:
    who, to, on = rng.choice(WORDS).title(), rng.choice(WORDS).title(), f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    asked = f"Hello, my name is {who} and I would like to have a quiet seat on the first flight to {to} on {on}, please, thank you."
    return asked, Answer(tool_calls=(ToolCall("book", {"who": who, "to": to, "on": on, "note": "quiet seat on the first flight"}),))


def _ticket(rng: random.Random) -> tuple[str, Answer]:
    ticket, words = f"T-{rng.randint(10_000, 999_999)}", " ".join(rng.choices(WORDS, k=3))
    asked = f"The customer of ticket {ticket} writes again and says that the delivery of the {words} has not come yet, what do we answer?"
    return asked, Answer(text=f"We are sorry that your {words} has not come yet; we look into ticket {ticket} and write to you tomorrow.")


_TASKS = (
    _Task("Sum up this report in a few sentences.\n\n{asked}\n\nSummary:", _report),
    _Task("Add up.\nInput: 1 2 3 4\nSum: 10\nInput: {asked}\nSum:", _sum),
    _Task("Is this good, bad or neither? Answer with one word.\n{asked}", _label),
    _Task("{asked}", _booking, [{"type": "function", "function": TOOL}]),
    _Task("You answer for the shop.\n{asked}", _ticket),
)


def _call(number: int, task: _Task, asked: str, answer: Answer) -> AgentCall:
    request: Json = {"model": "m", "messages": [{"role": "user", "content": task.template.format(asked=asked)}]}
    request |= {"tools": task.tools} if task.tools else {}
    ids = {"id": f"c{number}", "session_id": f"s{number}", "agent": "made", "client_id": "made", "timestamp": 1.79e9 + number}
    return AgentCall.model_validate(ids | {"request": request, "response": response_of(answer, "m")})


def _spelled(call: AgentCall, number: int, rng: random.Random) -> AgentCall:
    """The same call in another session, written differently."""
    (message,) = call.request["messages"]
    content = message["content"]
    if isinstance(content, str):
        content = rng.choice((content, content + " \n", [{"type": "text", "text": content}]))
    messages = [message | {"content": content}]
    response = json.loads(json.dumps(call.response))
    for tool in response["choices"][0]["message"].get("tool_calls") or ():
        arguments = json.loads(tool["function"]["arguments"])
        tool["function"]["arguments"] = json.dumps(dict(reversed(arguments.items())), indent=1)
    ids = {"id": f"c{number}", "session_id": f"s{number}", "timestamp": 1.79e9 + number}
    return call.model_copy(update=ids | {"request": call.request | {"messages": messages}, "response": response})


def _edited(text: str, rng: random.Random, share: float = EDITS) -> str:
    words = text.split()
    for _ in range(max(1, round(share * len(words)))):
        place = rng.randrange(len(words))
        kind = rng.choice(("change", "drop", "add"))
        words[place : place + (kind != "add")] = [] if kind == "drop" else [rng.choice(WORDS)]
    return " ".join(words)
