"""`slm bench redact`: what redaction finds of labelled personal data, what it takes for personal data wrongly, and how long it takes."""

import base64
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

from threadpoolctl import threadpool_limits

from slm_pipeline.bench._redacted_calls import redacted_calls
from slm_pipeline.bench._rows import read_rows
from slm_pipeline.records import AgentCall, Json
from slm_pipeline.s1_collect.importers import read_calls
from slm_pipeline.s2_curate.redact.detection import find, find_structured
from slm_pipeline.settings import Settings

GENERATED = 400
LOOKALIKES = 20_000
FEW = 60  # spans of a kind, below which each one counts
HOSTILE = (
    "a@",
    "1-",
    "+1 ",
    "4111 ",
    "12:ab:",
    "1.2.",
    "http://a.",
    "password=x ",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    "(1) ",
    "Aa ",
    "9 Rue ",
    '{"a":',
)
SIZE = 250_000  # characters of a hostile text; the other is four times as long


@threadpool_limits.wrap(limits=1, user_api="blas")  # as in curation
def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `redact`. Characters count as found inside any find, whatever its kind.

    `data` is a file of {id, text, spans: [{start, end, type}]}; without it sentences are generated. Recorded calls, a file or a folder,
    have no labels: what is measured on them says `redacted_calls`. Also: `spans_missed` for types
    with fewer than 60 spans, `false_alarms` (share of generated UUIDs, hashes, base64 and timestamps that are altered), and
    `linear_ratio`, the worst ratio of 1 MB of hostile text to four times 250 kB.
    """
    if data and (data.is_dir() or "request" in next(read_rows(data))):
        files = sorted(data.rglob("calls.jsonl*")) if data.is_dir() else [data]
        calls = (call for file in files for call in read_calls(file) if isinstance(call, AgentCall))
        return redacted_calls(calls, settings) | {"seed": settings.seed}
    rows = list(read_rows(data)) if data else _generated(settings.seed)
    found = [find(row["text"], "", settings.names_backend) for row in rows]
    texts = [row["text"] for row in rows]
    return {
        "n": len(rows),
        "seed": settings.seed,
        **character_scores(rows, found),
        "structured_ms_per_kb": _ms_per_kb(find_structured, texts),
        "ms_per_kb": _ms_per_kb(lambda text: find(text, "", settings.names_backend), texts),
        "linear_ratio": max(_ratio(piece) for piece in HOSTILE),
        "false_alarms": false_alarms(settings.seed),
    }


def character_scores(rows: list[Json], found: list) -> Json:
    """precision, recall, f2, recall_by_kind and spans_missed of finds (a list per row) against the rows' spans, by characters."""
    hit, predicted, gold = 0, 0, 0
    by_kind: dict[str, Counter] = defaultdict(Counter)
    for row, finds in zip(rows, found, strict=True):
        marked = {at for f in finds for at in range(f.start, f.end)}
        labelled = {at for span in row["spans"] for at in range(span["start"], span["end"])}
        hit, predicted, gold = hit + len(marked & labelled), predicted + len(marked), gold + len(labelled)
        for span in row["spans"]:
            inside = range(span["start"], span["end"])
            seen = sum(at in marked for at in inside)
            by_kind[span["type"]].update(characters=len(inside), seen=seen, spans=1, missed=seen < len(inside))
    precision, recall = hit / max(predicted, 1), hit / max(gold, 1)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f2": round(5 * precision * recall / max(4 * precision + recall, 1e-9), 4),
        "recall_by_kind": {kind: round(n["seen"] / n["characters"], 4) for kind, n in sorted(by_kind.items())},
        "spans_missed": {kind: n["missed"] for kind, n in sorted(by_kind.items()) if n["spans"] < FEW},
    }


