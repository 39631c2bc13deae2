"""What a group's champion says to calls that it has not learned from, and whether it and the LLM are right there: what router, verifier and
certificate are made from."""

import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from slm_pipeline.answering import Asked, Proposal
from slm_pipeline.answers import given_answer, render_answer, target_answer
from slm_pipeline.checkers import Checker, verdict
from slm_pipeline.records import Answer, Json, answer_of
from slm_pipeline.router.text import router_text
from slm_pipeline.scores import is_correct, same_answer
from slm_pipeline.settings import Settings

SPLITS = ("validation", "calibration")
COLUMNS = {
    "id": "str",
    "session_id": "str",
    "task": "str",
    "split": "str",
    "text": "str",
    "answer": "str",
    "known": "object",
    "samples": "int64",
    "tokens": "int64",
    "latency_ms": "float64",
    "passed": "bool",
    "slm": "float64",
    "llm": "float64",
    "judged_by": "str",
    "agrees": "float64",
}


def outcomes(
    examples: pd.DataFrame,
    tasks: Json,
    checkers: Mapping[str, Checker],
    answer: Callable[[Json, Asked], Proposal],
    settings: Settings,
    on_done: Callable[[], None] = lambda: None,
    parallel: int = 1,
) -> pd.DataFrame:
    """COLUMNS for every validation and calibration example. `answer(example, asked)` is the SLM's, called from `parallel` threads.

    text: what the router sees. known: the verifier's numbers (`answering.KNOWN`). slm, llm: 1 if right, else 0; judged_by: "checker",
    "gold", or "teacher": then the LLM counts as right, and the SLM if it says the same. agrees: 1 if it does; NaN where no LLM was asked.
    """
    wanted = examples[examples["split"].isin(SPLITS)].to_dict("records")
    asking = [
        Asked(json.loads(example["full_messages"]), tasks[example["task"]].get("tools") or [], checkers.get(example["task"]))
        for example in wanted
    ]

    def answered(example: Json, asked: Asked) -> Proposal:
        proposal = answer(example, asked)
        on_done()
        return proposal

    with ThreadPoolExecutor(parallel, "asking") as pool:
        proposals = list(pool.map(answered, wanted, asking))
    rows = []
    for example, asked, proposal in zip(wanted, asking, proposals, strict=True):
        slm, llm, by = judged(example, proposal.answer, asked, settings)
        rows.append(
            {key: example[key] for key in ("id", "session_id", "task", "split")}
            | {"text": router_text(json.loads(example["messages"])), "answer": proposal.text, "known": proposal.known(asked).tolist()}
            | {"samples": proposal.samples, "tokens": proposal.tokens, "latency_ms": proposal.latency_ms, "passed": proposal.passed}
            | {"slm": float(slm), "llm": float(llm), "judged_by": by, "agrees": _agrees(example, proposal.answer, asked.tools, settings)}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def judged(example: Mapping, given: Answer, asked: Asked, settings: Settings) -> tuple[bool, bool, str]:
    """Whether the SLM and the LLM are right on an example, and who says so. A checker that fails says nothing."""
    recorded, tools = example["teacher_answer"], asked.tools
    teacher = given_answer(recorded, tools) if isinstance(recorded, str) else None
    slm = verdict(asked.checker, asked.messages, given, render_answer(given, tools))
    if slm is not None:
        llm = teacher is None or verdict(asked.checker, asked.messages, teacher, render_answer(teacher, tools))
        if llm is not None:
            return slm, llm, "checker"
    outcome = json.loads(example["outcome"]) if isinstance(example["outcome"], str) else {}
    gold = answer_of(outcome["gold"]) if isinstance(outcome.get("gold"), dict) else None
    if gold:
        right = [answer is None or is_correct(answer, gold, outcome, tools, settings.leeway) for answer in (given, teacher)]
        return right[0], right[1], "gold"
    return same_answer(target_answer(example), given, tools, settings.leeway, settings.similarity_pass), True, "teacher"


def _agrees(example: Mapping, given: Answer, tools: list[Json], settings: Settings) -> float:
    recorded = example["teacher_answer"]
    if not isinstance(recorded, str):
        return math.nan
    return float(same_answer(given_answer(recorded, tools), given, tools, settings.leeway, settings.similarity_pass))
