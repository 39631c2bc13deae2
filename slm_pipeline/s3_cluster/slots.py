"""A template: runs of static words with slots between them. How it is found in texts, matched, and told from another."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

FOLDED = 16  # texts whose common words are looked for; all others then have a say
SPARSE = 220  # words from which a text is compared line by line: what its words have in common would be chance
PRESENT = 0.95  # share of the texts in which a run must stand
MATCHED = 0.8  # share of a template's static words that a prompt must have
SLOT_WORDS = 3  # a piece of at most so many words, where templates are alike otherwise, is a value; a longer one is an instruction
EDGE_WORDS = 4
FEW = 4  # alternatives at most that are told by short pieces alone: more of them are the particulars of users or things


@dataclass(frozen=True)
class Template:
    """`runs`: static words, in their order, as in `marks.plain`; `starts`, `ends`: whether the text begins or ends with them."""

    runs: tuple[str, ...]
    starts: bool
    ends: bool

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(run.count(" ") + 1 for run in self.runs)

    @cached_property
    def words(self) -> int:
        return sum(self.sizes)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return frozenset(word for run in self.runs for word in run.split())

    @cached_property
    def needed(self) -> str:
        """The longest run, if a text without it cannot match; else nothing."""
        size, run = max(zip(self.sizes, self.runs, strict=True), default=(0, ""))
        return f" {run} " if size > (1 - MATCHED) * self.words else " "

    def matched(self, text: str) -> int:
        """The number of static words that `text` (`marks.plain`) has in this order; 0 if they are too few to match."""
        if self.needed not in text:
            return 0
        found = sum(size for size, span in zip(self.sizes, self.spans(text), strict=True) if span)
        return found if found >= MATCHED * self.words else 0

    def spans(self, text: str) -> list[tuple[int, int] | None]:
        """For every run where it stands in `text`, blanks around it included; None where it does not."""
        spans: list[tuple[int, int] | None] = []
        at, last = 0, len(self.runs) - 1
        for i, run in enumerate(self.runs):
            size = len(run) + 2
            if i == 0 and self.starts:
                start = 0 if text.startswith(f" {run} ") else -1
            elif i == last and self.ends:
                start = len(text) - size if text.endswith(f" {run} ") and len(text) - size >= at else -1
            else:
                start = text.find(f" {run} ", at)
            spans.append((start, start + size) if start >= 0 else None)
            at = start + size - 1 if start >= 0 else at
        return spans

    def values(self, text: str) -> list[str]:
        """What stands in the slots: before the first run, between every two, after the last; one more than there are runs."""
        values, at = [], 0
        for span in self.spans(text):
            values.append(text[at : span[0] + 1].strip() if span else "")
            at = span[1] - 1 if span else at
        return [*values, text[at:].strip()]


def best_match(templates: Sequence[Template], text: str) -> int | None:
    """The index of the template of which `text` (`marks.plain`) has most static words; None if it matches none."""
    best, most = None, 0
    for i, template in enumerate(templates):
        if template.words > most and (matched := template.matched(text)) > most:
            best, most = i, matched
    return best


def template_of(texts: Sequence[str], lines: Sequence[Sequence[str]]) -> Template:
    """The template that texts (`marks.plain`) have in common. `lines`: their `marks.units`.

    Longest common runs, folded over a spread of the texts (Ratcliff and Obershelp's matching, as in difflib); runs that do not
    stand in nearly all texts are left out, and so are short words alone between two slots, which stand in most texts anyway.
    """
    step = max(1, len(texts) // FOLDED)
    chosen = sorted(range(0, len(texts), step), key=lambda i: len(texts[i]))
    sparse = texts[chosen[0]].count(" ") > SPARSE
    folded = [list(lines[i]) if sparse else texts[i].split() for i in chosen]
    runs: list[list[str]] = [folded[0]]
    for words in folded[1:]:
        runs = _common(runs, words)
    made = [" ".join(run) for run in runs]
    if sparse:
        made = _edges([texts[i] for i in chosen], made)
    return _lasting(made, texts)


def _common(runs: list[list[str]], words: list[str]) -> list[list[str]]:
    joined: list = []
    for i, run in enumerate(runs):
        joined += [i, *run]  # a number is no word: no common run reaches from one run into the next
    blocks = difflib.SequenceMatcher(None, joined, words, autojunk=False).get_matching_blocks()
    return [joined[block.a : block.a + block.size] for block in blocks if block.size]


def _edges(texts: list[str], runs: list[str]) -> list[str]:
    """Line by line the words that begin the first line or end the last are missed if the rest of that line varies."""
    split = [text.split() for text in texts]
    head = _shared(split)
    tail = _shared([words[::-1] for words in split])[::-1]
    head_text, tail_text = " ".join(head), " ".join(tail)
    if head and not (runs and runs[0].startswith(head_text[: len(runs[0])])):
        runs = [head_text, *runs]
    if tail and not (runs and runs[-1].endswith(tail_text[-len(runs[-1]) :])):
        runs = [*runs, tail_text]
    return runs


def _shared(texts: list[list[str]]) -> list[str]:
    one, two = min(texts), max(texts)
    return one[: next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))]


def _lasting(runs: list[str], texts: Sequence[str]) -> Template:
    """The runs that stand in nearly all texts, those at the edges with what they begin or end."""
    least = PRESENT * len(texts)
    starts = bool(runs) and sum(text.startswith(f" {runs[0]} ") for text in texts) >= least
    ends = bool(runs) and sum(text.endswith(f" {runs[-1]} ") for text in texts) >= least
    edges = {0} if starts else set()
    edges |= {len(runs) - 1} if ends else set()
    telling = [run for i, run in enumerate(runs) if i in edges or " " in run or re.search(r"\w{4}|[:#>]", run)]
    counts: Counter[int] = Counter()
    template = Template(tuple(telling), starts, ends)
    for text in texts:
        counts.update(i for i, span in enumerate(template.spans(text)) if span)
    kept = [i for i in range(len(telling)) if counts[i] >= least]
    return Template(tuple(telling[i] for i in kept), starts and 0 in kept, ends and len(telling) - 1 in kept)


def common_template(one: Template, two: Template) -> Template | None:
    """What two templates share if they differ in slot-size pieces only; None if a longer piece or half of the words differ."""
    runs = [run.split() for run in one.runs]
    other: list = []
    for i, run in enumerate(two.runs):
        other += [f"\n{i}", *run.split()]
    shared = _common(runs, other)
    size = sum(map(len, shared))
    if size < max(2, 0.5 * max(one.words, two.words)):
        return None
    made = Template(
        tuple(" ".join(run) for run in shared),
        one.starts and two.starts and one.runs[0].split()[0] == two.runs[0].split()[0] == shared[0][0],
        one.ends and two.ends and one.runs[-1].split()[-1] == two.runs[-1].split()[-1] == shared[-1][-1],
    )
    for template in (one, two):
        rest = made.values(" " + " \n ".join(template.runs) + " ")
        if max(len(piece.split()) for value in rest for piece in value.split("\n")) > SLOT_WORDS:
            return None
    return made


def alternatives(slots: Sequence[Sequence[str]], least: int, coverage: float) -> list[str] | None:
    """By which static texts the texts of a template divide, if several stand in its slots by turns. None if the slots just vary.

    `slots`: for each slot the values in all texts. What ends or begins a slot, or fills it, divides the texts if nearly all texts have one
    that recurs in at least `least` of them. It is static, not a value, if it has `EDGE_WORDS`; shorter pieces count together where they
    divide the texts alike, for two slots whose values go hand in hand are two instructions, unless there are many such pairs. What stands
    before all static words, in few forms, is rather a verb or a heading than a value.
    Returned for every text: its piece, "" if it has none that recurs.
    """
    divisions: dict[tuple[int, ...], dict[tuple[str, ...], int]] = {}
    for values in slots:
        for pieces in _pieces(values):
            counts = Counter(piece for piece in pieces if piece)
            recurring = {piece for piece, n in counts.items() if n >= least}
            if len(recurring) > 1 and sum(counts[piece] for piece in recurring) >= coverage * len(values):
                labels = tuple(piece if piece in recurring else "" for piece in pieces)
                numbers = {piece: i for i, piece in enumerate(dict.fromkeys(labels))}
                words = EDGE_WORDS if values is slots[0] else min(piece.count(" ") + 1 for piece in recurring)
                if len(recurring) <= FEW or (words >= EDGE_WORDS and values is not slots[0]):
                    divisions.setdefault(tuple(numbers[label] for label in labels), {})[labels] = words
    sizes = {division: sum(pieces.values()) for division, pieces in divisions.items()}
    telling = [division for division, size in sizes.items() if size >= EDGE_WORDS]
    if not telling:
        return None
    return list(max(divisions[max(telling, key=lambda division: (sizes[division], division))]))


def _pieces(values: Sequence[str]) -> Iterable[list[str]]:
    split = [value.split() for value in values]
    yield [" ".join(words) if len(words) <= 3 * EDGE_WORDS else "" for words in split]
    for count in (EDGE_WORDS, 1):
        yield [" ".join(words[-count:]) if len(words) > count else "" for words in split]
        yield [" ".join(words[:count]) if len(words) > count else "" for words in split]


def slot_kinds(template: Template, texts: Sequence[str]) -> list[str]:
    """The kinds of a template's slots in reading order, as seen in `texts` (`marks.plain`).

    "number", "date", "email", "url"; "choice": few values that recur; "words": at most `SLOT_WORDS`; "text": anything longer.
    """
    kinds = [_kind([value for value in values if value]) for values in zip(*map(template.values, texts), strict=True)]
    within = [re.findall(r"<(number|date|email|url)>", run) for run in template.runs]
    return [kind for first, others in zip(kinds, [*within, []], strict=True) for kind in [first, *others] if kind]


def _kind(values: list[str]) -> str:
    if not values:
        return ""
    if len(found := set(values)) == 1 and values[0].startswith("<") and values[0].endswith(">"):
        return values[0][1:-1]
    if max(value.count(" ") for value in values) >= SLOT_WORDS:
        return "text"
    return "choice" if len(values) >= 3 * len(found) else "words"
