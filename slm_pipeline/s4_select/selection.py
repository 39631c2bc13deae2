"""How untuned bases are ranked by a measured probe. Where several may be chosen, short fine-tunes decide (`halving.py`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """How an untuned base did on `n` validation examples with one prompt form, shown `shots` training examples first.

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
    shots: int = 0


def rank(probes: Iterable[Probe]) -> list[Probe]:
    """Best first. By accuracy, then similarity, then the smaller base, then the shorter prompt."""
    return sorted(probes, key=lambda p: (-p.accuracy, -p.similarity, p.params, p.prompt_tokens, p.name, p.form, p.shots))


def explain(ranked: Sequence[Probe]) -> str:
    """What the probe says about the first of `ranked`, in a sentence or two."""
    best = ranked[0]
    bases = sorted({p.name for p in ranked})
    if len(bases) == 1:
        choice = f"{best.name} is the only base that passed the filters, so there was no choice of base."
    else:
        second = next(p for p in ranked if p.name != best.name)
        choice = f"{best.name} answered {_score(best)}, next is {second.name} with {_score(second)}."
    if not best.n:
        return f"{choice} There are no validation examples, so nothing was measured."
    shown = f" and {best.shots} examples" if best.shots else ""
    return f"{choice} With the {best.form} prompt{shown} it answered {_score(best)}."


def _score(p: Probe) -> str:
    return f"{p.accuracy:.1%} of {p.n} validation calls"
