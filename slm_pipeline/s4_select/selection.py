"""Which bases may be chosen for a group, and which one is: hard filters with reasons, then a measured probe."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from slm_pipeline.s4_select.catalogue import CatalogueEntry
from slm_pipeline.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """A base after the hard filters: `ok`, or every reason why not, joined by "; "."""

    name: str
    ok: bool
    reason: str
    hub_id: str | None = None
    params: int | None = None
    architecture: str | None = None
    licence: str | None = None
    context: int | None = None
    present: bool = False


@dataclass(frozen=True)
class Probe:
    """How an untuned base did on `n` validation examples with one prompt form.

    accuracy: share of whole calls (for text, of texts) that agree with the target, with a 95 % interval that resamples
    sessions (None where there are too few). similarity: mean text similarity, which ranks bases that get no call right.
    prompt_tokens: mean per call. No times: the same inputs give the same selection, to the byte.
    """

    name: str
    form: str
    n: int
    accuracy: float
    low: float | None
    high: float | None
    similarity: float
    prompt_tokens: float
    params: int


def hard_filters(
    entries: Iterable[CatalogueEntry], present: Collection[str], settings: Settings, longest_prompt_tokens: int
) -> list[Candidate]:
    """Judge every entry, in order; then refuse the names in `settings.base_models` that no entry has.

    `present` names the bases whose weights are on this machine or in a package; `longest_prompt_tokens` includes the answer.
    """
    candidates = []
    for e in entries:
        reasons = [reason for fails, reason in _reasons(e, present, settings, longest_prompt_tokens) if fails]
        facts = (e.hub_id, e.params, e.architecture, e.licence, e.context, e.name in present)
        candidates.append(Candidate(e.name, not reasons, "; ".join(reasons), *facts))
    unknown = sorted(set(settings.base_models) - {c.name for c in candidates})
    return candidates + [Candidate(name, False, "named in settings.base_models, but not in the catalogue") for name in unknown]


def _reasons(e: CatalogueEntry, present: Collection[str], settings: Settings, tokens: int) -> list[tuple[bool, str]]:
    return [
        (e.refused is not None, e.refused or ""),
        (e.params >= settings.max_base_params, f"too large: {_billions(e.params)}, the limit is {_billions(settings.max_base_params)}"),
        (
            not e.open and not settings.restricted_licences,
            f"licence is not open: {e.licence or 'not confirmed'}; settings.restricted_licences allows it",
        ),
        (e.context is not None and e.context < tokens, f"context too small: {e.context} tokens, prompt and answer need {tokens}"),
        (e.name not in present, f"weights are not on this machine: hub id {e.hub_id}"),
        (e.name not in settings.base_models, "not asked for: add it to settings.base_models"),
    ]


def rank(probes: Iterable[Probe]) -> list[Probe]:
    """Best first; the first is chosen. By accuracy, then similarity, then the smaller base, then the shorter prompt."""
    return sorted(probes, key=lambda p: (-p.accuracy, -p.similarity, p.params, p.prompt_tokens, p.name, p.form))


def explain(ranked: Sequence[Probe]) -> str:
    """Why the first of `ranked` was chosen, in a sentence or two."""
    best = ranked[0]
    bases = sorted({p.name for p in ranked})
    if len(bases) == 1:
        choice = f"{best.name} is the only base that passed the filters, so there was no choice of base."
    else:
        second = next(p for p in ranked if p.name != best.name)
        choice = f"{best.name} answered {_score(best)}, next is {second.name} with {_score(second)}."
    if not best.n:
        return f"{choice} There are no validation examples, so nothing was measured."
    return f"{choice} With the {best.form} prompt it answered {_score(best)}."


def _score(p: Probe) -> str:
    return f"{p.accuracy:.1%} of {p.n} validation calls"


def _billions(params: int) -> str:
    return f"{params / 1e9:.2f} B"
