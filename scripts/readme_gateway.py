"""Writes README's paragraph on the gateway's speed anew.

.venv/bin/slm bench gateway --json gateway.json
.venv/bin/python scripts/readme_gateway.py gateway.json
"""

import json
import re
import sys
from pathlib import Path

from slm_pipeline.settings import REPOSITORY

PARAGRAPH = """\
**What it adds** to a call, in ms, on two cores with the log on: differences within {n:,} pairs (at {peer_rate} a second {n_paired})
of a call through it and one straight to the same upstream, measured by `slm bench gateway`; brackets hold 95 % intervals. {rps:.0f} calls a
second for 30 s: {errors} errors.

| | calls a second | half of the calls | 99 of 100 |
| --- | ---: | ---: | ---: |
| gateway | 100 | {added_p50} | {added_p99} |
| gateway, first byte of a stream | 50 | {ttfb_added_p50} | {ttfb_added_p99} |
| gateway | {peer_rate} | {paired_added_p50} | {paired_added_p99} |
| MLflow's own gateway, its fastest route | {peer_rate} | {peer_added_p50} | {peer_added_p99} |
"""


def paragraph(figures: dict) -> str:
    """The paragraph's text; `figures` is what `slm bench gateway` printed."""
    shown = {
        f"{name}_{q}": f"{figures[f'{name}_{q}_ms']:.1f} [{', '.join(f'{bound:.1f}' for bound in figures[f'{name}_{q}_ms_interval'])}]"
        for name in ("added", "ttfb_added", "paired_added", "peer_added")
        for q in ("p50", "p99")
    }
    return PARAGRAPH.format(**shown, **{key: figures[key] for key in ("n", "n_paired", "rps", "errors", "peer_rate")})


if __name__ == "__main__":
    readme = REPOSITORY / "README.md"
    made = paragraph(json.loads(Path(sys.argv[1]).read_text()))
    readme.write_text(re.sub(r"\*\*What it adds\*\*.*?\n(?=\n\*\*Recorded calls)", lambda _: made, readme.read_text(), flags=re.DOTALL))
