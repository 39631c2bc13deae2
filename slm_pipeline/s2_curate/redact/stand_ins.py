"""The stand-ins of a call: which value is replaced by what, and what else its finding gives away."""

import re
from collections.abc import Iterable, Iterator

from slm_pipeline.s2_curate.redact.draws import Draw
from slm_pipeline.s2_curate.redact.pools import ORDINARY, given_names
from slm_pipeline.s2_curate.redact.rules import digits
from slm_pipeline.s2_curate.redact.surrogates import PLAIN, WORDLIKE, host_like, identity, surrogate, word_like, words_of

_ACCOUNT = re.compile(r"([A-Za-z]{2,20})[._\-]([A-Za-z]{2,20})[._\-]?\d{0,6}")
SURROGATES, PLACEHOLDERS = "surrogates", "placeholders"
BY_AGENT = {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "TITLE", "DOMAIN"}
REDRAWS = 40
_WORDS = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")


class StandIns:
    """Draws each value's stand-in once; distinct values of a call get distinct ones, and none that is itself an original value."""

    def __init__(self, key: str, agent: str, form: str):
        self._key, self._agent, self._form = key.encode(), f"agent {agent}", form
        self._made: dict[tuple[str, str, str], str] = {}
        self._owners: dict[str, str] = {}
        self._words: dict[str, str] = {}
        self._word_owners: dict[str, str] = {}
        self._originals: set[str] = set()
        self._original_words: set[str] = set()

    def avoid(self, values: Iterable[str]) -> None:
        """Original values, which no stand-in drawn from now on shall equal."""
        for value in values:
            self._originals.add(value.casefold())
            self._original_words.update(word.casefold() for word in words_of(value))

    def of(self, kind: str, value: str, scope: str) -> str:
        """The stand-in of a value; `scope`, a session or an agent, is part of what it is drawn by."""
        scope = self._agent if kind in BY_AGENT else scope
        same = identity(kind, value)
        if self._form == PLACEHOLDERS:
            number = Draw(self._key, scope, kind, same).below(16**4)
            return f"[{kind}_{number:04x}]"
        known = self._made.get((kind, value, scope))
        if known is None:
            known = self._made[(kind, value, scope)] = self._draw(kind, value, scope, same)
        return known

    def _draw(self, kind: str, value: str, scope: str, same: str) -> str:
        if kind == "EMAIL":  # the local part follows a user id that is spelt alike
            local, _, host = value.rpartition("@")
            return f"{self.of('USER', local, scope)}@{host_like(host, Draw(self._key, scope, same), self._word)}"
        for attempt in range(REDRAWS):
            made = surrogate(kind, value, Draw(self._key, scope, kind, same, str(attempt)), self._word, self._number)
            folded = made.casefold()
            if folded not in self._originals and self._owners.setdefault(folded, same) == same and made != value:
                break
            if kind in WORDLIKE:  # made of words and numbers that are drawn apart
                break
        return made

    def _word(self, word: str) -> str:
        same = word.casefold()
        for attempt in range(REDRAWS):
            made = word_like(word, Draw(self._key, self._agent, "word", same, str(attempt)))
            folded = made.casefold()
            if len(word) > 1 and (folded in self._original_words or self._word_owners.setdefault(folded, same) != same):
                continue
            if folded != same:
                break
        return made

    def _number(self, number: str) -> str:
        for attempt in range(REDRAWS):
            draw = Draw(self._key, self._agent, "number", number, str(attempt))
            made = "".join(
                draw.choice("0123456789" if at or (c == "0" and len(number) > 1) else "123456789") for at, c in enumerate(number)
            )
            if made != number:
                break
        return made


def parts(kind: str, value: str) -> Iterator[tuple[str, str]]:
    """(kind, value) of what a find gives away besides itself: the names within a name, a user id or a
    mail address, the number of a payment id, the city before a comma."""
    if kind == "PERSON":
        words = _WORDS.findall(value)
        yield from (
            ("PERSON", word) for word in words if len(words) > 1 and len(word) > 1 and word[0].isupper() and word.lower() not in PLAIN
        )
    elif kind in ("USER", "EMAIL"):
        account = value.rpartition("@")[0] or value
        if kind == "EMAIL" and any(c.isdigit() for c in account) and len(account) > 5:
            yield "USER", account
        names = _ACCOUNT.fullmatch(account)
        if names and not given_names().isdisjoint((names[1].lower(), names[2].lower())):
            first, last = names[1].title(), names[2].title()
            yield from (("PERSON", f"{first} {last}"), ("PERSON", first), ("PERSON", last))
    elif kind == "PAYMENT_ID" and len(digits(value)) >= 5:
        yield "PAYMENT_ID", digits(value)
    elif kind in ("LOCATION", "ADDRESS") and "," in value:
        pieces = [piece.strip() for piece in value.split(",")]
        yield from ((kind, piece) for piece in pieces if len(piece) > 3 and any(c.isalpha() for c in piece))


def spreads(kind: str, value: str, certain: bool) -> bool:
    """Whether a value found once is replaced wherever it stands: not short numbers and not names that are ordinary words."""
    if kind == "TITLE":
        return False
    if kind not in WORDLIKE:
        return len(value) >= (5 if value.isdigit() else 4)
    if value.replace(" ", "").isdigit() or (len(value) < 2 or (len(value) < 4 and not certain)):
        return False
    words = re.findall(r"[^\W_]+", value)
    return value[0].isupper() and words[0].lower() not in ORDINARY if len(words) == 1 else len(value) > 3