def false_alarms(seed: int) -> float:
    """Share of lookalikes, in sentences and in JSON, in which anything is found."""
    altered = 0
    for value, text in lookalikes(seed, LOOKALIKES):
        at = text.index(value)
        altered += any(f.start < at + len(value) and at < f.end for f in find(text)) or bool(find(value, "value"))
    return altered / LOOKALIKES


def lookalikes(seed: int, n: int) -> Iterator[tuple[str, str]]:
    """(value, text that holds it): UUIDs, git hashes, base64 text, ISO and unix timestamps, drawn by seed."""
    rng = random.Random(seed)
    makers: tuple[Callable[[], str], ...] = (
        lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        lambda: f"{rng.getrandbits(160):040x}",
        lambda: f"{rng.getrandbits(256):064x}",
        lambda: f"{rng.getrandbits(28):07x}",
        lambda: base64.b64encode(rng.randbytes(rng.randint(9, 300))).decode(),
        lambda: base64.urlsafe_b64encode(rng.randbytes(rng.randint(9, 90))).decode(),
        lambda: datetime.fromtimestamp(rng.randint(10**9, 2 * 10**9), UTC).isoformat(),
        lambda: datetime.fromtimestamp(rng.randint(10**9, 2 * 10**9), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        lambda: str(rng.randint(10**9, 2 * 10**9)),
        lambda: str(rng.randint(10**12, 2 * 10**12)),
    )
    frames = (
        "See {} for the log.",
        "The build {} failed at once.",
        "commit {}\nfixes the parser",
        '{{"event": "{}", "ok": true}}',
        "{}",
        "took {} (retry 3)",
    )
    for at in range(n):
        value = makers[at % len(makers)]()
        yield value, rng.choice(frames).format(value)


def _generated(seed: int) -> list[Json]:
    """Sentences with personal data of all kinds that Faker makes, in five languages."""
    from faker import Faker

    fake = Faker(["en_US", "de_DE", "fr_FR", "es_ES", "nl_NL"])
    fake.seed_instance(seed)
    frames = (
        ("PERSON", "My name is {} and I need help.", fake.name),
        ("EMAIL_ADDRESS", "Write to {} please.", fake.email),
        ("PHONE_NUMBER", "You can call me at {} today.", fake.phone_number),
        ("CREDIT_CARD", "Charge card {} now.", fake.credit_card_number),
        ("IBAN_CODE", "Pay to {} by Friday.", fake.iban),
        ("US_SSN", "My SSN is {}.", fake["en_US"].ssn),
        ("IP_ADDRESS", "Requests came from {} last night.", fake.ipv4_public),
        ("DOMAIN_NAME", "It is described at {} in full.", fake.url),
        ("ADDRESS", "Send it to {} please.", lambda: fake.street_address().replace("\n", " ")),
        ("LOCATION", "I live in {} now.", fake.city),
        ("DATE_TIME", "I was born on {}.", lambda: str(fake.date_of_birth())),
    )
    rows = []
    for at in range(GENERATED):
        kind, frame, make = frames[at % len(frames)]
        value, start = make(), frame.index("{")
        rows.append({"id": str(at), "text": frame.format(value), "spans": [{"start": start, "end": start + len(value), "type": kind}]})
    return rows


def _ms_per_kb(detect: Callable, texts: list[str]) -> float:
    """Milliseconds for each thousand UTF-8 bytes, nothing remembered from before."""
    for cached in (find, find_structured):
        cached.cache_clear()
    began = perf_counter()
    for text in texts:
        detect(text)
    return round((perf_counter() - began) * 1e6 / sum(len(text.encode()) for text in texts), 4)


def _ratio(piece: str) -> float:
    def seconds(size: int) -> float:
        text, times = (piece * (size // len(piece) + 1))[:size], []
        for _ in range(2):
            find_structured.cache_clear()
            began = process_time()  # other work on the cores would spoil a ratio of wall times
            find_structured(text)
            times.append(process_time() - began)
        return max(min(times), 1e-4)

    return round(seconds(4 * SIZE) / (4 * seconds(SIZE)), 2)
