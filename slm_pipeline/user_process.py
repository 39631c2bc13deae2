"""A user's Python file in a process of its own: one that never ends is ended, and one that crashes takes nothing with it.

A module of ours that calls `run` is the process: a JSON message a line in, a JSON reply a line out; it ends with its input.
"""

import json
import os
import select
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType

from slm_pipeline.records import Json

SECONDS = 10.0
"""For one reply, and for the file to be read."""


class UserProcess:
    """Runs `module` with the file that has this `name` (for messages: with its folder) and `text`; starts when first asked, and again when
    it was ended. Any thread may ask."""

    def __init__(self, module: str, name: str, text: str, seconds: float = SECONDS):
        self._module, self._name, self._text, self._seconds = module, name, text, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._loaded: Json = {}

    def loaded(self) -> Json:
        """What the process says of the file once it has read it, or {"error": what is wrong with it}."""
        with self._lock:
            self._start()
            return self._loaded

    def ask(self, message: Json) -> Json:
        """The reply to a message, or {"error"}."""
        with self._lock:
            self._start()
            return self._loaded if "error" in self._loaded else self._ask(message)

    def _start(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen([sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            weakref.finalize(self, _end, self._process)
            self._loaded = self._ask({"name": self._name, "code": self._text})

    def _ask(self, message: Json) -> Json:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], self._seconds)[0]:
                _end(self._process)
                return {"error": f"{self._name}: it took longer than {self._seconds:g} s"}
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        return json.loads(reply) if reply else {"error": f"{self._name}: its process ended with code {self._process.wait()}"}


def _end(process: subprocess.Popen) -> None:
    process.kill()
    with process:
        pass


def run(signature: str, loaded: Callable[[ModuleType], Json], answer: Callable[[Path, ModuleType, Json], Json]) -> None:
    """The process: reads the user's file, which must define a function of this `signature`, and says what `loaded` says of it; then answers
    every message with `answer(path, file, message)`. What that raises becomes an error that names the file's line, never what was raised.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that the file prints may come between the replies
    first = json.loads(sys.stdin.readline())
    path = Path(first["name"])
    module = ModuleType(path.stem)
    module.__file__ = str(path)

    def say(reply: Json) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    say(_read(path, module, first["code"], signature) or loaded(module))
    for line in sys.stdin:
        try:
            say(answer(path, module, json.loads(line)))
        except (Exception, SystemExit) as error:
            say({"error": f"{_place(path, error)}: {type(error).__name__}"})


def _read(path: Path, module: ModuleType, code: str, signature: str) -> Json | None:
    """What is wrong with the file; None if nothing is."""
    try:
        exec(compile(code, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        return {"error": f"{_place(path, error)}: {type(error).__name__}: {error!s:.200}"}
    if not isinstance(module.__dict__.get(signature.partition("(")[0]), FunctionType):
        return {"error": f"{path}, line 1: defines no function {signature}"}
    return None


def _place(path: Path, error: BaseException) -> str:
    """The line of the user's own file in which an error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1] if lines else 1}"
