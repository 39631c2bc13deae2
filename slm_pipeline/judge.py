"""An LLM as judge of answers, through an OpenAI-compatible URL: a mark from 1 to 10, or a comparison of two answers in both orders.

After Zheng et al. 2023 ("Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv 2306.05685): a judge prefers what it reads
first, so a pair is judged twice with the answers exchanged, and only a verdict that both times names the same answer counts as a win
(section 3.4). What a judge writes is read strictly: a reply that names no verdict, or several, is none, and is counted as such.
"""

import json
import re
from collections.abc import Callable
from os import environ
from typing import Literal
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

Choice = Literal["A", "B", "tie"]
Ask = Callable[[list[Json]], str]

MARKS = range(1, 11)
LOW, HIGH = MARKS[0], MARKS[-1]
SECONDS = 60
SCALE = f"""\
You judge the answer of an assistant to the conversation below. Another assistant's answer is given for reference; it need not be perfect.
Judge correctness and completeness only. Think it over in a sentence or two, then end with a line
Score: N
where N is a whole number from {LOW} (useless) to {HIGH} (perfect)."""
PAIRS = """\
You compare the answers of two assistants, A and B, to the conversation below. Judge correctness and completeness only; neither length nor
order matters. Think it over in a sentence or two, then end with a line
Verdict: A
or Verdict: B, or Verdict: tie."""

TOKEN = r"(?<![\w.,/])[-+]?\d(?:[\w.,/%-]*[\w%])?"
"""Anything with digits that is written without a space, so that no part of it is taken for a mark: 7, 7.5, -1, 85%, 2024-05-20."""
RANGE = re.compile(rf"\b{LOW}\s*(?:-|–|—|to|through|and|\.\.)\s*{HIGH}\b", re.IGNORECASE)
OUT_OF = re.compile(rf"((?<![\w.,/])[-+]?\d+(?:[.,]\d+)?)\s*(?:/|\bout\s+of\b|\bof\b)\s*{HIGH}(?![\w%]|[.,]\d)", re.IGNORECASE)
NAME = r"\b(?:score|rating|rate|mark|grade|verdict|judge?ment)\b[^\w]*?(?:(?:is|it|of|as|to|be|would|a|an|this|the|answer|at)\b[^\w]*?)*"
MARK_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (rf"{NAME}({TOKEN}(?:\s*(?:-|–|or|to|and)\s*{TOKEN})*)", rf"\[\[\s*({TOKEN})\s*\]\]", rf"({TOKEN})")
)
MARK = re.compile(r"(\d+)(?:[.,]0+)?")
TIE = r"(?:[Aa] )?(?:[Tt]ie|[Dd]raw)\b|[Nn]either\b|[Bb]oth\b|TIE\b|DRAW\b"
LETTER = r"[AB]\b(?=[ \t]*(?:$|[^\w\s]|is\b|wins\b|because\b|since\b))"
NAMED = r"\b(?:[Vv]erdict|[Ww]inner|[Cc]hoice|[Pp]reference|VERDICT|WINNER)\b[^\w]*?(?:(?:is|[Aa]nswer|[Aa]ssistant)\b[^\w]*?)*"
CHOICE_FORMS = tuple(
    re.compile(form, re.MULTILINE)
    for form in (
        rf"{NAMED}({TIE}|{LETTER})",
        rf"\[\[\s*({TIE}|[ABC])\s*\]\]",
        r"\b(?:[Aa]nswer|[Aa]ssistant)\s+([AB])(?:'s answer)?\s+(?:is|was)\s+(?:clearly |much |slightly )?(?:better|preferable)\b",
        rf"\A\W*(?:(?:[Aa]nswer|[Aa]ssistant)\s+)?({TIE}|[AB])\W*\Z",
    )
)


class JudgeUnavailable(RuntimeError):
    """The judge cannot be asked; the message says why, without key or prompt."""


def parse_mark(reply: str) -> int | None:
    """The mark from 1 to 10 that a reply gives; None if it gives none, several different ones, or one that is not on the scale.

    What is named a score goes before "7/10" or a number in brackets, and these before numbers on their own.
    """
    said = OUT_OF.sub(r"[[\1]]", RANGE.sub(" ", _bare(reply)))
    for form in MARK_FORMS:
        if found := set(form.findall(said)):
            marks = {int(read[1]) if (read := MARK.fullmatch(token)) else None for token in found}
            return marks.pop() if len(marks) == 1 and marks <= set(MARKS) else None
    return None


def parse_choice(reply: str) -> Choice | None:
    """Which of two answers a reply prefers; None if it names none, or several different ones."""
    for form in CHOICE_FORMS:
        if found := {_choice(name) for name in form.findall(_bare(reply))}:
            return found.pop() if len(found) == 1 else None
    return None


def mark(conversation: str, reference: str, answer: str, ask: Ask) -> float | None:
    """How good an answer is, 0 to 1 (mark 1 is 0, mark 10 is 1); None if the judge's reply gives no mark."""
    shown = _shown(conversation, {"Reference": reference, "Answer to judge": answer})
    found = parse_mark(ask([{"role": "system", "content": SCALE}, {"role": "user", "content": shown}]))
    return None if found is None else (found - LOW) / (HIGH - LOW)


def prefer(conversation: str, answer: str, other: str, ask: Ask) -> float | None:
    """1 if the judge prefers `answer` in both orders, 0 if it prefers `other` in both, else 0.5; None if a reply names no verdict."""
    first, second = (
        parse_choice(
            ask([{"role": "system", "content": PAIRS}, {"role": "user", "content": _shown(conversation, {"Answer A": a, "Answer B": b})}])
        )
        for a, b in ((answer, other), (other, answer))
    )
    if first is None or second is None:
        return None
    return {("A", "B"): 1.0, ("B", "A"): 0.0}.get((first, second), 0.5)


def judge_of(settings: Settings) -> Ask:
    """A function that asks the judge of the settings; it raises JudgeUnavailable."""
    url = f"{settings.judge_url.rstrip('/')}/chat/completions"
    headers = {"Content-Type": "application/json"}
    if settings.judge_key_env:
        if settings.judge_key_env not in environ:
            raise JudgeUnavailable(f"judge_key_env: the environment has no variable {settings.judge_key_env}")
        headers["Authorization"] = f"Bearer {environ[settings.judge_key_env]}"

    def ask(messages: list[Json]) -> str:
        body = {"model": settings.judge_model, "messages": messages, "temperature": 0, "max_tokens": 512}
        try:
            with build_opener(_Stay).open(Request(url, json.dumps(body).encode(), headers), timeout=SECONDS) as response:
                return json.load(response)["choices"][0]["message"]["content"] or ""
        except HTTPError as error:
            raise JudgeUnavailable(f"the judge at judge_url answers with status {error.code}") from None
        except OSError as error:
            raise JudgeUnavailable(f"the judge at judge_url cannot be reached: {error}") from None
        except (ValueError, LookupError, TypeError):
            raise JudgeUnavailable("the judge at judge_url answers with something else than a chat completion") from None

    return ask


def _bare(reply: str) -> str:
    """A reply without the marks of Markdown and JSON that stand around what is named."""
    return re.sub(r"[*_\"`]", " ", reply)


def _choice(name: str) -> Choice:
    return name if name in ("A", "B") else "tie"


class _Stay(HTTPRedirectHandler):
    """Follows no redirection: the key is meant for the judge's own address."""

    def redirect_request(self, *_: object) -> None:
        return None


def _shown(conversation: str, answers: dict[str, str]) -> str:
    parts = {"Conversation": conversation, **answers}
    return "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in parts.items())
