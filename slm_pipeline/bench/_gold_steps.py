"""A checker that is gold, as a user writes one: steps are right if every line is legal and at least three different moves are made."""

from slm_pipeline.bench._step_checker import ASKED
from slm_pipeline.bench._step_lines import legal_moves, valid_lines
from slm_pipeline.checkers import Checked

GOLD = True
MOVES = 3


def numbers(messages):
    """The numbers that steps may take, as the prompt's last row of numbers says them."""
    return ASKED.findall(messages[-1]["content"])[-1]


def check(messages, answer):
    asked = numbers(messages)
    lines = [line for line in answer.splitlines() if line.strip()]
    good = [line for line in lines if valid_lines(asked, line) == (1, 1)]
    share = len(good) / max(1, len(lines))
    enough = len(legal_moves(asked, answer)) >= MOVES
    return Checked(share if enough else min(share, 0.5), "\n".join(good))
