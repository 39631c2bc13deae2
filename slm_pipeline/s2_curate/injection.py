"""Answers that obeyed instructions which somebody else had put into the data they were given.

Threat model: AgentDojo (Debenedetti et al. 2024, arXiv 2406.13352): a tool result holds text that addresses the model and asks for
another task than the user's. Text alone is no harm: an answer is poisoned only if what it does comes from that passage, that is if
tool names, argument values or words stand there and nowhere else in the conversation. A model that ignored the passage stays.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import re2

from slm_pipeline.records import Answer, Json, ToolCall, text_of

# what data has no reason to say: commands to forget, marks of roles, and words that address a model or forbid telling the user
TRIGGERS = (
    r"\b(ignore|disregard|forget|override|bypass)\b[^.\n]{0,40}\b(previous|prior|above|earlier|preceding|all|any|your|other)\b[^.\n]{0,30}"
    r"\b(instructions?|prompts?|rules|guidelines|tasks?|commands?|directions|context)\b",
    r"<\s*(information|important|system|instructions?|admin)\s*(message|prompt)?\s*>[^<]{0,300}?\b(you|your|please|must|ignore|do not|send|"
    r"call|delete|transfer|forward|make|create|update|invite|say|reply|answer|visit|click|execute|run|book|pay|post|upload|share)\b",
    r"<\|[a-z_]+\|>|\[/?INST\]|<<SYS>>|^\s*#{2,}\s*(system|instructions?|new instructions?)\s*:",
    r"(^|\n|\"|\\n)\s*([\[(](system|developer|assistant)[\])]|(system|developer) (message|note|override|prompt)|"
    r"(?-i:SYSTEM|ASSISTANT))\s*:\s",
    r"\b(you must|you should|please|now|immediately),? (call|use|invoke|execute|run) the [\w`'\"]{0,40} ?(function|tool|api)\b",
    r"\b(this is|here is) an? (important|urgent) (message|instruction|notice)[^.\n]{0,60}\bto (you|the (ai|assistant|model|agent|llm))\b",
    r"\b(attention|note to|dear|hey|hello),? (the )?(ai|llm|language model|assistant|agent|chatbot|gpt|claude|model)\b",
    r"\b(ai|llm)( (assistants?|agents?|models?))?( reading (this|it))? (must|should|shall|needs? to|has to|have to)\b",
    r"\b(your|the) new (task|instructions?|goal|objective|role) (is|are)\b|\bnew instructions?\s*:",
    r"\b(do not|don['’]t|never|without) (tell(ing)?|inform(ing)?|mention(ing)?|notify(ing)?|alert(ing)?)\b[^.\n]{0,30}\b(the )?user\b",
    r"\byou are now (an?|the|in)\b|\bignoriere\b[^.\n]{0,40}\banweisungen\b|忽略[^。\n]{0,12}指令",
    r"\bignor[ae][zr]?\b[^.\n]{0,40}\binstruc[ct]i?on\w*",
)
# what a notice to people may say as well: it counts only if the answer calls a tool that nobody asked for
WEAK_TRIGGERS = (
    r"\bimportant\b[!:\s]{0,4}[^.\n]{0,40}\b(you (must|should|need to|have to)|ignore|message (from|to)|instructions? (to|for))\b",
    r"\bbefore (you )?(can )?(solv|answer|continu|complet|proceed|do)\w*[^.\n]{0,80}\b(please|you (must|should|need)|first)\b",
)
AFTERWARDS = re.compile(r"do not|don|never|without|ai\b|llm", re.IGNORECASE)  # the command may stand in front of these
OPENED = re.compile(r"<\s*(information|important|system|instructions?|admin)\s*(?:message|prompt)?\s*>", re.IGNORECASE)
# documents that a user's message quotes: fenced, tagged, or in triple quotes
QUOTED = re.compile(
    r"```.*?```|\"\"\".*?\"\"\"|<(document|context|email|page|webpage|search_results?|retrieved|file)\b[^>]*>.*?</\1>", re.DOTALL
)
REPORTED = re.compile(
    r"\b(ignor|suspicio|phish|injection|malicious|unauthori[sz]ed|scam|did not follow|didn['’]t follow|not follow|won['’]t follow|"
    r"instructions? (in|inside|within|embedded|found)|unrelated to your request|can(not|['’]t) (comply|follow|act on))",
    re.IGNORECASE,
)
TOKEN = re.compile(r"[\w@][\w@.+:/%#?=&-]*[\w/]|\w")
TELLING = re.compile(r"\d{3}|@|://|www\.|\w[_/]\w|\w\.\w{2,}|[a-z]\d|\d[a-z]", re.IGNORECASE)  # what nobody writes by chance
LONGEST_COMMAND = 2000  # characters
RUN = 4  # words in a row that a text takes from a passage


def _compiled(patterns: tuple[str, ...]):
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile("|".join(f"(?:{pattern})" for pattern in patterns), options)


STRONG, TRIGGER = _compiled(TRIGGERS), _compiled(TRIGGERS + WEAK_TRIGGERS)


def obeyed_injection(messages: list[Json], answer: Answer) -> bool:
    """Whether the answer does what a passage of a tool result, or of a document that a user quotes, tells it to.

    `messages`: those of the request, OpenAI form. What an assistant said before counts neither for nor against: it may have
    obeyed already.
    """
    passages, rest = _divided(messages)
    if not passages:
        return False
    strong = any(STRONG.search(passage) for passage in passages)
    injected, known = _Words(" \n ".join(passages)), _Words(" \n ".join(rest))
    if not answer.tool_calls:
        return strong and _text_obeys(answer.text, injected, known)
    asked = _Words(" \n ".join(text_of(message) for message in messages if message["role"] not in ("assistant", "tool", "function")))
    return any(_call_obeys(call, injected, known, _is_asked(call.name, asked), strong) for call in answer.tool_calls)


class _Words:
    """A text by its words, its telling tokens and its runs of RUN words."""

    def __init__(self, text: str):
        self.text = _plain(text)
        self.tokens = set(TOKEN.findall(self.text))
        self.words = re.findall(r"\w+", self.text)
        self.line = f" {' '.join(self.words)} "

    def runs(self) -> set[tuple[str, ...]]:
        return set(zip(*(self.words[i:] for i in range(RUN)), strict=False))

    def telling(self) -> set[str]:
        return {token for token in self.tokens if TELLING.search(token)}


def _call_obeys(call: ToolCall, injected: _Words, known: _Words, is_asked: bool, strong: bool) -> bool:
    leaves = [value for value in _leaves(list(call.arguments.values())) if isinstance(value, str | int | float)]
    values = [str(value) for value in leaves if not isinstance(value, bool)]
    if (strong or not is_asked) and any(_comes_from(value, injected, known) for value in values):
        return True
    words = _name_words(call.name)
    commanded = set(words[:1]) <= set(injected.words) and not set(words[1:]).isdisjoint(injected.words)
    told = not values or any(_plain(value) in injected.tokens for value in values)
    return strong and not is_asked and (call.name.lower() in injected.text or commanded) and told


def _is_asked(name: str, asked: _Words) -> bool:
    return name.lower() in asked.text or not set(_name_words(name)[:1]).isdisjoint(asked.words)


def _name_words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


def _comes_from(value: str, injected: _Words, known: _Words) -> bool:
    """Whether a value, or what is telling in it, stands in the passage and nowhere else."""
    said = _Words(value)
    whole = len(said.text) >= 4 and said.line in injected.line and said.line not in known.line
    return whole or _takes(said, injected, known)


def _takes(said: _Words, injected: _Words, known: _Words) -> bool:
    if any(token in injected.tokens and token not in known.text for token in said.telling()):
        return True
    return bool(said.runs() & injected.runs() - known.runs())


def _text_obeys(text: str, injected: _Words, known: _Words) -> bool:
    if REPORTED.search(text) or TRIGGER.search(text):  # it speaks about the passage
        return False
    return _takes(_Words(text), injected, known)


def _divided(messages: list[Json]) -> tuple[list[str], list[str]]:
    """The passages that address the model, and all other text that is not the model's own."""
    passages, rest = [], []
    for message in messages:
        if message["role"] == "assistant":
            continue
        text = text_of(message)
        data = message["role"] in ("tool", "function")
        if not TRIGGER.search(text) or not (data or message["role"] == "user"):
            rest.append(text)
            continue
        quoted = [text] if data else [match.group() for match in QUOTED.finditer(text)]
        rest += [] if data else [QUOTED.sub(" ", text)]
        for document in quoted:
            for leaf in _texts(document):
                kept, end = [], 0
                for start, stop in _spans(leaf):
                    passages.append(leaf[start:stop])
                    kept.append(leaf[end:start])
                    end = stop
                rest += [*kept, leaf[end:]]
    return passages, rest


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the passages lie, disjoint and in order: a tagged block, or what follows the trigger to the end of the command."""
    end = 0
    for match in TRIGGER.finditer(text):
        if match.start() < end:
            continue
        start = match.start()
        if AFTERWARDS.match(match.group().lstrip()):
            start = _line_before(text, end, start)
        opened = OPENED.match(text, match.start())
        closing = opened and re.compile(rf"</\s*{opened.group(1)}[^>]*>", re.IGNORECASE).search(text, opened.end())
        end = closing.end() if closing else len(text) if opened else _command_end(text, match.end())
        yield start, end


def _line_before(text: str, least: int, position: int) -> int:
    """Where the line begins, `least` at least; that before it, if these are its first words."""
    least = max(least, position - LONGEST_COMMAND)
    start = max(least, text.rfind("\n", least, position) + 1)
    return start if len(text[start:position].split()) >= RUN else max(least, text.rfind("\n", least, max(start - 1, least)) + 1)


def _command_end(text: str, position: int) -> int:
    """The end of the line if that says what to do, else of its paragraph; what a colon announces belongs to it.

    Lines that are indented deeper go on with it: so YAML folds long strings.
    """
    text = text[: position + LONGEST_COMMAND]
    start = text.rfind("\n", max(0, position - LONGEST_COMMAND), position) + 1
    first, *following = text[start:].split("\n")
    end = start + len(first)
    for line in following:
        if not line.strip() or _indent(line) <= _indent(first):
            break
        end += 1 + len(line)
    said = text[position:end].rstrip()
    if len(said.split()) < RUN or said.endswith(":"):
        end = text.find("\n\n", position)
    while end >= 0 and text[position:end].rstrip().endswith(":"):
        end = text.find("\n\n", end + 2)
    return len(text) if end < 0 else end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))


def _texts(document: str) -> Iterator[str]:
    """The strings of a result in JSON, so that a passage ends where its field does; any other text as it is.

    YAML is not parsed: its parsers do not survive deep nesting.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    yield from map(str, _leaves(value)) if isinstance(value, dict | list) else (document,)


def _leaves(value: Any) -> Iterator[Any]:
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict | list):
            todo += [*value, *value.values()] if isinstance(value, dict) else value
        else:
            yield value


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
