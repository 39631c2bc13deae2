"""A user's checker in a process of its own: one that never ends is ended, and one that crashes takes nothing with it.

`python -m slm_pipeline.checker_process`: a JSON message a line in, a JSON reply a line out; ends with its input.
"""

import json
import math
import os
import select
import subprocess
import sys
import threading
import traceback
import weakref
from pathlib import Path
from types import FunctionType, ModuleType

from slm_pipeline.records import Json

SECONDS = 10.0
"""For one answer, and for the file to be read."""


class CheckerProcess:
    """Runs the checker whose file has this `name` and `text`; starts when first asked, and again when it was ended. Any thread may ask."""

    def __init__(self, name: str, text: str, seconds: float = SECONDS):
        self._name, self._text, self._seconds = name, text, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._loaded: Json = {}

    def loaded(self) -> Json:
        """{"gold": whether its word is final}, or {"error": what is wrong with the file}."""
        with self._lock:
            self._start()
            return self._loaded

    def check(self, messages: list[Json], said: str | Json, text: str) -> Json:
        """{"score", "kept"} of an answer, or {"error"}."""
        with self._lock:
            self._start()
            return self._loaded if "error" in self._loaded else self._ask({"messages": messages, "said": said, "text": text})

    def _start(self) -> None:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "slm_pipeline.checker_process"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            weakref.finalize(self, _end, self._process)
            self._loaded = self._ask({"name": self._name, "code": self._text})

    def _ask(self, message: Json) -> Json:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], self._seconds)[0]:
                _end(self._process)
                return {"error": f"checkers/{self._name}: it took longer than {self._seconds:g} s"}
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        return json.loads(reply) if reply else {"error": f"checkers/{self._name}: its process ended with code {self._process.wait()}"}


def _end(process: subprocess.Popen) -> None:
    process.kill()
    with process:
        pass


def main() -> None:
    """The process: reads the checker's file, then answers."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that a checker prints may come between the replies
    first = json.loads(sys.stdin.readline())
    path = Path("checkers") / first["name"]
    module, reply = _read(path, first["code"])

    def say(reply: Json) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    say(reply)
    for line in sys.stdin:
        say(_checked(path, module, json.loads(line)))


def _read(path: Path, code: str) -> tuple[ModuleType, Json]:
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(code, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        return module, {"error": f"{_place(path, error)}: {type(error).__name__}: {error!s:.200}"}
    if not isinstance(module.__dict__.get("check"), FunctionType):
        return module, {"error": f"{path}, line 1: defines no function check(messages, answer)"}
    return module, {"gold": module.__dict__.get("GOLD") is True}


def _checked(path: Path, module: ModuleType, asked: Json) -> Json:
    from slm_pipeline.checkers import Checked

    check = module.__dict__["check"]
    try:
        found = check(asked["messages"], asked["said"])
    except (Exception, SystemExit) as error:
        return {"error": f"{_place(path, error)}: {type(error).__name__}"}
    verdict = found if isinstance(found, Checked) else Checked(found, asked["text"])
    score = verdict.score
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1 or math.isnan(score):
        what = str(score) if isinstance(score, int | float) else type(score).__name__
        wanted = "return True, False, a number from 0 to 1, or a Checked"
        return {"error": f"{path}, line {check.__code__.co_firstlineno}: check returned {what}; {wanted}"}
    return {"score": float(score), "kept": (verdict.kept or None) if score else None}


def _place(path: Path, error: BaseException) -> str:
    """The line of the checker's own file in which an error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1] if lines else 1}"


if __name__ == "__main__":
    main()
