"""Generated traffic of templated prompts with known templates: what `slm bench cluster` measures on when it is given no data."""

import json
import random
from collections.abc import Sequence

from slm_pipeline.records import Json

SENTENCES = (1, 1, 2, 3)
WORDS = {
    "name": "Ada Bilal Chen Dora Emeka Farah Goran Hana Ivo Jana Kofi Lena Mina Noor Olga Pavel Quinn Rosa Sven Tara Umar Vera Wanda Yusuf",
    "city": "Lisbon Oslo Nairobi Quito Hanoi Leeds Turin Porto Osaka Lagos Lima Cairo Ghent Basel Perth Delhi Boston Riga Sofia Accra",
    "thing": "lamp kettle backpack drill tent printer helmet blender sofa camera watch heater scooter monitor kayak stroller desk radio",
    "tone": "formal friendly terse cheerful apologetic neutral",
    "tongue": "French German Spanish Polish Turkish Korean",
    "topic": "solar power|the water cycle|night trains|bread baking|urban bees|tide tables|chess openings|soil health|glass blowing",
    "mood": "late again|broken on arrival|better than expected|the wrong colour|hard to assemble|louder than promised|a lovely present",
    "verb": "arrived left waited paid asked refused repaired returned ordered cancelled opened measured packed counted painted",
}
FILLER = (
    "the a my our new old small large red green first last nearest second quiet broken heavy early late paper glass garden office river "
    "market bridge station engine ticket letter invoice order parcel window carpet signal meeting report budget sample summer winter"
)
HEAD = "You work for a shop that sells household goods. Read what follows with care.\n"
TAIL = "\nAnswer with one line and nothing else."
# One per task. {text}: a sentence or several, {rows}: several lines; the rest: `WORDS`, {number}, {date}, {amount}
USER = (
    "Write a {tone} email to {name} about {topic}. Keep it under {number} words.",
    "Translate into {tongue}: {text}",
    "Summarise the notes below in {number} bullet points.\n\n{rows}",
    "{text}\n\nIs this review positive or negative? Say one word.",
    "{text}\n\nWhich city does this report speak of? Say its name only.",
    HEAD + "Customer: {name}\nMessage: {text}\nDecide whether the message is a complaint." + TAIL,
    HEAD + "Customer: {name}\nMessage: {text}\nName the product that the message is about." + TAIL,
    HEAD + "Product: {thing}\nWrite a headline of at most {number} words for it." + TAIL,
    HEAD + "Order {number} of {date}\nStock: {number}\nSay whether it can be sent today." + TAIL,
    "What is the weather in {city} on {date}?",
    "Extract the date from this line and write it as YYYY-MM-DD: {text} on {date}",
    "# Context\n{rows}\n# Question\nWho {verb} first?\n# Format\nA name.",
    "# Context\n{rows}\n# Question\nHow many lines speak of {thing}s?\n# Format\nA number.",
    "# Context\n{rows}\n# Task\nPut the lines in the order of time.\n# Format\nThe lines, nothing added.",
    "Sort these names by the alphabet: {name}, {name}, {name}, {name}.",
    "Correct the spelling of the sentence and leave everything else as it is.\nSentence: {text}\nCorrected:",
    "Rate from 1 to 5 how {tone} this sentence sounds.\nSentence: {text}\nRating:",
    "Given the table\n\n{rows}\n\nreturn the row of {name} as CSV.",
    "Convert {amount} {name} dollars to euros at {amount} and round to two places.",
    "Make up a riddle whose answer is {thing}.",
    "Explain {topic} to a child of {number} years in three sentences.",
    "Step {number} of {number}.\nGoal: find a {thing} in {city}.\nSeen so far: {text}\nThink about what to do next, then say it.",
    "{name} asked on {date}: {text}\n\nDraft a reply in a {tone} tone. Sign as the service team of {city}.",
    "Compare the two offers and pick one.\nOffer A: {thing} for {amount}, {text}\nOffer B: {thing} for {amount}, {text}\nPick:",
    "Turn the request into a search query.\nRequest: {text}\nQuery:",
    "Does the second sentence follow from the first?\nFirst: {text}\nSecond: {text}\nAnswer yes, no or unknown.",
    "Tag every noun in the following sentence with its number.\n{text}",
    "Continue the story of {name} and the {thing} with exactly {number} sentences:\n{text}",
    "Plan a weekend in {city} for {number} people with a budget of {amount}.",
    "Give a title to a talk on {topic} by {name}.",
)
SYSTEM = (
    ("You classify support tickets into billing, delivery, product or other.", "{text}"),
    ("You are the night clerk of a hotel. Answer guests briefly.", "{text}"),
    ("You review short code comments for clarity. Now is {date} 10:{number}. Speak {tongue}.", "Comment: {text}"),
    ("You turn spoken orders into lines of a list. The shop is in {city}.", "{text}"),
)
FORMATS = (
    ("Fill in the form from the message.\nMessage: {text} {name} {date}", {"person": "{name}", "date": "{date}"}),
    ("Fill in the form from the message.\nMessage: {text} {thing} {amount}", {"product": "{thing}", "price": "{amount}"}),
    ("Score the essay on {topic}: {text}", {"score": "{number}", "reason": "{text}"}),
)
TOOLS = (
    ("{text}", ("find_train", "book_seat")),
    ("Where is parcel {number} for {name}?", ("track_parcel",)),
    ("Remind me to call {name} on {date} about {topic}", ("add_reminder", "list_reminders", "drop_reminder")),
)
PLANTED = "Read the meter log and say which reading is wrong.\nMeter: {city}-{number}\n{rows}\nWrong reading:"
KINDS = len(USER) + len(SYSTEM) + len(FORMATS) + len(TOOLS)


