"""Finds the templates among the texts of one structure.

Texts that share most of their marks are gathered (average linkage); what each gathering has in common is its template. Gatherings
that differ in the value of a slot only are joined, and one in which several instructions stand by turns is cut: both as far as
the answers agree. A template is kept when it recurs enough for its length, and then claims every text that it matches.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from slm_pipeline.lake import digest
from slm_pipeline.s3_cluster.homogeneity import unlike
from slm_pipeline.s3_cluster.marks import marks, plain, units
from slm_pipeline.s3_cluster.slots import SLOT_WORDS, Template, alternatives, best_match, common_template, template_of
from slm_pipeline.settings import Settings

COMPARED = 1_500  # different texts that are compared with each other at a time
DISTANCE = 0.45  # cosine distance of marks up to which texts are gathered
PRODUCTIVE = 0.1  # share of the compared texts that must find a template, for the others to be compared again
NARROWER, NARROWEST = 0.7, 0.15  # how the distance shrinks while a gathering has no template, and how far
SURE = 0.7  # share of the static words from which two gatherings are one without a third
LEAST_WORDS, ENOUGH_WORDS = 3, 8  # static words of a template: at least; and those from which it takes no more calls than a task does


@dataclass(frozen=True)
class Text:
    """One text and all calls that say it. `lines`: its units; `shapes`: the answer forms of its calls."""

    plain: str
    lines: list[str]
    calls: tuple[int, ...]
    shapes: tuple[str, ...]

    @cached_property
    def marks(self) -> dict[str, float]:
        return marks(self.lines)


@dataclass(frozen=True)
class Gathering:
    template: Template
    texts: tuple[Text, ...]

    @property
    def calls(self) -> int:
        return sum(len(text.calls) for text in self.texts)

    @property
    def shapes(self) -> list[str]:
        return [shape for text in self.texts for shape in text.shapes]


def find_templates(
    texts: Sequence[str], shapes: Sequence[str], settings: Settings, known: Sequence[Template] = ()
) -> list[tuple[Template, list[int]]]:
    """Templates with the indices of the texts that they claim, the best match first come; what no template claims is left out.

    `shapes`: the form of the answer to each text. `known`: templates found before; they claim first, and change only if what they claim
    asks for it. Deterministic, and the order of the texts does not matter. At most `COMPARED` different texts are compared with each
    other at a time; the templates found there claim from all, then the rest is compared.
    """
    distinct = _distinct(texts, shapes)
    begun = [Gathering(template, tuple(its)) for template, its in _claimed(sorted(set(known), key=_by_runs), distinct)]
    found = _joined([part for one in begun if _recurs(one, settings) for part in _cut(one, settings)], settings)
    rest = _unclaimed(found, distinct)
    while sum(len(text.calls) for text in rest) >= settings.min_task_calls:
        window = rest[:COMPARED]
        gathered = [part for one in _gathered(window, settings) for part in _cut(one, settings)]
        new = [one for one in _joined(gathered, settings) if _recurs(one, settings)]
        left = _unclaimed(new, rest)
        found = _joined(found + new, settings)
        looked_at = {text.plain for text in window}
        exhausted = sum(text.plain in looked_at for text in left) >= (1 - PRODUCTIVE) * len(window)
        rest = [text for text in left if not exhausted or text.plain not in looked_at]
    claims = _claimed(sorted({one.template for one in found}, key=_by_runs), distinct)
    made = [(template, sorted(i for text in its for i in text.calls)) for template, its in claims]
    return [(template, its) for template, its in made if len(its) >= settings.min_task_calls]


def _distinct(texts: Sequence[str], shapes: Sequence[str]) -> list[Text]:
    said: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        said.setdefault(plain(text), []).append(i)
    made = [Text(text, units(min(texts[i] for i in calls)), tuple(calls), tuple(shapes[i] for i in calls)) for text, calls in said.items()]
    return sorted(made, key=lambda text: digest(text.plain))


def _gathered(texts: list[Text], settings: Settings, distance: float = DISTANCE) -> list[Gathering]:
    """Gatherings of texts; what has no template that would make it recognisable is gathered again, more narrowly."""
    made = []
    for group in _linked(texts, settings.min_task_calls, distance):
        if sum(len(text.calls) for text in group) >= settings.min_task_calls:
            one = Gathering(_template(group), tuple(group))
            narrower = distance > NARROWEST and len(group) > 2 * settings.min_task_calls and not _recurs(one, settings)
            made += _gathered(group, settings, distance * NARROWER) if narrower else [one]
    return made


def _template(texts: Sequence[Text]) -> Template:
    return template_of([text.plain for text in texts], [text.lines for text in texts])


def _linked(texts: list[Text], least: int, farthest: float) -> list[list[Text]]:
    """Average linkage of the texts by the cosine of their recurring marks; answers of another form are not linked."""
    import numpy as np
    from scipy.cluster.hierarchy import average
    from scipy.sparse import csr_matrix
    from scipy.spatial.distance import squareform

    if len(texts) == 1:
        return [texts]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(dict.fromkeys(text.marks, len(text.calls)))
    numbers = {mark: i for i, mark in enumerate(sorted(mark for mark, n in counts.items() if n >= least))}
    purity = _purity(texts, numbers)
    entries = [
        (row, numbers[mark], weight * purity[mark])
        for row, text in enumerate(texts)
        for mark, weight in text.marks.items()
        if mark in numbers
    ]
    rows, columns, weights = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = csr_matrix((weights, (rows, columns)), shape=(len(texts), max(len(numbers), 1)), dtype=np.float32)
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = matrix.multiply(1 / np.maximum(norms, 1e-9)[:, None]).tocsr()
    distances = np.clip(1 - (matrix @ matrix.T).toarray(), 0, None).round(5)
    np.fill_diagonal(distances, 0)
    parts: dict[int, list[list[Text]]] = {i: [[text]] for i, text in enumerate(texts)}
    for step, (one, two, distance, _) in enumerate(average(squareform(distances, checks=False))):
        pair = sorted((parts.pop(int(one)), parts.pop(int(two))), key=lambda part: -sum(map(len, part)))
        parts[len(texts) + step] = _merged(*pair, least) if distance <= farthest else pair[0] + pair[1]
    return [part for node in parts.values() for part in node]


def _purity(texts: list[Text], recurring: dict[str, int]) -> dict[str, float]:
    """For every recurring mark how far the texts that have it begin, or end, with the same line: what is content stands in many."""
    ends: dict[str, tuple[Counter[str], Counter[str]]] = {mark: (Counter(), Counter()) for mark in recurring}
    for text in texts:
        first, last = (text.lines[0], text.lines[-1]) if text.lines else ("", "")
        for mark in text.marks.keys() & recurring.keys():
            ends[mark][0][first] += len(text.calls)
            ends[mark][1][last] += len(text.calls)
    return {mark: max(max(one.values()) / one.total() for one in both) for mark, both in ends.items()}


def _merged(into: list[list[Text]], other: list[list[Text]], least: int) -> list[list[Text]]:
    made = [list(part) for part in into]
    for part in other:
        shapes = [shape for text in part for shape in text.shapes]
        home = next(
            (
                mine
                for mine in made
                if len(shapes) < least
                or sum(len(text.calls) for text in mine) < least
                or not unlike([shape for text in mine for shape in text.shapes], shapes)
            ),
            None,
        )
        made.append(part) if home is None else home.extend(part)
    return made


def _cut(one: Gathering, settings: Settings) -> list[Gathering]:
    """The gathering, or its parts if several instructions stand in one of its slots by turns."""
    values = [one.template.values(text.plain) for text in one.texts]
    pieces = alternatives(list(zip(*values, strict=True)), settings.min_task_calls, settings.tail_coverage)
    if pieces is None:
        return [one]
    parts: dict[str, list[Text]] = {}
    for text, piece in zip(one.texts, pieces, strict=True):
        parts.setdefault(piece, []).append(text)
    made = [Gathering(_template(part), tuple(part)) for _, part in sorted(parts.items())]
    return [piece for part in made for piece in (_cut(part, settings) if part.template.words > one.template.words else [part])]


def _joined(gathered: list[Gathering], settings: Settings) -> list[Gathering]:
    """Gatherings that are one but for the values of slots become one: two if next to all words agree, else three."""
    rest = sorted(gathered, key=lambda one: (-one.calls, one.template.runs))
    made = []
    while rest:
        one = rest.pop(0)
        fans: dict[Template, list[Gathering]] = {}
        for other in rest:
            if _may_share(one.template, other.template) and not unlike(one.shapes, other.shapes):
                if general := _general(one.template, other.template):
                    fans.setdefault(general, []).append(other)
                elif common := common_template(one.template, other.template):
                    fans.setdefault(common, []).append(other)
        sure = {common: fan for common, fan in fans.items() if _sure(one, common, fan) and _recurs(_joint(common, one, fan), settings)}
        if not sure:
            made.append(one)
            continue
        common = max(sure, key=lambda common: (len(sure[common]), common.words, common.runs))
        fan = {id(other) for other in sure[common]}
        rest = [_joint(common, one, sure[common]), *(other for other in rest if id(other) not in fan)]
    return made


def _joint(template: Template, one: Gathering, fan: list[Gathering]) -> Gathering:
    return Gathering(template, tuple(text for other in (one, *fan) for text in other.texts))


def _general(one: Template, two: Template) -> Template | None:
    """The template of which the other is but a case, with content that recurs in a slot: both begin, or end, alike."""
    for general, case in ((one, two), (two, one)):
        anchored = (general.starts and case.starts) or (general.ends and case.ends) or not (case.starts or case.ends)
        if anchored and general.words < case.words and general.matched(f" {' '.join(case.runs)} ") == general.words:
            return general
    return None


def _may_share(one: Template, two: Template) -> bool:
    return len(one.vocabulary & two.vocabulary) >= 0.5 * min(len(one.vocabulary), len(two.vocabulary))


def _sure(one: Gathering, common: Template, fan: list[Gathering]) -> bool:
    """Values in a slot: three of them, or one while nearly all else agrees. What stands first is rather a verb than a value."""
    most = max(other.template.words for other in (one, *fan))
    if common in {one.template, *(other.template for other in fan)}:
        return True
    if one.template.starts and all(other.template.starts for other in fan) and not common.starts:
        return len(fan) >= 4 and common.words >= SURE * most
    least = min(other.template.words for other in (one, *fan))
    return len(fan) >= 2 or common.words >= max(SURE * most, least - SLOT_WORDS)


def _recurs(one: Gathering, settings: Settings) -> bool:
    """The fewer static words, the more calls it takes to tell a template from a turn of phrase."""
    enough = (
        one.template.words >= LEAST_WORDS and one.calls * min(one.template.words, ENOUGH_WORDS) >= ENOUGH_WORDS * settings.min_task_calls
    )
    return enough and _anchored(one)


def _anchored(one: Gathering) -> bool:
    """Whether the template holds an end of its texts, but for a value: what stands in the middle only is content that recurs."""
    outer = [value for text in one.texts for value in one.template.values(text.plain)[:: max(len(one.template.runs), 1)]]
    least = 0.95 * len(one.texts)
    return any(sum(value.count(" ") < SLOT_WORDS for value in outer[side::2]) >= least for side in (0, 1))


def _by_runs(template: Template) -> tuple:
    return template.runs, template.starts, template.ends


def _claimed(templates: Sequence[Template], texts: Sequence[Text]) -> list[tuple[Template, list[Text]]]:
    """Every template that is the best match of a text, with these texts."""
    claimed: dict[int, list[Text]] = {}
    for text in texts:
        if (i := best_match(templates, text.plain)) is not None:
            claimed.setdefault(i, []).append(text)
    return [(templates[i], its) for i, its in sorted(claimed.items())]


def _unclaimed(gathered: Sequence[Gathering], texts: Sequence[Text]) -> list[Text]:
    templates = [one.template for one in gathered]
    return [text for text in texts if best_match(templates, text.plain) is None]
