"""Writes README's paragraph on what SLMs serve anew; each file is one seed's.

.venv/bin/slm bench rounds --data calls.jsonl.gz --json rounds.json
.venv/bin/python scripts/readme_rounds.py rounds.json ...
"""

import json
import re
import sys
from pathlib import Path

from slm_pipeline.settings import REPOSITORY

PARAGRAPH = """\
**What SLMs serve**, measured by `slm bench rounds` on {n:,} recorded calls of a tree-of-thought solver (GPT-4 proposes the next arithmetic
steps) with a checker that knows what is right: trained on the first 40 % of sessions, the next 30 % served through the gateway, a round of
learning from its failures, the last 30 % served, these without that round as well; at most 8 samples, one core; brackets hold 95 %
intervals that resample sessions. {settings}

| seed | by SLMs: next 30 % | last 30 % | gained by learning, paired | of these wrong | samples, tokens, seconds where one is asked |
| ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

Without the checker SLMs serve {share} of the last part: {promises}.
"""
ROW = "| {seed} | {before} | {after} | {gain} | {wrong} | {samples:.1f}, {tokens:.0f}, {seconds:.1f} |"


def paragraph(seeds: list[dict]) -> str:
    """The paragraph's text; `seeds` is what `slm bench rounds` printed for each."""
    given = " ".join(f"SLM_{name.upper()}={value}" for name, value in sorted(seeds[0]["settings"].items()))
    settings = f"Trained with `{given}`." if given else "Trained with the usual settings."
    return PARAGRAPH.format(n=seeds[0]["n"], settings=settings, rows="\n".join(map(_row, seeds)), **_without(seeds))


def _row(of: dict) -> str:
    parts = ("before", "after")
    served = sum(of[f"n_{part}"] * of[f"slm_share_{part}"] for part in parts)
    wrong = sum(of[f"n_{part}"] * of[f"slm_share_{part}"] * (of[f"wrong_served_{part}"] or 0) for part in parts)
    asked = [of[f"asked_{part}"] for part in parts]
    samples = sum(of[f"samples_{part}"] * n for part, n in zip(parts, asked, strict=True)) / sum(asked)
    spent = {name: sum(of[f"slm_{name}_{part}"] for part in parts) / sum(asked) for name in ("tokens", "seconds")}
    shares = {name: _percent(of, f"slm_share_{name}") for name in (*parts, "gain")}
    return ROW.format(seed=of["seed"], **shares, wrong=f"{wrong:.0f} of {served:.0f}", samples=samples, **spent)


def _without(seeds: list[dict]) -> dict[str, str]:
    """What SLMs serve without the checker, and what a release then promises."""
    most = max(of["slm_share_without_checker"] for of in seeds)
    promises = sorted({line.partition(": ")[2] for of in seeds for line in of["release_without_checker"]})
    return {"share": f"up to {100 * most:.1f} %" if most else "nothing", "promises": "; ".join(promises)}


def _percent(of: dict, name: str) -> str:
    return f"{100 * of[name]:.1f} % [{100 * of[f'{name}_low']:.1f}, {100 * of[f'{name}_high']:.1f}]"


if __name__ == "__main__":
    readme = REPOSITORY / "README.md"
    made = paragraph([json.loads(Path(file).read_text()) for file in sys.argv[1:]])
    where = re.compile(r"\*\*What SLMs serve\*\*.*?\n(?=\nAn SLM is asked first)", re.DOTALL)
    readme.write_text(where.sub(lambda _: made, readme.read_text()))
