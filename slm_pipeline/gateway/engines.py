"""The adapters of releases in llama.cpp, each in a process and a thread of its own; the ones used last stay resident.

One engine holds one adapter and answers one call after the other: llama.cpp mixes the answers of adapters that share a prompt cache, and
decodes the same prompt differently beside another one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from slm_pipeline.resources.engine import Engine

WAITING = 4
"""Calls that wait for one engine; more go to the LLM."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class NotReady(Exception):
    """No engine can take the call now; `reason` is what the log says."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Resident:
    engine: Engine | None = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "slm engine"))
    waiting: int = 0
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """End it once what it has begun is done."""
        if self.engine is not None:
            self.thread.submit(self.engine.__exit__)
        self.thread.shutdown(wait=False)


class Engines:
    """At most `most` engines, by key; `start(key)` starts one and blocks until it answers, or raises RuntimeError."""

    def __init__(self, most: int, start: Callable[[str], Engine]):
        self._most, self._start = most, start
        self._residents: dict[str, _Resident] = {}
        self._failed: dict[str, str] = {}

    async def run(self, key: str, work: Callable[[Engine], T], seconds: float) -> T:
        """What `work` says with the engine of `key`, in its thread. Raises NotReady: then it is loaded in the background, has died, has
        too many calls waiting, or took longer than `seconds`; what it has begun it ends in peace."""
        resident = self._residents.get(key)
        if resident is None or resident.engine is None:
            self.load(key)
            raise NotReady("slm_failed" if key in self._failed else "slm_loading")
        if resident.waiting >= WAITING:
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
            if resident.engine.alive:
                raise NotReady("slm_refused") from error
            log.error("the engine of %s died and is started again: %s", key, str(error).splitlines()[0])
            if self._residents.get(key) is resident:
                self._drop(key)
                self.load(key)
            raise NotReady("slm_died") from error

    def load(self, key: str) -> asyncio.Task | None:
        """Begin to start the engine of `key`, unless it runs, is being started, or could not be started before."""
        if key in self._residents or key in self._failed:
            return None
        resident = self._residents[key] = _Resident()
        return asyncio.get_running_loop().create_task(self._load(key, resident))

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
        except Exception as error:  # a file that is missing, damaged or not what llama.cpp reads: the release is refused, calls go on
            self._failed[key] = f"{type(error).__name__}: {error!s:.300}"
            log.error("the engine of %s cannot be started: %s", key, self._failed[key])
            self._residents.pop(key, None)
            resident.thread.shutdown(wait=False)
            return
        resident.engine = engine
        if self._residents.get(key) is not resident:  # nobody wants it any more
            resident.close()
            return
        while self.ready > self._most:
            others = (name for name, other in self._residents.items() if name != key and other.engine is not None)
            self._drop(min(others, key=lambda name: self._residents[name].used))

    def _drop(self, key: str) -> None:
        resident = self._residents.pop(key)
        resident.close()


def _done(resident: _Resident) -> None:
    resident.waiting -= 1
