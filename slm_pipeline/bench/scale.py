"""`slm bench scale`: a month of generated traffic through S2 and S3, day by day as it would arrive, and one day more."""

import random
import resource
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic

from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._templated import WORDS, generated_calls
from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall, Answer, Json, ToolCall, response_of
from slm_pipeline.s2_curate.repeats import CURATED, FILE
from slm_pipeline.s3_cluster.assets import EXAMPLES
from slm_pipeline.s3_cluster.refresh import days_to_assign
from slm_pipeline.settings import Settings
from slm_pipeline.terminal import terminal

CALLS, DAYS, TENTH = 200_000, 30, 3
SENTENCES = (4, 5, 6, 8)  # in a text: a call's JSON has about 1,000 bytes
SESSION = 4  # calls


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `scale`, and what the bench says of its parts. There is nothing to read in `data`: the traffic is generated.

    Each day is logged, then timed: booked, curated, clustered if something asks for it, assigned. After the last day the examples
    of all groups are built (`examples_s`), and again after one more day (`examples_again_s`), which is no part of `extra_day_s`.
    """
    if data is not None:
        raise ValueError("slm bench scale generates its traffic: leave --data out.")
    with temporary_home(settings) as fresh:
        return _measure(fresh)


def _measure(settings: Settings) -> Json:
    import dagster as dg

    from slm_pipeline.automation.state import group_keys
    from slm_pipeline.definitions import defs
    from slm_pipeline.instance import open_instance
    from slm_pipeline.run import Loop
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role
    from slm_pipeline.s4_select.base_models import ensure_base

    ensure_base(settings.base_models[0], settings)
    lake, progress = Lake(settings.lake), terminal(stderr=True)
    loop = Loop(settings, lake, open_instance(settings), defs)
    log = CallLog(settings, Role.COLLECTOR)

    def day_through(number: int) -> float:
        day = settings.first_day + timedelta(days=number)
        log.append(traffic(number, day, settings.seed))
        began, span = monotonic(), (day.isoformat(), day.isoformat())
        loop.execute("refresh_days", ["raw_calls", "curated_calls"], days=span)
        loop.execute("recluster", ["task_clusters"])
        stale = days_to_assign(lake)
        loop.execute("refresh_days", ["task_assignments"], days=(stale[0], stale[-1]))
        took = monotonic() - began
        why = loop.instance.get_latest_materialization_event(dg.AssetKey("task_clusters")).asset_materialization.metadata["clustered_again"]
        progress.print(
            f"day {number + 1:>2}  {took:6.1f} s  {_peak():,.0f} MB  clustered: {why.value}  assigned: {len(stale)} days", highlight=False
        )
        return took

    def examples() -> float:
        began = monotonic()
        for group in group_keys(lake):
            loop.execute("retrain_group", ["task_examples"], partition=group)
        return monotonic() - began

    took = [day_through(number) for number in range(DAYS)]
    examples_s = examples()
    peak = _peak()
    extra_day = day_through(DAYS)
    clusters = lake.read("s3_cluster/task_clusters").json("clusters")
    return {
        "n": CALLS,
        "calls": CALLS,
        "seed": settings.seed,
        "seconds": round(sum(took) + examples_s, 1),
        "peak_rss_mb": round(peak),
        "first_tenth_s": round(sum(took[:TENTH]), 1),
        "last_tenth_s": round(sum(took[-TENTH:]), 1),
        "median_day_s": round(sorted(took)[DAYS // 2], 1),
        "extra_day_s": round(extra_day, 1),
        "examples_s": round(examples_s, 1),
        "examples_again_s": round(examples(), 1),
        "index_bytes_per_call": round(_index_bytes(lake) / (CALLS * (DAYS + 1) / DAYS), 1),
        "tasks": len(clusters["tasks"]),
        "unassigned_share": clusters["unassigned_share"],
    }


def traffic(number: int, day: date, seed: int) -> Iterator[AgentCall]:
    """The calls of day `number`: templated prompts of 40 kinds, every tenth with a customer's address, in sessions of `SESSION`."""
    rng, midnight = random.Random(f"{seed}:{number}"), datetime.combine(day, time(), UTC).timestamp()
    made = generated_calls(round(CALLS / DAYS), seed * 1_000 + number, sentences=SENTENCES)
    for i, call in enumerate(made):
        *others, last = call["request"]["messages"]
        asked = last | {"content": _with_a_customer(last["content"], rng) if rng.random() < 0.1 else last["content"]}
        answer = Answer(call["answer"]["text"], tuple(ToolCall(c["name"], c["arguments"]) for c in call["answer"]["tool_calls"]))
        yield AgentCall(
            id=f"{number}-{i}",
            timestamp=midnight + i * 86_400 / len(made),
            agent=call["agent"],
            session_id=f"{number}-{i // SESSION}",
            client_id=f"client-{i % 50}",
            request=call["request"] | {"messages": [*others, asked]},
            response=response_of(answer, "teacher"),
        )


def _with_a_customer(text: str, rng: random.Random) -> str:
    """The first name of the text gets a mail address and a telephone number."""
    name = next((word for word in WORDS["name"].split() if word in text), None)
    number = f"+1 415 555 {rng.randint(1000, 9999)}"
    return text.replace(name, f"{name} ({name.lower()}{rng.randint(1, 999)}@example.com, {number})", 1) if name else text


def _index_bytes(lake: Lake) -> int:
    """What is kept on disk to know repeats and near-duplicates by."""
    repeats = sum(len(lake.read(CURATED, day).bytes(FILE)) for day in lake.partitions(CURATED))
    groups = [lake.read(EXAMPLES, group) for group in lake.partitions(EXAMPLES)]
    signatures = [group.table(name, ["signature"])["signature"] for group in groups for name in ("examples", "left_out")]
    return repeats + sum(int(column.str.len().sum()) for column in signatures)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
