"""The choice among several bases by short fine-tunes: successive halving, then the cheapest that is not worse than the best.

Successive halving (Jamieson & Talwalkar 2016, algorithm 1): all candidates get a small budget of training examples, the worse half
leaves, the budget doubles. Halves are told apart by validation loss in nats per byte of the answer, since the bases' tokens differ.
The cheapest candidate never leaves before the end: what the search saves is the training of large ones, and it is the one to choose
unless a larger one is better beyond noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

FINALISTS = 2
RULE = (
    "The cheapest finalist that passes is chosen: predicted seconds at the 95th percentile, then memory, then parameters. "
    "A finalist passes if the 95 % interval of its score minus that of the best one, paired by call and resampled by session, reaches 0."
)

Cost = tuple[float, float, int]
"""Predicted seconds at the 95th percentile, gigabytes, parameters; the lower the cheaper."""


@dataclass(frozen=True)
class RungResult:
    """One candidate after one rung. nats_per_byte: validation loss per byte of the answers. scores: of each validation call, in order;
    empty before the last rung."""

    name: str
    rung: int
    examples: int
    nats_per_byte: float
    scores: tuple[float, ...] = ()


class Try(Protocol):
    """Fine-tunes a candidate on so many examples; on the last rung it is asked validation calls as well."""

    def __call__(self, name: str, rung: int, examples: int, last: bool) -> RungResult: ...


def schedule(candidates: int, examples: int) -> list[tuple[int, int]]:
    """Of each rung how many candidates train, and on how many examples: twice as many as before, `examples` on the last rung."""
    sizes = [candidates]
    while sizes[-1] > FINALISTS:
        sizes.append(-(-sizes[-1] // 2))
    return [(size, max(1, examples // 2 ** (len(sizes) - 1 - rung))) for rung, size in enumerate(sizes)]


def successive_halving(costs: Mapping[str, Cost], examples: int, try_out: Try) -> list[RungResult]:
    """The results of all rungs, in order; those of the last rung are the finalists'."""
    left, results = sorted(costs), []
    rungs = schedule(len(left), examples)
    for rung, (size, budget) in enumerate(rungs, 1):
        if rung > 1:
            left = survivors([result for result in results if result.rung == rung - 1], costs, size)
        results += [try_out(name, rung, budget, rung == len(rungs)) for name in left]
    return results


def survivors(rung: Sequence[RungResult], costs: Mapping[str, Cost], keep: int) -> list[str]:
    """The `keep` candidates of a rung that go on, sorted by name: the cheapest, and those of lowest loss."""
    cheapest = min((result.name for result in rung), key=lambda name: (costs[name], name))
    others = sorted((result for result in rung if result.name != cheapest), key=lambda result: (result.nats_per_byte, result.name))
    return sorted([cheapest, *(result.name for result in others[: keep - 1])])


def behind_best(finalists: Sequence[RungResult], sessions: Sequence[str], settings: Settings) -> dict[str, Interval]:
    """By name, the score minus that of the best finalist, paired by call. Best: highest mean score, then lowest loss."""
    best = min(finalists, key=lambda result: (-sum(result.scores), result.nats_per_byte, result.name))
    samples, seed = settings.bootstrap_samples, settings.seed
    return {result.name: paired_interval(result.scores, best.scores, sessions, samples, seed) for result in finalists}


def passes(gap: Interval) -> bool:
    """Whether a finalist is not worse than the best beyond noise; with calls of one session only, whether it is not worse at all."""
    return (gap.mean if gap.high is None else gap.high) >= 0


def cheapest_passing(behind: Mapping[str, Interval], costs: Mapping[str, Cost]) -> str:
    """The name that RULE chooses."""
    return min((name for name, gap in behind.items() if passes(gap)), key=lambda name: (costs[name], name))


def trial_rows(results: Sequence[RungResult], sessions: Sequence[str], costs: Mapping[str, Cost], settings: Settings) -> list[Json]:
    """All rungs as objects: name, rung, examples, nats_per_byte, cost, and of finalists score, behind (intervals) and passes."""
    last = max(result.rung for result in results)
    behind = behind_best([result for result in results if result.rung == last], sessions, settings)
    rows = []
    for result in results:
        seconds, gigabytes, params = costs[result.name]
        row = {key: value for key, value in asdict(result).items() if key != "scores"}
        row |= {"seconds_p95": _known(seconds), "memory_gb": _known(gigabytes), "params": params}
        if result.rung == last:
            score = mean_interval(result.scores, sessions, settings.bootstrap_samples, settings.seed)
            gap = behind[result.name]
            row |= {"score": score.json(), "behind": gap.json(), "passes": passes(gap)}
        rows.append(row)
    return rows


def explain_choice(rows: Sequence[Json], chosen: str) -> str:
    """Why `chosen` won, in a few sentences."""
    finalists = {row["name"]: row for row in rows if "score" in row}
    won, best = finalists[chosen], min(finalists.values(), key=lambda row: (-row["score"]["mean"], row["nats_per_byte"], row["name"]))
    told = f"After {won['examples']} training examples {chosen} answered {won['score']['mean']:.1%} of {won['score']['n']} validation calls"
    if best is not won:
        told += f", {best['name']} {best['score']['mean']:.1%}: within noise"
    others = [name for name, row in finalists.items() if not row["passes"]]
    worse = f" {', '.join(others)} {'are' if len(others) > 1 else 'is'} worse beyond noise." if others else ""
    return f"{told}. It is the cheapest that passes{_price(won)}.{worse}"


def _price(row: Json) -> str:
    if row["seconds_p95"] is None:
        return f" ({row['params'] / 1e6:.0f} million parameters)"
    return f" ({row['seconds_p95']:.2f} s at p95, {row['memory_gb']:.2f} GB predicted)"


def _known(value: float) -> float | None:
    return None if value == float("inf") else value
