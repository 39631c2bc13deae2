"""What a user says a right answer is: one Python function per task or group, in `<home>/checkers/<key>.py`.

    def check(messages, answer):
        return "total" in answer

`messages` are those of the call as the agent sent them, redacted, in simple roles. `answer` is the text, or, where tools are called, the
assistant's message in OpenAI form. What is returned is True or False, a score from 0 to 1, or a `Checked`. S6 scores with it
(`checked`), and training leaves out what it rejects. A file that also says `GOLD = True` knows what is right (a sum, a schema with values,
a test that runs): the gateway serves what it passes without any other promise.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from slm_pipeline.checker_process import CheckerProcess
from slm_pipeline.lake import digest
from slm_pipeline.records import Answer, Json, response_of
from slm_pipeline.settings import Settings

__all__ = ["Checked", "Checker", "CheckerError", "checked_answer", "checker_of", "checkers_of", "is_gold", "verdict"]


@dataclass(frozen=True)
class Checked:
    """A checker's verdict. score: 0 to 1. kept: the answer with its bad lines taken out; None or "" if nothing of it is good."""

    score: float
    kept: str | None = None


class CheckerError(Exception):
    """A user's checker cannot be read, raised something, took too long, or returned what is no verdict; the message names file and line.

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
    said = response_of(answer, "")["choices"][0]["message"] if answer.tool_calls else answer.text
    return Checked(**_told(_process(checker).check(messages, said, text)))


def verdict(checker: Checker | None, messages: list[Json], answer: Answer, text: str) -> bool | None:
    """Whether all of an answer is right, of what `checked_answer` takes; None without a checker, or if it fails."""
    if checker is None:
        return None
    try:
        return checked_answer(checker, messages, answer, text).score == 1
    except CheckerError:
        return None


def is_gold(checker: Checker) -> bool:
    """Whether what the checker passes is right, and what it does not pass is wrong; raises CheckerError if its file cannot be run."""
    return _told(_process(checker).loaded())["gold"]


def _told(reply: Json) -> Json:
    if "error" in reply:
        raise CheckerError(reply["error"])
    return reply


@lru_cache(maxsize=16)
def _process(checker: Checker) -> CheckerProcess:
    return CheckerProcess(checker.path.name, checker.text)
