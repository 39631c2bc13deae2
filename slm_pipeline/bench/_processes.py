"""A server of a bench as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx2

START_SECONDS = 60


@contextmanager
def running(arguments: Sequence[str], url: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """`python ARGUMENTS` until the block ends, from when it answers anything at `url`. Raises RuntimeError if it never does."""
    process = subprocess.Popen([sys.executable, *arguments], env=os.environ | environment, stdout=sys.stderr)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{arguments[1]} did not start; what it wrote says why")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        httpx2.get(url, timeout=1)
    except httpx2.HTTPError:
        return False
    return True
