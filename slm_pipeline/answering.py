"""How an SLM answers one call: what it is asked, how often, and what is then known of its answer. S6 learns from the very answers that the
gateway would give, so both ask here."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from slm_pipeline.answers import given_answer
from slm_pipeline.checkers import Checker, checked_answer, is_gold
from slm_pipeline.records import Answer, Json, ToolCall
from slm_pipeline.resources.engine import Completion, Sampling
from slm_pipeline.router.evidence import NAMES, evidence
from slm_pipeline.router.vote import decided, votes
from slm_pipeline.scores import agree, fits
from slm_pipeline.settings import Leeway

TEMPERATURE = 0.7
KNOWN = (*NAMES, "log_prob", "least_log_prob", "agreement", "samples", "fits", "ungrounded", "checked", "verified")
"""What `Proposal.known` says: the text's own evidence; mean and least log-probability of a token; the share of samples that mean the same,
and their number; whether the answer fits the tools' schemas; the share of its arguments' words that the conversation does not have; the
checker's score; how sure a verifier model is that it is right."""


@dataclass(frozen=True)
class Asked:
    """A call as an SLM's answer to it is judged: `messages` in simple roles, the `tools` of the request, and its task's checker."""

    messages: list[Json]
    tools: list[Json]
    checker: Checker | None = None

    @property
    def gold(self) -> bool:
        """Whether the checker knows what is right; raises CheckerError."""
        return self.checker is not None and is_gold(self.checker)


@dataclass(frozen=True)
class Proposal:
    """An SLM's answer to a call, not yet accepted.

    text: as it was written, without what the checker takes out. agreement: share of `samples` that mean the same. log_prob,
    least_log_prob: mean and least of its tokens, in nats. checked: the checker's score of `text`; None without one. tokens, latency_ms:
    of all samples. ended: whether it ended by itself, not at the limit of an answer's tokens. verified: what a verifier model says of it,
    NaN without one.
    """

    text: str
    answer: Answer
    samples: int
    agreement: float
    log_prob: float
    least_log_prob: float
    checked: float | None
    prompt_tokens: int
    tokens: int
    latency_ms: float
    ended: bool = True
    verified: float = np.nan

    @property
    def passed(self) -> bool:
        """Whether a checker finds nothing wrong."""
        return self.checked == 1

    def known(self, asked: Asked) -> np.ndarray:
        """A row of KNOWN for the verifier; NaN where nothing is known."""
        return np.array(
            [
                *evidence(asked.messages[-1]["content"], self.text),
                self.log_prob,
                self.least_log_prob,
                self.agreement,
                np.log(self.samples),
                float(fits(self.answer, asked.tools)) if self.answer.tool_calls else np.nan,
                _ungrounded(asked.messages, self.answer),
                np.nan if self.checked is None else self.checked,
                self.verified,
            ]
        )


def propose(ask: Callable[[Sampling], Completion], asked: Asked, most: int, leeway: Leeway, seed: int = 0) -> Proposal:
    """The SLM's answer: the greedy one, if `most` is 1; else what most of up to `most` samples mean, the greedy one among them.

    Sampling ends when more samples would hardly change the winner, and at once with an answer that the checker passes. Where the checker
    is gold only the latter ends it: that answers agree which it does not pass makes none of them right. An answer of which the checker
    keeps nothing has no vote while another one has. Raises RuntimeError and CheckerError as `ask` and the checker do.
    """
    said: list[Completion] = []
    read: list[_Read] = []
    camps: list[list[int]] = []
    while len(said) < most and not (camps and (read[-1].standing == PASSED or (decided(camps) and not asked.gold))):
        said.append(ask(sampling(len(said), seed)))
        read.append(_read(said[-1].text, asked))
        best = max(one.standing for one in read)
        standing = [i for i, one in enumerate(read) if one.standing == best]
        found = votes([read[i].answer for i in standing], partial(agree, tools=asked.tools, leeway=leeway))
        camps = [[standing[i] for i in camp] for camp in found]
    won = camps[0][0]
    told = said[won].log_probs or (0.0,)
    return Proposal(
        read[won].text,
        read[won].answer,
        len(said),
        len(camps[0]) / len(said),
        float(np.mean(told)),
        min(told),
        read[won].checked,
        said[0].prompt_tokens,
        sum(completion.tokens for completion in said),
        sum(completion.latency_ms for completion in said),
        said[won].ended,
    )


def sampling(i: int, seed: int) -> Sampling:
    """How the i-th sample of an answer is drawn: the first one greedily."""
    return Sampling(TEMPERATURE if i else 0.0, seed + i)


PASSED = 2


@dataclass(frozen=True)
class _Read:
    """What a model's words mean, and what the checker says of them; its score is None without one."""

    answer: Answer
    text: str
    checked: float | None

    @property
    def standing(self) -> int:
        return PASSED if self.checked == 1 else 0 if self.checked == 0 else 1


def _read(text: str, asked: Asked) -> _Read:
    """Reads a model's words, without what the checker takes out, if that mends them."""
    answer = given_answer(text, asked.tools)
    if asked.checker is None:
        return _Read(answer, text, None)
    found = checked_answer(asked.checker, asked.messages, answer, text)
    if found.score < 1 and found.kept and found.kept != text:
        mended = given_answer(found.kept, asked.tools)
        again = checked_answer(asked.checker, asked.messages, mended, found.kept)
        if again.score > found.score:
            return _Read(mended, found.kept, again.score)
    return _Read(answer, text, found.score)


def _ungrounded(messages: Sequence[Json], answer: Answer) -> float:
    """The share of words and numbers in a call's arguments that stand nowhere in the conversation; NaN without any."""
    heard = " ".join(message["content"] for message in messages).lower()
    said = [word for call in answer.tool_calls for word in _words(call)]
    return float(np.mean([word not in heard for word in said])) if said else np.nan


def _words(call: ToolCall) -> list[str]:
    values = json.dumps(list(call.arguments.values()), ensure_ascii=False).lower()
    return [word for word in "".join(c if c.isalnum() or c == "." else " " for c in values).split() if word.strip(".")]
