"""What people read of S6, as Markdown: how much SLMs can take, what they have served and saved. No prompt is quoted."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from slm_pipeline.records import Json
from slm_pipeline.s6_refine.replaceability import PAPER

NOT_YET = "No release has been in service yet, so SLMs have saved nothing."
WHAT = ("calls", "tokens", "cost")


def replaceability_markdown(found: Json, names: Mapping[str, str]) -> str:
    """The share of traffic that SLMs can take, by agent and task. `names` by task; `found`: `replaceability`, and what is `unpriced`."""
    if not found["calls"]:
        return "No calls are booked yet."
    parts = [f"**{_share(found[what])} of all {what}**" for what in WHAT if found[what]]
    estimates = ", ".join(f"{agent} {share:.0%}" for agent, share in PAPER.items())
    lines = [
        f"SLMs can take {', '.join(parts)}, if at most {found['margin']:.0%} of what they take may be wrong where the LLM is right.",
        f"The paper estimates, from reading code: {estimates}. Here it is measured, on calls that no SLM has learned from.",
        *_unpriced(found["unpriced"]),
        _table(
            ["agent", "of its calls", "of its tokens", "of its cost"],
            ([row["agent"], *(_share(row[what]) for what in WHAT)] for row in found["agents"]),
        ),
        _table(
            ["task", "share of calls", "of tokens", "of cost", "of these taken", "n"],
            (
                [
                    names.get(row["task"], row["task"]) if row["task"] else "no task",
                    *(_percent(row[f"{what}_share"]) for what in WHAT),
                    f"{row['taken']:.0%} [{row['low']:.0%}, {row['high']:.0%}]",
                    f"{row['n']}",
                ]
                for row in found["tasks"]
            ),
        ),
    ]
    return "\n\n".join(lines)


def savings_markdown(found: Json | None, unpriced: Json, names: Mapping[str, str]) -> str:
    """What SLMs served and saved (`savings`), in all, by release, agent and task; `names` by task."""
    if found is None:
        return NOT_YET
    row = found["in_all"]
    money, time = _gained(row["saved_usd"], usd), _gained(row["saved_seconds"], "{:,.0f} seconds".format)
    lines = [
        f"SLMs served **{row['slm']:,} of {row['calls']:,} calls, {_share(row['share'])}**, since {_day(row['since'])}.",
        _how_wrong(row),
        f"**{money}**: {usd(row['spent_usd'])} spent where the LLM alone would have taken {usd(row['alone_usd'])}. "
        f"A correct call cost {_usd_per_correct(row)}, the LLM alone {usd(row['alone_usd_per_correct'])}; audits are paid for, "
        f"and the machine's hours, busy or idle, at {usd(found['machine_hour_usd'])} each.",
        f"**{time}**: a served call took {_ms(row['slm_ms'])}, the LLM takes {_ms(row['llm_ms'])}.",
        *_unpriced(unpriced),
        "By release, oldest first:",
        _table(
            ["release", "since", "calls", "by SLMs", "audited wrong", "saved", "per correct call", "to the LLM because"],
            (
                [
                    of["release"][:8],
                    _day(of["since"]),
                    f"{of['calls']:,}",
                    _share(of["share"]),
                    _wrong(of),
                    usd(of["saved_usd"]),
                    usd(of["usd_per_correct"]),
                    _reasons(of["reasons"]),
                ]
                for of in found["rounds"]
            ),
        ),
        "By agent and task; the machine is charged to none:",
        _table(
            ["agent or task", "calls", "by SLMs", "audited wrong", "saved", "seconds saved"],
            (
                [name, f"{of['calls']:,}", _share(of["share"]), _wrong(of), usd(of["saved_usd"]), f"{of['saved_seconds']:,.0f}"]
                for name, of in _parts(found, names)
            ),
        ),
    ]
    return "\n\n".join(lines)


def _gained(amount: float | None, told: Callable[[float | None], str]) -> str:
    """What was saved, or lost."""
    return f"{told(-amount)} lost" if amount is not None and amount < 0 else f"{told(amount)} saved"


def _usd_per_correct(row: Json) -> str:
    """With its interval, where there is one: where a checker has passed all, it is known."""
    mean, low, high = (usd(row[f"usd_per_correct{bound}"]) for bound in ("", "_low", "_high"))
    return mean if low == high else f"{mean} [{low}, {high}]"


def usd(amount: float | None) -> str:
    """An amount of money, small ones with three digits that count."""
    if amount is None:
        return "–"
    return f"{amount:,.2f} USD" if amount == 0 or abs(amount) >= 0.1 else f"{amount:.3g} USD"


def _parts(found: Json, names: Mapping[str, str]) -> Iterable[tuple[str, Json]]:
    yield from ((of["agent"], of) for of in found["agents"])
    yield from ((names.get(of["task"], of["task"]), of) for of in found["tasks"])


def _unpriced(unpriced: Json) -> list[str]:
    if not unpriced["calls"]:
        return []
    models = ", ".join(f"{model} ({n})" for model, n in sorted(unpriced["models"].items(), key=lambda of: (-of[1], of[0])))
    what = f"What {unpriced['calls']:,} of {unpriced['of']:,} calls cost is not known: {_cell(models)}."
    return [f"{what} A row for each model in `prices.yaml`, in the home folder, says it."]


def _how_wrong(row: Json) -> str:
    checked = f"A checker that knows what is right has passed {row['checked']:,} of these answers. " if row["checked"] else ""
    if row["checked"] == row["slm"] > 0:
        return checked.strip()
    audits = f"of {row['audits']} audited answers" if row["audits"] else "promised; none was audited yet"
    return f"{checked}They are wrong where the LLM is right in {_share(row['wrong'])} ({audits})."


def _wrong(of: Json) -> str:
    return _share(of["wrong"]) if of["audits"] else "checked" if of["checked"] == of["slm"] > 0 else "no audit"


def _reasons(reasons: Mapping[str, float]) -> str:
    return ", ".join(f"{reason} {share:.0%}" for reason, share in sorted(reasons.items(), key=lambda of: -of[1])[:4])


def _share(interval: Json | None) -> str:
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{interval['mean']:.1%}"
    return f"{interval['mean']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:,.0f} ms"


def _day(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
