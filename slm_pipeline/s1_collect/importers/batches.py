"""Batch files of OpenAI and Anthropic: what was asked and what came back are two files, matched by `custom_id`.

OpenAI: `{custom_id, body}` and `{custom_id, response}`. Anthropic: `{custom_id, params}` and `{custom_id, result}`. Both halves
stand in one file, or in two files of one folder that is imported as a whole. Agent, client and session as in `pairs`.
"""

from collections.abc import Hashable, Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.bodies import call_of_bodies
from slm_pipeline.s1_collect.importers.fields import Found, table

ASKED, ANSWERED = ("body", "params"), ("response", "result")
TWICE = "this custom_id stands for several calls: import one batch at a time"


def recognises(record: Json) -> bool:
    return "custom_id" in record and any(key in record for key in (*ASKED, *ANSWERED))


class Halves:
    """Halves of calls that wait for the other half."""

    def __init__(self):
        self._waiting: dict[str, tuple[Hashable, bool, Json]] = {}
        self._several: set[str] = set()

    def calls(self, record: Json, place: Hashable) -> Iterator[Found | str]:
        """The call if the other half is known; `place` is where this half stands."""
        key, asks, answers = str(record.get("custom_id")), any(k in record for k in ASKED), any(k in record for k in ANSWERED)
        if asks and answers:
            yield _call(record, record)
        elif key in self._several:
            yield TWICE
        elif key not in self._waiting:
            self._waiting[key] = (place, asks, record)
        elif self._waiting[key][1] == asks:
            # which answer belongs to which request cannot be told any more
            self._several.add(key)
            yield TWICE
        else:
            _, _, other = self._waiting.pop(key)
            yield _call(record, other) if asks else _call(other, record)

    def rest(self) -> Iterator[tuple[Hashable, str]]:
        """Where a half stands that has no other, and what is missing."""
        for key, (place, asks, _) in self._waiting.items():
            missing = "no answer" if asks else "no request"
            half = "output" if asks else "input"
            yield (
                place,
                TWICE
                if key in self._several
                else f"there is {missing} with custom_id {key!r}: put the batch's {half} file into the same folder and import the folder",
            )


def _call(asked: Json, answered: Json) -> Found | str:
    request = next((asked[key] for key in ASKED if isinstance(asked.get(key), dict)), None)
    if request is None:
        return "the request is no JSON object"
    response, result = table(answered.get("response")), table(answered.get("result"))
    body = response.get("body") if "response" in answered else result.get("message")
    if not isinstance(body, dict):
        error = answered.get("error") or result.get("error") or result.get("type")
        return f"the call has no answer: {error}"
    return call_of_bodies(request, body, {})
