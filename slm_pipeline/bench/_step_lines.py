"""Arithmetic step lines ("4 * 6 = 24 (left: 2 24)"), judged here and not by the product: is each line a legal move?"""

import json
import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from slm_pipeline.intervals import mean_interval
from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall, Json, response_answer
from slm_pipeline.settings import Settings

NUMBER = r"-?\d+(?:\.\d+)?"
LINE = re.compile(rf"({NUMBER})\s*([-+*/])\s*({NUMBER})\s*=\s*({NUMBER})\s*\(left:\s*({NUMBER}(?:\s+{NUMBER})*)\s*\)")
TOLERANCE = 0.01
MIN_SHARE = 0.5
"""Share of the teacher's answers whose first line has this form, from which traffic counts as step lines."""


def is_valid_line(line: str, numbers: list[float]) -> bool:
    """Whether a line takes two of `numbers`, computes rightly (to two decimals), and states what is left."""
    match = LINE.fullmatch(line.strip())
    if not match:
        return False
    a, b, result = (float(match[i]) for i in (1, 3, 4))
    if match[2] == "/" and b == 0:
        return False
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else 0.0}[match[2]]
    rest = Counter(numbers)
    rest.subtract([a, b])
    if min(rest.values()) < 0 or abs(value - result) > TOLERANCE:
        return False
    left = sorted([*rest.elements(), result])
    stated = sorted(float(n) for n in match[5].split())
    return len(left) == len(stated) and all(abs(x - y) <= TOLERANCE for x, y in zip(left, stated, strict=True))


def valid_lines(prompt: str, answer: str | None) -> tuple[int, int]:
    """Valid lines and lines in all of an answer; the numbers are the prompt's last line that holds only numbers."""
    numbers = _numbers(prompt)
    lines = [line for line in (answer or "").splitlines() if line.strip()]
    return sum(is_valid_line(line, numbers) for line in lines), len(lines)


def legal_moves(prompt: str, answer: str | None) -> set[tuple]:
    """The different moves that valid lines of an answer make; the order of operands counts where it matters."""
    numbers = _numbers(prompt)
    moves = set()
    for line in (answer or "").splitlines():
        if is_valid_line(line, numbers):
            found = LINE.fullmatch(line.strip())
            a, b = float(found[1]), float(found[3])
            moves.add((*sorted((a, b)), found[2]) if found[2] in "+*" else (a, b, found[2]))
    return moves


def is_step_traffic(calls: Sequence[AgentCall]) -> bool:
    """Whether most answers of recorded calls begin with a step line."""
    said = [answer.text.strip() for call in calls if (answer := response_answer(call.response))]
    return bool(said) and sum(bool(LINE.match(text)) for text in said) / len(said) >= MIN_SHARE


def step_line_figures(lake: Lake, settings: Settings) -> Json:
    """For groups of step lines: share of valid lines of base, adapter and teacher on the test split, with intervals by session."""
    frames = [frame for group in lake.partitions("s6_refine/eval_report") if (frame := _lines(lake, group)) is not None]
    if not frames:
        return {}
    lines = pd.concat(frames)
    figures: Json = {"puzzles": int(lines["session_id"].nunique())}
    for system in ("base", "adapter", "teacher"):
        rows = lines[(lines["system"] == system) & (lines["lines"] > 0)]
        share = mean_interval(
            rows["valid"] / rows["lines"], rows["session_id"], settings.bootstrap_samples, settings.seed, rows["lines"].astype(float)
        )
        figures |= {f"lines_valid_{system}": share.mean, f"lines_valid_{system}_low": share.low, f"lines_valid_{system}_high": share.high}
        figures |= {f"lines_{system}": int(rows["lines"].sum())}
    return figures


def _numbers(prompt: str) -> list[float]:
    rows = [row for row in prompt.splitlines() if re.fullmatch(rf"\s*{NUMBER}(\s+{NUMBER})+\s*", row)]
    return [float(n) for n in rows[-1].split()] if rows else []


def _lines(lake: Lake, group: str) -> pd.DataFrame | None:
    predictions = lake.read("s6_refine/eval_report", group).table("predictions")
    examples = lake.read("s3_cluster/task_examples", group).table("examples")
    teacher = predictions[predictions["system"] == "teacher"]["answer"]
    if teacher.empty or teacher.map(lambda answer: bool(LINE.match(answer.strip()))).mean() < MIN_SHARE:
        return None
    asked = examples.set_index("id")["messages"].map(lambda messages: json.loads(messages)[-1]["content"])
    counted = [valid_lines(asked[row.id], row.answer) for row in predictions.itertuples()]
    return predictions.assign(valid=[v for v, _ in counted], lines=[n for _, n in counted])
