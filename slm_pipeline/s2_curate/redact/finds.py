"""What redaction finds in a text, whoever finds it: rules, the tagger of names, or a backend with a model."""

from typing import NamedTuple


class Find(NamedTuple):
    """text[start:end], in characters, is of this kind (EMAIL, PERSON, TOKEN, ...)."""

    start: int
    end: int
    kind: str
