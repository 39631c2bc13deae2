"""A user's checker in a process of its own (`python -m slm_pipeline.checker_process`)."""

import math
from pathlib import Path
from types import ModuleType

from slm_pipeline.records import Json
from slm_pipeline.user_process import SECONDS, UserProcess, run


class CheckerProcess(UserProcess):
    """Runs the checker whose file has this `name` and `text`; `loaded` says {"gold": whether its word is final}."""

    def __init__(self, name: str, text: str, seconds: float = SECONDS):
        super().__init__("slm_pipeline.checker_process", f"checkers/{name}", text, seconds)

    def check(self, messages: list[Json], said: str | Json, text: str) -> Json:
        """{"score", "kept"} of an answer, or {"error"}."""
        return self.ask({"messages": messages, "said": said, "text": text})


def _loaded(module: ModuleType) -> Json:
    return {"gold": module.__dict__.get("GOLD") is True}


def _checked(path: Path, module: ModuleType, asked: Json) -> Json:
    from slm_pipeline.checkers import Checked

    check = module.__dict__["check"]
    found = check(asked["messages"], asked["said"])
    verdict = found if isinstance(found, Checked) else Checked(found, asked["text"])
    score = verdict.score
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1 or math.isnan(score):
        what = str(score) if isinstance(score, int | float) else type(score).__name__
        wanted = "return True, False, a number from 0 to 1, or a Checked"
        return {"error": f"{path}, line {check.__code__.co_firstlineno}: check returned {what}; {wanted}"}
    return {"score": float(score), "kept": (verdict.kept or None) if score else None}


if __name__ == "__main__":
    run("check(messages, answer)", _loaded, _checked)
