"""What an answer itself says about whether it is right: read from request and answer, before anything is known of the truth."""

import re

import numpy as np

from slm_pipeline.tool_use.calculator import NUMBER, calculate

NAMES = (
    "request_length",
    "request_numbers",
    "length",
    "numbers",
    "equations",
    "equations_wrong",
    "numbers_from_nowhere",
    "numbers_unused",
    "hedged",
    "repeated",
    "unclosed",
)
"""The columns that `evidence` gives: logs of the request's words and numbers, and of the answer's words, numbers and equations; shares of
wrong equations, of numbers that neither the request nor an equation gives, and of the request's numbers that the answer does not use; words
of doubt; the share of lines that were said before; whether a bracket is left open."""

BRACKETS = ("()", "[]", "{}", ("<<", ">>"))
FIGURE = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
EQUATION = re.compile(rf"((?:{NUMBER}|\()[-+*/%()\d.\s]*[\d)])\s*=\s*({NUMBER})")
DOUBT = re.compile(
    r"\b(?:not sure|unclear|cannot|can't|unable|assum\w*|approximately|perhaps|maybe|however|actually|sorry)\b", re.IGNORECASE
)


def evidence(request: str, answer: str) -> np.ndarray:
    """A row of NAMES; NaN where there is nothing that a share could be of."""
    plain = answer.replace("$", "").replace(",", "")
    equations = EQUATION.findall(plain)
    wrong = [not _equal(calculate(left), right) for left, right in equations]
    told, said = _numbers(request), _numbers(answer)
    computed = {_value(right) for _, right in equations}
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return np.array(
        [
            np.log1p(len(request.split())),
            np.log1p(len(told)),
            np.log1p(len(answer.split())),
            np.log1p(len(said)),
            np.log1p(len(equations)),
            np.mean(wrong) if wrong else np.nan,
            np.mean([number not in told | computed for number in said]) if said else np.nan,
            np.mean([number not in said for number in told]) if told else np.nan,
            len(DOUBT.findall(answer)),
            1 - len(set(lines)) / len(lines) if lines else np.nan,
            any(answer.count(opened) != answer.count(closed) for opened, closed in BRACKETS),
        ]
    )


def _numbers(text: str) -> set[float]:
    return {_value(found.replace(",", "")) for found in FIGURE.findall(text)}


def _value(number: str) -> float:
    return round(float(number), 2)


def _equal(result: str | None, said: str) -> bool:
    return result is not None and abs(float(result) - float(said)) < 0.01
