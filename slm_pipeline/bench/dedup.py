"""`slm bench dedup`: how fast and how well repeats are found, on generated traffic with known repeats or on given calls."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from slm_pipeline.bench._repeated_traffic import repeated_traffic
from slm_pipeline.records import AgentCall, Json, target_of
from slm_pipeline.s2_curate.repeats import call_hash
from slm_pipeline.s3_cluster import near_duplicates
from slm_pipeline.settings import Settings

CALLS = 100_000
EXACT, NEAR = 0.05, 0.05


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `dedup`: `seconds` of both stages, `recall` and `precision` of planted near-duplicates.

    `data` is a file or a folder of `*.jsonl*` files: then it says instead how many calls fall in each stage, and whether any of them
    should not have: `wrongly_dropped` by an independent comparison, `steps_lost_in_sessions`: represented by an unequal call
    of their own session. All calls are judged as training calls.
    """
    return (_of_generated(settings) if data is None else _of_recorded(settings, data)) | {"seed": settings.seed}


def _of_generated(settings: Settings) -> Json:
    made = repeated_traffic(CALLS, EXACT, NEAR, settings.seed)
    began = perf_counter()
    first = _first_of_exact([one.call for one in made], settings)
    exact_seconds = perf_counter() - began
    rest = [i for i, one in enumerate(first) if one == i]
    began = perf_counter()
    texts = [(made[i].varying, made[i].answer) for i in rest]
    signatures = [near_duplicates.signature(*pair) for pair in texts]
    sessions = [made[i].call.session_id for i in rest]
    found = near_duplicates.find(signatures, texts.__getitem__, sessions, settings.near_similarity)
    near_seconds = perf_counter() - began
    source = [_source(made, i) for i in rest]
    dropped = [i for i, other in enumerate(found) if other != i]
    planted = [i for i in range(len(rest)) if source[i] != rest[i]]
    right = sum(source[i] == source[found[i]] for i in dropped)
    exact = [i for i, one in enumerate(made) if one.exact_of is not None]
    return {
        "n": len(made),
        "seconds": round(exact_seconds + near_seconds, 2),
        "exact_seconds": round(exact_seconds, 2),
        "near_seconds": round(near_seconds, 2),
        "recall": round(sum(found[i] != i for i in planted) / len(planted), 4),
        "precision": round(right / len(dropped), 4),
        "planted": len(planted),
        "near": len(dropped),
        "exact_recall": round(sum(first[i] != i for i in exact) / len(exact), 4),
        "exact_wrong": sum(one != i and made[i].exact_of is None for i, one in enumerate(first)),
        "bytes_per_call": near_duplicates.BYTES_PER_CALL,
    }


def _of_recorded(settings: Settings, data: Path) -> Json:
    calls = sorted((call for call in _read(data) if target_of(call)), key=lambda call: (call.timestamp, call.id))
    began = perf_counter()
    first = _first_of_exact(calls, settings)
    rest = [call for i, call in enumerate(calls) if first[i] == i]
    rows = _rows(rest, settings)
    found = near_duplicates.find(
        list(rows["signature"]), lambda i: (rows["asked"][i], rows["answer"][i]), list(rows["session_id"]), settings.near_similarity
    )
    seconds = perf_counter() - began
    dropped = [(i, int(other)) for i, other in enumerate(found) if other != i]
    unequal = [
        (i, j) for i, j in dropped if near_duplicates.equal_key(rows["signature"][i]) != near_duplicates.equal_key(rows["signature"][j])
    ]
    return {
        "n": len(calls),
        "seconds": round(seconds, 2),
        "exact": len(calls) - len(rest),
        "judged": len(rows),
        "near": len(dropped),
        "equal_but_for_template": len(dropped) - len(unequal),
        "wrongly_dropped": sum(not all(_match(rows[column][i], rows[column][j]) for column in ("asked", "answer")) for i, j in dropped),
        "steps_lost_in_sessions": sum(rows["session_id"][i] == rows["session_id"][j] for i, j in unequal),
        "bytes_per_call": near_duplicates.BYTES_PER_CALL,
    }


def _first_of_exact(calls: list[AgentCall], settings: Settings) -> list[int]:
    seen: dict[int, int] = {}
    return [seen.setdefault(call_hash(call, target_of(call), settings.split_key), i) for i, call in enumerate(calls)]


def _source(made: list, i: int) -> int:
    """The original that call i was made from, through all its copies."""
    while (of := made[i].exact_of if made[i].exact_of is not None else made[i].near_of) is not None:
        i = of
    return i


def _rows(calls: list[AgentCall], settings: Settings):
    """The rows of S3 for the calls, as if all were training calls, with the text that is judged; those without a task are left out."""
    import pandas as pd

    from slm_pipeline.s3_cluster.assignment import assign_calls
    from slm_pipeline.s3_cluster.clustering import find_clusters
    from slm_pipeline.s3_cluster.example_rows import example_rows, varying_text
    from slm_pipeline.s3_cluster.sampling import sample_training

    table = pd.DataFrame([_curated(call) for call in calls])
    clusters, _ = find_clusters(sample_training([table], settings), None, settings)
    table = table.assign(task=assign_calls(table, clusters)["task"])
    tasks = {task["key"]: task for task in clusters["tasks"]}
    rows, _ = example_rows(table[table["task"].notna()], tasks, lambda text: 0)
    rows = rows.sort_values(["timestamp", "id"], ignore_index=True)
    return rows.assign(asked=[varying_text(row.messages, row.task) for row in rows.itertuples()])


def _curated(call: AgentCall) -> Json:
    answer = target_of(call).answer
    said = json.dumps({"text": answer.text, "tool_calls": [{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]})
    row = {key: getattr(call, key) for key in ("id", "timestamp", "agent", "session_id")}
    row |= {"day": "", "split": "train", "request": json.dumps(call.request), "answer": said, "teacher_answer": said}
    row["chosen"] = False
    return row | dict.fromkeys(("target_source", "outcome", "served_by", "failed_model", "failed_answer", "drop_reason", "tokens", "cost"))


def _match(some: str, other: str) -> bool:
    """Whether two texts near-match by letters, and hold the same numbers: independent of how near-duplicates are found."""
    from rapidfuzz import fuzz

    return fuzz.ratio(some, other) >= 80 and re.findall(r"\d+", some) == re.findall(r"\d+", other)


def _read(data: Path) -> Iterable[AgentCall]:
    files = [file for file in sorted(data.glob("*.jsonl*")) if not file.name.startswith("task_labels")] if data.is_dir() else [data]
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            yield from (AgentCall.model_validate_json(line) for line in lines if line.strip())
