"""A checker as a user writes one (`<home>/checkers/<task or group>.py`): of proposed steps it keeps the legal ones."""

import re

from slm_pipeline.bench._step_lines import NUMBER, is_valid_line
from slm_pipeline.checkers import Checked

ASKED = re.compile(rf"^\D*({NUMBER}(?: {NUMBER})+)\s*$", re.MULTILINE)


def check(messages, answer):
    numbers = [float(number) for number in ASKED.findall(messages[-1]["content"])[-1].split()]
    lines = [line for line in answer.splitlines() if line.strip()]
    good = [line for line in lines if is_valid_line(line, numbers)]
    return Checked(len(good) / max(1, len(lines)), "\n".join(good))
