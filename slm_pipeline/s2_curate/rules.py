"""A rule of redaction: a pattern that is matched in linear time, and a check that tells real finds from lookalikes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import re2

Text = str


@dataclass(frozen=True)
class Rule:
    """`pattern` is RE2; what `group` matches at text[start:end] is redacted if `check(text, start, end)` says so."""

    kind: str
    pattern: str
    check: Callable[[Text, int, int], bool] = lambda text, start, end: True
    group: int = 0

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
