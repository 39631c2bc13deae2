"""The sealed call log: every call once, booked on a day, and the feedback on it, append-only.

What a call says is encrypted under a key of its client; clear are only the columns that the pipeline queries.
"""

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from operator import itemgetter

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from slm_pipeline.lake import digest
from slm_pipeline.records import AgentCall, Json
from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.keyring import DataKey, seal, unseal
from slm_pipeline.s1_collect.roles import Operation, Role
from slm_pipeline.s1_collect.schema import records
from slm_pipeline.settings import Settings

BATCH = 500  # calls per transaction: what a kill can cost an import, which then repeats it
PAGE = 100  # records opened at once
_IS_CALL, _IS_FEEDBACK = records.c.kind == "call", records.c.kind == "feedback"


@dataclass(frozen=True)
class Appended:
    """How many calls were new, and how many the log had already (by `id`; the first one stays)."""

    added: int
    repeated: int


@dataclass(frozen=True)
class Feedback:
    """What a person or a program says of a call or of a whole session: `outcome` holds success, score, comment, correction.

    `client_id` limits it to calls of that client.
    """

    outcome: Json
    call_id: str | None = None
    session_id: str | None = None
    client_id: str | None = None


class CallLog:
    """Append and read calls as `role` may; safe for several processes. Created on first use."""

    def __init__(self, settings: Settings, role: Role):
        self._first_day = settings.first_day.isoformat()
        self.database = Database(settings, role)
        self._keyring = self.database.keyring

    def append(self, calls: Iterable[AgentCall], now: float | None = None) -> Appended:
        """Add the calls that are new by `id`. Each batch is durable before the next is read; `now` is unix seconds."""
        self.database.require(Operation.APPEND)
        calls, added, seen = iter(calls), 0, 0
        while batch := list(islice(calls, BATCH)):
            with self.database.writing() as connection:
                added += self.append_batch(connection, batch, now)
            seen += len(batch)
        return Appended(added, seen - added)

    def append_batch(self, connection: sa.Connection, batch: list[AgentCall], now: float | None = None) -> int:
        """Add the new ones of a few calls inside a transaction of `database.writing()`; returns their number."""
        self.database.require(Operation.APPEND)
        today = _day(time.time() if now is None else now)
        new: dict[bytes, AgentCall] = {}
        for call in batch:
            new.setdefault(self._keyring.pseudonym("call", call.id), call)
        # one writer at a time: what is not there now is not there at the insert either
        for known in connection.execute(sa.select(records.c.ref).where(records.c.ref.in_(new))).scalars():
            del new[bytes(known)]
        if new:
            clients = {call.client_id: self._keyring.pseudonym("client", call.client_id) for call in new.values()}
            keys = self._keyring.of_clients(connection, clients.values())
            connection.execute(records.insert(), [self._row(call, ref, today, keys[clients[call.client_id]]) for ref, call in new.items()])
        return len(new)

    def append_feedback(self, connection: sa.Connection, feedback: Feedback) -> int:
        """Book feedback beside the calls it is about, inside a transaction; returns the number of calls, 0 if none is known."""
        self.database.require(Operation.APPEND)
        if feedback.call_id is not None:
            about, session = self._keyring.pseudonym("call", feedback.call_id), None
        else:
            about, session = None, self._keyring.pseudonym("session", str(feedback.session_id))
        query = sa.select(records.c.day, records.c.agent, records.c.key_id, sa.func.count().label("calls")).where(_IS_CALL)
        query = query.where(records.c.ref == about if about else records.c.session == session)
        if feedback.client_id is not None:
            client = self._keyring.pseudonym("client", feedback.client_id)
            query = query.where(records.c.key_id == self._keyring.of_clients(connection, [client])[client].id)
        booked = connection.execute(query.group_by(records.c.day, records.c.agent, records.c.key_id)).all()
        ciphers, plain = self._keyring.opener(connection, {row.key_id for row in booked}), to_json(feedback.outcome)
        score = feedback.outcome.get("score")
        for row in booked:
            ref = self._keyring.pseudonym("feedback", uuid.uuid4().hex)
            values = {
                "kind": "feedback",
                "ref": ref,
                "about": about,
                "session": session,
                "day": row.day,
                "agent": row.agent,
                "bytes": len(plain),
                "success": feedback.outcome.get("success"),
                "score": score,
                "content": self._keyring.fingerprint(plain),
                "key_id": row.key_id,
                "body": seal(ciphers[row.key_id], plain, _label("feedback", ref, row.day)),
            }
            connection.execute(records.insert().values(values))
        return sum(row.calls for row in booked)

    def _row(self, call: AgentCall, ref: bytes, today: str, key: DataKey) -> dict:
        body = call.to_json().encode()
        day = _day(call.timestamp)
        # a late or mis-dated call is booked on arrival, so that a closed day does not change and every day is a partition
        booked = day if self._first_day <= day <= today else today
        outcome = call.outcome or {}
        success, score = outcome.get("success"), outcome.get("score", outcome.get("reward"))
        usage, origin = call.response.get("usage"), (call.model_extra or {}).get("origin") or {}
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        return {
            "kind": "call",
            "ref": ref,
            "session": self._keyring.pseudonym("session", call.session_id),
            "day": booked,
            "agent": call.agent,
            "api_key": bytes.fromhex(origin["api_key"]) if origin.get("api_key") else None,
            "task_group": call.route.group if call.route else None,
            "route": call.route.served_by if call.route else None,
            "bytes": len(body),
            "tokens": tokens if isinstance(tokens, int) and 0 <= tokens < 2**31 else None,
            "success": success if isinstance(success, bool) else None,
            "score": float(score) if isinstance(score, int | float) and abs(score) < 1e15 else None,
            "content": self._keyring.fingerprint(body),
            "key_id": key.id,
            "body": seal(key.cipher, body, _label("call", ref, booked)),
        }

    def read(self, day: str) -> Iterator[AgentCall]:
        """The day's calls in order of arrival, streamed, each with the feedback on it as its `outcome`."""
        self.database.require(Operation.READ)
        with self.database.writing() as connection:
            self.database.record(connection, "day read", day=day)
        return self._read(day)

    def _read(self, day: str) -> Iterator[AgentCall]:
        by_call, by_session = self._feedback(day)
        for row, body in self._open(day, _IS_CALL):
            call = AgentCall.model_validate_json(body)
            for _, outcome in sorted([*by_call.get(row.ref, ()), *by_session.get(row.session, ())], key=itemgetter(0)):
                call.outcome = (call.outcome or {}) | outcome  # later feedback corrects earlier
            yield call

    def _feedback(self, day: str) -> tuple[dict[bytes, list], dict[bytes, list]]:
        """The day's feedback by call and by session, each as (seq, outcome)."""
        by_call: dict[bytes, list] = {}
        by_session: dict[bytes, list] = {}
        for row, body in self._open(day, _IS_FEEDBACK):
            said = by_session.setdefault(row.session, []) if row.about is None else by_call.setdefault(row.about, [])
            said.append((row.seq, from_json(body)))
        return by_call, by_session

    def _open(self, day: str, kind: sa.ColumnElement[bool]) -> Iterator[tuple[sa.Row, bytes]]:
        """The day's records of a kind with their content; in pages, for an open cursor would hold the write-ahead log."""
        ciphers: dict[int, AESGCM] = {}
        query = sa.select(records).where(records.c.day == day, kind).order_by(records.c.seq).limit(PAGE)
        rows, last = True, 0
        while rows:
            with self.database.reading() as connection:
                rows = connection.execute(query.where(records.c.seq > last)).all()
                if missing := {row.key_id for row in rows} - ciphers.keys():
                    ciphers |= self._keyring.opener(connection, missing)
            for row in rows:
                last = row.seq
                if row.key_id in ciphers:  # else its client was erased between two pages
                    yield row, unseal(ciphers[row.key_id], row.body, _label(row.kind, row.ref, row.day))

    def fingerprint(self, day: str) -> str:
        """A digest of the contents of the day's calls and feedback, whatever their order of arrival; opens nothing."""
        query = sa.select(records.c.ref, records.c.content).where(records.c.day == day).order_by(records.c.ref)
        return digest(*(f"{bytes(ref).hex()} {bytes(content).hex()}" for ref, content in self._queried(query)))

    def span(self, day: str) -> tuple[int, int]:
        """The lowest and the highest sequence number of the day; (0, 0) if it has no calls."""
        query = sa.select(sa.func.coalesce(sa.func.min(records.c.seq), 0), sa.func.coalesce(sa.func.max(records.c.seq), 0))
        return tuple(self._queried(query.where(records.c.day == day))[0])

    def days(self) -> list[str]:
        """Days with calls, as YYYY-MM-DD, sorted."""
        return [row.day for row in self._queried(sa.select(records.c.day).where(_IS_CALL).distinct().order_by(records.c.day))]

    def cursor(self) -> int:
        """The highest sequence number; 0 for an empty log."""
        return self._queried(sa.select(sa.func.coalesce(sa.func.max(records.c.seq), 0)))[0][0]

    def touched_days(self, after: int) -> dict[str, int]:
        """Days that got calls or feedback after the sequence number `after`, each with its highest sequence number."""
        query = sa.select(records.c.day, sa.func.max(records.c.seq)).where(records.c.seq > after)
        return dict(tuple(row) for row in self._queried(query.group_by(records.c.day).order_by(records.c.day)))

    def tokens_of_day(self, day: str) -> dict[bytes, int]:
        """Tokens by API key (pseudonym) of the calls of a day: what budgets are counted in."""
        self.database.require(Operation.CHECK_KEYS)
        query = sa.select(records.c.api_key, sa.func.sum(records.c.tokens)).where(records.c.day == day, records.c.api_key.is_not(None))
        with self.database.reading() as connection:
            return {bytes(key): int(tokens or 0) for key, tokens in connection.execute(query.group_by(records.c.api_key))}

    def _queried(self, query: sa.Select) -> list[sa.Row]:
        self.database.require(Operation.READ)
        with self.database.reading() as connection:
            return connection.execute(query).all()


def _label(kind: str, ref: bytes, day: str) -> str:
    return f"{kind} {bytes(ref).hex()} {day}"


def _day(timestamp: float) -> str:
    """The UTC day of a timestamp; times that no calendar holds (milliseconds, say) lie in the future."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "9999-12-31"
