"""The adapters of releases in llama.cpp, each in a process and a thread of its own; the ones used last stay resident. Or on a server.

One embedded engine holds one adapter and answers one call after the other: llama.cpp mixes the answers of adapters that share a prompt
cache, and decodes the same prompt differently beside another one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from slm_pipeline.resources.engine import Model

WAITING = 4
"""Calls for each that an engine answers at a time; more go to the LLM."""
AGAIN_SECONDS = 10.0
"""After which what could not be loaded is tried again: its server or the lake may be back, memory free, a file mended."""
NOT_READY = ("slm_loading", "slm_failed", "slm_busy", "slm_slow", "slm_refused", "slm_died")
"""Why an engine does not answer."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class NotReady(Exception):
    """No engine can take the call now; `reason` is what the log says."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Resident:
    engine: Model | None = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "slm engine"))
    waiting: int = 0
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """End it once what it has begun is done."""
        if self.engine is not None:
            self.thread.submit(self.engine.__exit__)
        self.thread.shutdown(wait=False)


class Engines:
    """At most `most` embedded engines, by key; `start(key)` starts one and blocks until it answers, or raises RuntimeError."""

    def __init__(self, most: int, start: Callable[[str], Model]):
        self.most, self._start = most, start
        self._residents: dict[str, _Resident] = {}
        self._failed: dict[str, float] = {}

    async def run(self, key: str, work: Callable[[Model], T], seconds: float) -> T:
        """What `work` says with the engine of `key`, in its thread. Raises NotReady: then it is loaded in the background, has died, has
        too many calls waiting, or took longer than `seconds`; what it has begun it ends in peace."""
        resident = self._residents.get(key)
        if resident is None or resident.engine is None:
            self.load(key)
            raise NotReady("slm_failed" if key in self._failed else "slm_loading")
        if resident.waiting >= WAITING * resident.engine.parallel:
            raise NotReady("slm_busy")
        resident.waiting += 1
        resident.used = time.monotonic()
        asked = asyncio.get_running_loop().run_in_executor(resident.thread, work, resident.engine)
        asked.add_done_callback(lambda _: _done(resident))
        try:
            return await asyncio.wait_for(asyncio.shield(asked), seconds)
        except TimeoutError:
            raise NotReady("slm_slow") from None
        except RuntimeError as error:
            if await asyncio.to_thread(_alive, resident.engine):
                raise NotReady("slm_refused") from error
            log.error("the engine of %s died and is started again: %s", key, str(error).splitlines()[0])
            if self._residents.get(key) is resident:
                self._drop(key)
                self.load(key)
            raise NotReady("slm_died") from error

    def load(self, key: str) -> asyncio.Task | None:
        """Begin to start the engine of `key`, unless it runs, is being started, or could not be started a moment ago."""
        if key in self._residents or time.monotonic() < self._failed.get(key, 0.0):
            return None
        resident = self._residents[key] = _Resident()
        return asyncio.get_running_loop().create_task(self._load(key, resident))

    def has(self, key: str) -> bool:
        """Whether the engine of `key` takes calls."""
        return key in self._residents and self._residents[key].engine is not None

    @property
    def ready(self) -> int:
        """How many engines take calls."""
        return sum(resident.engine is not None for resident in self._residents.values())

    @property
    def loading(self) -> int:
        """How many are being started."""
        return len(self._residents) - self.ready

    def keep(self, keys: set[str]) -> None:
        """End the engines of all other keys."""
        for key in self._residents.keys() - keys:
            self._drop(key)

    def close(self) -> None:
        self.keep(set())

    async def _load(self, key: str, resident: _Resident) -> None:
        try:
            engine = await asyncio.get_running_loop().run_in_executor(resident.thread, self._start, key)
        except Exception as error:  # a file that is missing, damaged or not what llama.cpp reads, a server that is away: calls go on
            log.error("the engine of %s cannot be started: %s: %.300s", key, type(error).__name__, error)
            self._failed[key] = time.monotonic() + AGAIN_SECONDS
            self._residents.pop(key, None)
            resident.thread.shutdown(wait=False)
            return
        self._failed.pop(key, None)
        if self._residents.get(key) is not resident:  # nobody wants it any more
            await asyncio.to_thread(engine.__exit__)
            return
        if engine.parallel > 1:
            resident.thread.shutdown(wait=False)
            resident.thread = ThreadPoolExecutor(engine.parallel, "slm server")
        resident.engine = engine
        while len(held := [name for name, of in self._residents.items() if of.engine is not None and of.engine.embedded]) > self.most:
            self._drop(min((name for name in held if name != key), key=lambda name: self._residents[name].used))

    def _drop(self, key: str) -> None:
        resident = self._residents.pop(key)
        resident.close()


def _alive(engine: Model) -> bool:
    return engine.alive


def _done(resident: _Resident) -> None:
    resident.waiting -= 1
