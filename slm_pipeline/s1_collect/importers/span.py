"""What both conventions of OTLP spans read."""

from dataclasses import dataclass

from slm_pipeline.records import Json


@dataclass(frozen=True)
class Span:
    """One span. Attributes are plain values; `events` are (name, attributes) in order of time."""

    name: str
    attributes: Json
    events: list[tuple[str, Json]]
