"""A rule of redaction: a pattern that is matched in linear time, and a check that tells real finds from lookalikes."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import re2

Text = str
_NO_DIGITS = dict.fromkeys(map(ord, "0123456789"))


@dataclass(frozen=True)
class Rule:
    """`pattern` is RE2; what `group` matches at text[start:end] is redacted if `check(text, start, end)` says so.

    The rule runs only on texts that hold one of `needs`, which are in lower case, and as many `digits`.
    """

    kind: str
    pattern: str
    check: Callable[[Text, int, int], bool] = lambda text, start, end: True
    group: int = 0
    needs: tuple[str, ...] = ()
    digits: int = 0

    @cached_property
    def compiled(self):
        options = re2.Options()
        options.log_errors = False
        return re2.compile(self.pattern, options)

    def spans(self, text: Text) -> Iterator[tuple[int, int]]:
        """What the rule finds, left to right. A match that fails its check is tried again without its last words."""
        for match in self.compiled.finditer(text):
            start, limit = match.span(self.group)
            end = limit
            while end > start:
                if self.check(text, start, end):
                    yield start, end
                    following = self.compiled.search(text[end:limit])
                    start, end = (end + following.start(self.group), limit) if following else (limit, limit)
                else:
                    end = text.rfind(" ", start, end)


def alone(text: Text, start: int, end: int) -> bool:
    """Not a piece of a longer number, UUID, path or identifier."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return not re.search(r"[\w.\-/+]\Z", before) and not re.match(r"[\w/]|[.\-]\w", after)


def digits(text: Text) -> str:
    """The digits of a text."""
    return re.sub(r"[^0-9]", "", text)


class Prefilter:
    """Tells from a look at a text which rules can find anything in it: most can not, for want of digits or of what they need."""

    def __init__(self, rules: Iterable[Rule]):
        self._rules = tuple(rules)
        needs = [(need, at) for at, rule in enumerate(self._rules) for need in rule.needs or ("",)]
        # what is rare in prose is searched for all at once, and only where that finds something one by one
        rare = [(need, at) for need, at in needs if not need.replace(" ", "").isalpha() and need]
        self._rare, self._common = _by_digits(rare, self._rules), _by_digits([pair for pair in needs if pair not in rare], self._rules)
        self._any_rare = re2.compile("|".join(sorted({re2.escape(need) for need, _ in rare})))

    def rules_for(self, text: Text) -> list[Rule]:
        """The rules that can find anything in the text, in their order."""
        lowered = text.lower()
        numbers = len(lowered) - len(lowered.translate(_NO_DIGITS))
        found = {at for need, at in self._common[numbers > 0] if need in lowered}
        if self._any_rare.search(lowered):
            found |= {at for need, at in self._rare[numbers > 0] if need in lowered}
        return [rule for rule in (self._rules[at] for at in sorted(found)) if rule.digits <= numbers]


def _by_digits(needs: list[tuple[str, int]], rules: tuple[Rule, ...]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The needs of rules that find something in a text without digits, and those of all."""
    return [(need, at) for need, at in needs if not rules[at].digits], needs
