"""What importers read out of other people's records, whatever stands in them: every function is total."""

import json
import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic_core import from_json

from slm_pipeline.records import Json

AGENT = ("agent", "agent_name", "app", "app_name", "application", "service", "workflow", "workflow_name")
CLIENT = ("client_id", "user_id", "end_user", "end_user_id", "user", "customer_id")
SESSION = ("session_id", "conversation_id", "thread_id", "chat_id", "session")
UNKNOWN = "unknown"
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # numbers above the first are nano-, micro-, milliseconds


class Found(NamedTuple):
    """A call as an importer found it: the fields of an `AgentCall`.

    Without a `session_id`, `run` is the id of a session that it begins unless it continues a conversation (None: its own id).
    A `timestamp` of None is that of the file.
    """

    fields: Json
    run: str | None = None


def found(form: str, key: str, *, run: str | None = None, source: Json | None = None, **fields: object) -> Found:
    """A call whose id is `<form>-<key>`; fields that are None stay absent, agent and client "unknown". `source`: where it was."""
    made = {"agent": UNKNOWN, "client_id": UNKNOWN}
    made |= {name: value for name, value in fields.items() if value is not None or name == "timestamp"}
    origin = {name: value for name, value in (source or {}).items() if value is not None}
    return Found({"id": f"{form}-{key}"} | made | {"source": {"form": form} | origin}, run and f"{form}-{run}")


def pick(record: object, *names: str) -> object:
    """The first value that is not None under these snake_case names or their camelCase."""
    for name in names if isinstance(record, dict) else ():
        for key in (name, re.sub("_([a-z])", lambda match: match[1].upper(), name)):
            if record.get(key) is not None:
                return record[key]
    return None


def table(value: object) -> Json:
    """The value if it is an object, or JSON text of one; else {}."""
    value = parsed(value)
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Json]:
    """The objects in a list, or in JSON text of one."""
    value = parsed(value)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(*values: object) -> str | None:
    """The first non-empty text; a number counts as one."""
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value
    return None


def parsed(value: object) -> object:
    """What JSON text of an object or list says; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return from_json(value, allow_inf_nan=False)
        except ValueError:
            return value
    return value


def number(value: object) -> float | None:
    """A finite number, also one written as text."""
    try:
        value = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def count(value: object) -> int | None:
    amount = number(value)
    return int(amount) if amount is not None and 0 <= amount < 2**53 else None


def seconds(value: object) -> float | None:
    """Unix seconds of an ISO 8601 text (UTC where it names no zone) or of a number of seconds, milli-, micro- or nanoseconds."""
    if (amount := number(value)) is not None:
        return next((amount / unit for limit, unit in UNITS if amount > limit), amount) if amount >= 0 else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        made = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() if moment else None
    except (ValueError, OverflowError):
        return None
    return made if made is not None and made >= 0 else None


def milliseconds(start: float | None, end: float | None) -> float | None:
    """The time between two moments in seconds."""
    return round((end - start) * 1000, 3) if start is not None and end is not None and end >= start else None


def usage_of(prompt: object, completion: object, total: object = None, **details: object) -> Json | None:
    """An OpenAI `usage` object; None if nothing is known. `details` are kept where they are numbers."""
    prompt, completion, total = count(prompt), count(completion), count(total)
    if prompt is None and completion is None and total is None:
        return None
    known = {"prompt_tokens": prompt, "completion_tokens": completion}
    known["total_tokens"] = total if total is not None else (prompt or 0) + (completion or 0)
    return {name: amount for name, amount in (known | {k: count(v) for k, v in details.items()}).items() if amount is not None}


def tool_call(call_id: object, name: object, arguments: object) -> Json:
    """An OpenAI tool call; arguments are written as JSON unless they are text already."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json_text({} if arguments is None else arguments)}}


def json_text(value: object) -> str:
    """The value as JSON; text as it is. What nests too deeply to be written becomes ""."""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return ""
