"""The call log: every call once, booked on a day, in one append-only SQLite file.

Calls are kept as they came, unredacted; the file is readable by its owner only.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from slm_pipeline.lake import digest
from slm_pipeline.records import AgentCall
from slm_pipeline.settings import get_settings

BATCH = 500  # calls per transaction: what a kill can cost an import, which then repeats it

_metadata = sa.MetaData()
_calls = sa.Table(
    "calls",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary(8), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("calls_by_day", "day", "seq"),
)


@dataclass(frozen=True)
class Appended:
    """How many calls were new, and how many the log had already (by `id`; the first one stays)."""

    added: int
    repeated: int


class CallLog:
    """Append and read calls; safe for several appending processes. `path` is created if needed."""

    def __init__(self, path: Path, first_day: date | None = None):
        self.first_day = first_day or get_settings().first_day
        if not path.exists():
            _create(path)
        self._engine = _engine(path)

    def append(self, calls: Iterable[AgentCall], now: float | None = None) -> Appended:
        """Add the calls that are new by `id`. Each batch is durable before the next is read; `now` is unix seconds."""
        calls, added, seen = iter(calls), 0, 0
        today = _day(time.time() if now is None else now)
        with self._engine.connect() as connection:
            while rows := [self._row(call, today) for call in islice(calls, BATCH)]:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                before = connection.execute(_total).scalar_one()
                connection.execute(insert(_calls).on_conflict_do_nothing(index_elements=["id"]), rows)
                added += connection.execute(_total).scalar_one() - before
                connection.exec_driver_sql("COMMIT")
                seen += len(rows)
        return Appended(added, seen - added)

    def _row(self, call: AgentCall, today: str) -> dict:
        body = call.to_json().encode()
        day = _day(call.timestamp)
        # a late or mis-dated call is booked on arrival, so that a closed day does not change and every day is a partition
        booked = day if self.first_day.isoformat() <= day <= today else today
        return {"id": call.id, "day": booked, "content": hashlib.sha256(body).digest()[:8], "body": body}

    def read(self, day: str) -> Iterator[AgentCall]:
        """The day's calls in order of arrival, streamed."""
        query = sa.select(_calls.c.body).where(_calls.c.day == day).order_by(_calls.c.seq)
        with self._engine.connect() as connection:
            for body in connection.execution_options(yield_per=100).execute(query).scalars():
                yield AgentCall.model_validate_json(body)

    def fingerprint(self, day: str) -> str:
        """A digest of the ids and contents of the day's calls, whatever their order of arrival; reads no content."""
        query = sa.select(_calls.c.id, _calls.c.content).where(_calls.c.day == day).order_by(_calls.c.id)
        with self._engine.connect() as connection:
            return digest(*(f"{call_id} {content.hex()}" for call_id, content in connection.execute(query)))

    def span(self, day: str) -> tuple[int, int]:
        """The lowest and the highest sequence number of the day; (0, 0) if it has no calls."""
        query = sa.select(sa.func.coalesce(sa.func.min(_calls.c.seq), 0), sa.func.coalesce(sa.func.max(_calls.c.seq), 0))
        with self._engine.connect() as connection:
            return tuple(connection.execute(query.where(_calls.c.day == day)).one())

    def days(self) -> list[str]:
        """Days with calls, as YYYY-MM-DD, sorted."""
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(_calls.c.day).distinct().order_by(_calls.c.day)).scalars())

    def cursor(self) -> int:
        """The highest sequence number; 0 for an empty log."""
        with self._engine.connect() as connection:
            return connection.execute(_last).scalar_one()

    def touched_days(self, after: int) -> dict[str, int]:
        """Days that got calls after the sequence number `after`, each with its highest sequence number."""
        query = sa.select(_calls.c.day, sa.func.max(_calls.c.seq)).where(_calls.c.seq > after).group_by(_calls.c.day).order_by(_calls.c.day)
        with self._engine.connect() as connection:
            return dict(tuple(row) for row in connection.execute(query))


_total = sa.text("SELECT total_changes()")
_last = sa.select(sa.func.coalesce(sa.func.max(_calls.c.seq), 0))


def _engine(path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", poolclass=sa.NullPool, connect_args={"timeout": 60})


def _create(path: Path) -> None:
    """Make the empty log under another name and link it into place, so that of several creators one wins and none waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder, path.name)
        new.touch(mode=0o600)
        with _engine(new).connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            _metadata.create_all(connection)
        with suppress(FileExistsError):
            path.hardlink_to(new)


def _day(timestamp: float) -> str:
    """The UTC day of a timestamp; times that no calendar holds (milliseconds, say) lie in the future."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "9999-12-31"
