"""Training examples of a task that are not like the others: in the form of the answer, in length and wording, or in what is done.

Conservative by design: rare but right examples are what an SLM needs most, so each judgement asks for more than being rare.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

LEAST_FORMS = 50  # answers from which a task has a form that another answer can miss
LEAST_OUTLIERS = 100  # examples of one form from which there are outliers
FAR = 3.5  # robust z-score from which a value is far out
MOST_OUTLIERS = 0.02  # of the examples
LENGTH_SPREAD, DISTANCE_SPREAD = 0.1, 0.02  # at least, so that nearly constant lengths and wordings make no outliers
SAMPLE = 500  # examples that say what wording is usual
WORDS = 100  # of question and answer each, that wording is judged by
LEAST_NEIGHBOURS = 3
SAME_QUESTION = 0.95  # similarity of questions that should be answered by the same action
LABEL_WORDS = 3


def action_of(tools: Sequence[str], text: str) -> str:
    """What an answer does: the tools it calls, "json", a label (text of a few words, itself), or "text"."""
    if tools:
        return "call " + ", ".join(sorted(tools))
    try:
        if isinstance(json.loads(text), dict | list):
            return "json"
    except (ValueError, RecursionError):
        pass
    return "label " + " ".join(text.lower().split()) if len(text.split()) <= LABEL_WORDS else "text"


def wrong_form(actions: Sequence[str], share: float) -> np.ndarray:
    """Which of a task's answers are text where at least `share` of those without tool calls are JSON; bool, shape (n,).

    A tool call is never in a wrong form, nor is text that tool calls outnumber: an agent loop ends with a word to its user.
    """
    words = [action for action in actions if not action.startswith("call ")]
    json_answers = words.count("json")
    structured = len(words) == len(actions) and len(words) >= LEAST_FORMS and share * len(words) <= json_answers
    return np.array([structured and action != "json" for action in actions], dtype=bool)


def outliers(questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Which of n examples of one task and one form of answer are far out in length and in wording; bool, shape (n,).

    Far out is a robust z-score (distance from the median in units of the scaled median absolute deviation) above 3.5, after
    Iglewicz and Hoaglin 1993: of the log-length of question or answer, and of the cosine distance to the mean embedding. At most
    the outermost 2 % are, and none where there are fewer than 100 examples.
    """
    n = len(answers)
    lengths = [np.log1p([len(text) for text in texts]) for texts in (questions, answers)]
    z_lengths = [np.abs(_robust_z(values, values, LENGTH_SPREAD)) for values in lengths]
    z_length = np.maximum(*z_lengths)
    far = np.flatnonzero(z_length > FAR)
    found = np.zeros(n, dtype=bool)
    if n < LEAST_OUTLIERS or not len(far):
        return found
    from slm_pipeline.s3_cluster.embedding import embed

    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(int))
    vectors = embed([_wording(questions[i], answers[i]) for i in [*sample, *far]])
    mean = vectors[: len(sample)].mean(axis=0)
    distances = 1 - vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-9))
    z_wording = _robust_z(distances[len(sample) :], distances[: len(sample)], DISTANCE_SPREAD)
    score = np.minimum(z_length[far], z_wording)
    order = np.argsort(-score, kind="stable")[: int(MOST_OUTLIERS * n)]
    found[far[order[score[order] > FAR]]] = True
    return found


def low_agreement(actions: Sequence[str], questions: Sequence[int], alike: Mapping[int, Sequence[int]]) -> np.ndarray:
    """Which answers do something else than all answers to (nearly) the same question do, if there are three of these; bool, (n,).

    `questions`: that of each example; `alike`: for each question those alike, itself included. In the spirit of confident
    learning (Northcutt et al. 2021), with near neighbours instead of a classifier's probabilities.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for question, action in zip(questions, actions, strict=True):
        counts[question][action] += 1
    done = {question: sum((counts[other] for other in alike[question]), Counter()) for question in counts}
    found = [
        done[question][action] == 1 and len(done[question]) == 2 and done[question].total() > LEAST_NEIGHBOURS
        for question, action in zip(questions, actions, strict=True)
    ]
    return np.array(found, dtype=bool)


def _robust_z(values: np.ndarray, usual: np.ndarray, least: float) -> np.ndarray:
    middle = np.median(usual)
    return (values - middle) / max(1.4826 * float(np.median(np.abs(usual - middle))), least)


def _wording(question: str, answer: str) -> str:
    return " ".join(question.split()[-WORDS:] + answer.split()[:WORDS])
