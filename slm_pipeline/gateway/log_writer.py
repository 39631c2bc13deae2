"""Calls on their way into the log: a bounded queue and one thread, so that writing never holds up a call.

What does not fit into the queue is dropped and counted. While the log cannot be written to, what is in hand is tried
again and again, so nothing is lost unless the queue runs full.
"""

import asyncio
import logging
import queue
import threading
import time

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from slm_pipeline.gateway import metrics
from slm_pipeline.gateway.finished import Finished, call_of
from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.call_log import BATCH, CallLog, Feedback
from slm_pipeline.s1_collect.database import LogUnavailable
from slm_pipeline.s1_collect.importers.sessions import Sessions
from slm_pipeline.s1_collect.master_key import MasterKeyError
from slm_pipeline.settings import Settings

SESSIONS = 10_000  # conversations that a later call may continue without naming its session
RETRY_SECONDS = 1.0
STOP_SECONDS = 10.0
log = logging.getLogger(__name__)


class LogWriter:
    """`put` hands over what is to be written; in `sync` mode its future is done once that is committed, in `batch` mode there is none."""

    def __init__(self, call_log: CallLog, settings: Settings):
        self._log, self.sync = call_log, settings.log_mode == "sync"
        # half the interval: what comes in during a commit waits for its end, then for a window, then for a commit of its own
        self._window = 0.0 if self.sync else settings.log_flush_seconds / 2
        self._queue: queue.Queue[tuple[Finished | Feedback, asyncio.Future | None]] = queue.Queue(settings.log_queue)
        self._sessions = Sessions(SESSIONS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self.healthy = True
        self._taken = self._done = 0  # counted by two threads, each its own
        metrics.log_up.set(1)
        self._thread.start()

    def put(self, item: Finished | Feedback) -> asyncio.Future | None:
        """Queue an item; the future's result is the number of calls it concerned, None if the queue was full."""
        wanted = self.sync or isinstance(item, Feedback)
        future = asyncio.get_running_loop().create_future() if wanted else None
        try:
            self._queue.put_nowait((item, future))
            self._taken += 1
        except queue.Full:
            metrics.dropped.labels("queue_full").inc()
            if future:
                future.set_result(None)
        return future

    def waiting(self) -> int:
        """How many items were taken and are not committed yet."""
        return self._taken - self._done

    def stop(self) -> None:
        """Write what is in the queue, then end; blocks for at most STOP_SECONDS."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        if left := self.waiting():
            metrics.dropped.labels("stopped").inc(left)
            log.error("%d calls could not be written to the log before the end", left)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            if batch := self._gather():
                self._write(batch)
                self._done += len(batch)

    def _gather(self) -> list[tuple[Finished | Feedback, asyncio.Future | None]]:
        """What arrives within a window from the first item on, at most a transaction's worth."""
        try:
            batch = [self._queue.get(timeout=0.1)]
        except queue.Empty:
            return []
        until = time.monotonic() + self._window
        while len(batch) < BATCH:
            left = until - time.monotonic()
            try:
                batch.append(self._queue.get(timeout=left) if left > 0 and not self._stopping.is_set() else self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list) -> None:
        items = [(self._call(item) if isinstance(item, Finished) else item, future) for item, future in batch]
        while True:
            try:
                results = self._commit([item for item, _ in items])
                break
            except (SQLAlchemyError, LogUnavailable, MasterKeyError) as error:
                if self.healthy:
                    log.error("the call log cannot be written to, and is tried again: %s", str(error).splitlines()[0])
                self.healthy = False
                metrics.log_up.set(0)
                time.sleep(RETRY_SECONDS)
        self.healthy = True
        metrics.log_up.set(1)
        for (_, future), result in zip(items, results, strict=True):
            if future:
                future.get_loop().call_soon_threadsafe(_resolve, future, result)

    def _commit(self, items: list[AgentCall | Feedback | None]) -> list[int]:
        """Write in one transaction, in order: feedback may be about a call that was queued just before it."""
        results, calls = [], []
        with self._log.database.writing() as connection:
            for item in items:
                if isinstance(item, AgentCall):
                    calls.append(item)
                    results.append(1)
                elif item is None:
                    results.append(0)
                else:
                    self._log.append_batch(connection, calls)
                    calls = []
                    results.append(self._log.append_feedback(connection, item))
            self._log.append_batch(connection, calls)
        metrics.logged.inc(sum(isinstance(item, AgentCall) for item in items))
        return results

    def _call(self, finished: Finished) -> AgentCall | None:
        try:
            return call_of(finished, self._sessions)
        except (ValidationError, ValueError, TypeError, RecursionError) as error:
            metrics.dropped.labels("invalid").inc()
            log.error("call %s cannot be logged: %s", finished.id, type(error).__name__)
            return None


def _resolve(future: asyncio.Future, result: int) -> None:
    if not future.done():
        future.set_result(result)