def generated_calls(count: int, seed: int, planted: int = 0, sentences: Sequence[int] = SENTENCES) -> list[Json]:
    """`count` calls `{id, task, agent, request, answer}` of 40 templates, their sizes skewed (Zipf), then `planted` calls of one more.

    `answer` as in curated calls; `task` is the template's number, as text; a text has one of these numbers of `sentences`.
    """
    rng = random.Random(seed)
    order = list(range(KINDS))
    random.Random(0).shuffle(order)  # which template is frequent is the same for every seed
    kinds = rng.choices(order, [1 / (rank + 3) for rank in range(KINDS)], k=count) + [KINDS] * planted
    return [{"id": f"{seed}-{i:06}", "task": str(kind), **_call(kind, rng, sentences)} for i, kind in enumerate(kinds)]


def _call(kind: int, rng: random.Random, sentences: Sequence[int]) -> Json:
    more: Json = {}
    answer: Json = {"text": _fill("{text}", rng, sentences), "tool_calls": []}
    if kind == KINDS or kind < len(USER):
        messages = [("user", PLANTED if kind == KINDS else USER[kind])]
    elif (kind := kind - len(USER)) < len(SYSTEM):
        messages = [("system", SYSTEM[kind][0]), ("user", SYSTEM[kind][1])]
    elif (kind := kind - len(SYSTEM)) < len(FORMATS):
        user, form = FORMATS[kind]
        messages = [("user", user)]
        schema = {"type": "object", "properties": {key: {"type": "string"} for key in form}, "required": list(form)}
        more["response_format"] = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
        answer["text"] = json.dumps({key: _fill(value, rng, sentences) for key, value in form.items()})
    else:
        user, names = TOOLS[kind - len(FORMATS)]
        messages = [("user", user)]
        parameters = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
        more["tools"] = [{"type": "function", "function": {"name": name, "description": name, "parameters": parameters}} for name in names]
        answer = {"text": "", "tool_calls": [{"name": rng.choice(names), "arguments": {"query": _fill("{thing}", rng, sentences)}}]}
    request = {"model": "m", "messages": [{"role": role, "content": _fill(text, rng, sentences)} for role, text in messages]} | more
    return {"agent": f"agent-{kind % 5}", "request": request, "answer": answer}


def _fill(template: str, rng: random.Random, sentences: Sequence[int]) -> str:
    parts = template.split("{")
    made = [parts[0]]
    for part in parts[1:]:
        slot, _, rest = part.partition("}")
        made += [_value(slot, rng, sentences), rest]
    return "".join(made)


def _value(slot: str, rng: random.Random, sentences: Sequence[int] = SENTENCES) -> str:
    if slot == "number":
        return str(rng.randint(2, 90))
    if slot == "amount":
        return f"{rng.uniform(1, 900):.2f}"
    if slot == "date":
        return f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    if slot == "text":
        return " ".join(_sentence(rng) for _ in range(rng.choice(sentences)))
    if slot == "rows":
        return "\n".join(f"{_value('date', rng)} {_value('name', rng)}: {_sentence(rng)}" for _ in range(rng.randint(2, 9)))
    values = WORDS[slot]
    return rng.choice(values.split("|") if "|" in values else values.split())


def _sentence(rng: random.Random) -> str:
    filler = FILLER.split()
    subject = _value("name", rng) if rng.random() < 0.5 else f"The {rng.choice(filler)} {_value('thing', rng)}"
    end = f"and it was {_value('mood', rng)}" if rng.random() < 0.4 else f"in {_value('city', rng)}"
    return f"{subject} {_value('verb', rng)} {' '.join(rng.sample(filler, rng.randint(2, 7)))} {end}."
