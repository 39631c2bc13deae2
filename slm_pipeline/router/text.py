"""The text of a call that a router reads."""

from collections.abc import Sequence

from slm_pipeline.records import Json


def router_text(messages: Sequence[Json]) -> str:
    """Of factored messages: what varies, then the task line, for a router reads a text's end."""
    return "\n".join(message["content"] for message in [*messages[1:], messages[0]])
