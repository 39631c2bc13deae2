"""Whether the answers of calls have one form: what decides if calls that look alike are one task."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from slm_pipeline.records import Json

UNLIKE = 0.8  # total variation distance of two distributions of forms from which they are different actions
KEYS = re.compile(r'^\s*"([^"\n]{1,60})"\s*:', re.MULTILINE)


def answer_shape(answer: Json) -> str:
    """The form of a curated answer: a tool call, the keys of its JSON, one word, or text. Which tool does not matter: that is for the agent
    to choose, and shown in the task's breakdown."""
    if answer["tool_calls"]:
        return "call"
    text = answer["text"].strip()
    if (start := text.find("{")) >= 0 and text.endswith(("}", "```", "]")) and (keys := _keys(text[start:])):
        return "json " + " ".join(keys)
    return "word" if len(text.split()) == 1 else "text"


def unlike(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether two samples of answer forms have next to nothing in common."""
    a, b = Counter(one), Counter(two)
    return sum(abs(a[form] / len(one) - b[form] / len(two)) for form in {*a, *b}) / 2 >= UNLIKE


def _keys(text: str) -> list[str]:
    """The keys of the outermost object, in alphabetical order; of JSON that does not parse, those that begin a line."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
        return sorted(found) if isinstance(found, dict) else []
    except ValueError:
        return sorted(set(KEYS.findall(text)))
