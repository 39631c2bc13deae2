"""What a user says a right answer is: one Python function per task or group, in `<home>/checkers/<key>.py`.

    def check(messages, answer):
        return "total" in answer

`messages` are those of the call as the agent sent them, redacted, in simple roles. `answer` is the text, or, where tools are called, the
assistant's message in OpenAI form. What is returned is True or False, a score from 0 to 1, or a `Checked`. S6 scores with it
(`checked`), and training leaves out what it rejects. A file that also says `GOLD = True` knows what is right (a sum, a schema with values,
a test that runs): the gateway serves what it passes without any other promise.
"""

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType

from slm_pipeline.lake import digest
from slm_pipeline.records import Answer, Json, response_of
from slm_pipeline.settings import Settings

__all__ = ["Checked", "Checker", "CheckerError", "checked_answer", "checker_of", "checkers_of", "is_gold"]


@dataclass(frozen=True)
class Checked:
    """A checker's verdict. score: 0 to 1. kept: the answer with its bad lines taken out; None or "" if nothing of it is good."""

    score: float
    kept: str | None = None


class CheckerError(Exception):
    """A user's checker cannot be read, raised something, or returned what is no verdict; the message names its file and line.

    It goes into panels, which an erasure leaves as they are, so it never holds what was raised or returned for a call: that may quote it.
    """


@dataclass(frozen=True)
class Checker:
    """A checker's file and its text, by which it is known: a changed checker is another one."""

    path: Path
    text: str

    @property
    def digest(self) -> str:
        return digest(self.text)


def checker_of(task: str, group: str, settings: Settings) -> Checker | None:
    """The checker of a task: its own, else its group's, else None. The file is read, not yet run."""
    paths = (settings.checkers / f"{key}.py" for key in (task, group))
    return next((Checker(path, path.read_text()) for path in paths if path.is_file()), None)


def checkers_of(tasks: Json, group: str, settings: Settings) -> dict[str, Checker]:
    """The checkers by task, of the tasks of a group that have one."""
    return {task: checker for task in tasks if (checker := checker_of(task, group, settings))}


def checked_answer(checker: Checker, messages: list[Json], answer: Answer, text: str) -> Checked:
    """What the checker says of an answer to a call's `messages` (full_messages of `task_examples`); raises CheckerError.

    `text` is the answer as it was written: where the checker returns a bare score above 0, all of it is kept.
    """
    check = _function(checker)
    said = response_of(answer, "")["choices"][0]["message"] if answer.tool_calls else answer.text
    try:
        found = check(messages, said)
    except (Exception, SystemExit) as error:
        raise CheckerError(f"{_place(checker, error)}: {type(error).__name__}") from None
    verdict = found if isinstance(found, Checked) else Checked(found, text)
    score = verdict.score
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1 or math.isnan(score):
        what = str(score) if isinstance(score, int | float) else type(score).__name__
        line = f"{_name(checker)}, line {check.__code__.co_firstlineno}"
        raise CheckerError(f"{line}: check returned {what}; return True, False, a number from 0 to 1, or a Checked")
    return Checked(float(score), (verdict.kept or None) if score else None)


def is_gold(checker: Checker) -> bool:
    """Whether what the checker passes is right, and what it does not pass is wrong; raises CheckerError if its file cannot be run."""
    return _module(checker).__dict__.get("GOLD") is True


def _function(checker: Checker) -> Callable:
    check = _module(checker).__dict__.get("check")
    if not isinstance(check, FunctionType):
        raise CheckerError(f"{_name(checker)}, line 1: defines no function check(messages, answer)")
    return check


@lru_cache(maxsize=256)
def _module(checker: Checker) -> ModuleType:
    module = ModuleType(checker.path.stem)
    module.__file__ = str(checker.path)
    try:
        exec(compile(checker.text, checker.path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise CheckerError(f"{_place(checker, error)}: {type(error).__name__}: {error!s:.200}") from None
    return module


def _place(checker: Checker, error: BaseException) -> str:
    """The line of the checker's own file in which an error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(checker.path):
        line = error.lineno
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(checker.path)]
        line = lines[-1] if lines else 1
    return f"{_name(checker)}, line {line}"


def _name(checker: Checker) -> str:
    return f"checkers/{checker.path.name}"
