"""Writes README's table on S2 and S3 anew. The labelled sets are not part of the project: give those that you have.

slm bench redact --data pii.jsonl.gz --json redact.json
slm bench dedup --json dedup.json
slm bench cluster --json cluster.json
slm bench cluster --data clinc150.jsonl.gz --json texts.json
slm bench scale --json scale.json
.venv/bin/python scripts/readme_data.py redact.json dedup.json cluster.json texts.json scale.json
"""

import json
import re
import sys
from pathlib import Path

from slm_pipeline.settings import REPOSITORY

TABLE = """\
| | measured on | figures |
| --- | --- | --- |
| redaction | presidio-research's synthetic set, {redact[n]:,} texts | {characters}; {redact[ms_per_kb]:.1f} ms per kB |
| its false alarms | UUIDs, hashes, base64, timestamps | {redact[false_alarms]:.3%} |
| near-duplicates | {dedup[n]:,} generated calls | {pairs}; {dedup[seconds]:.0f} s |
| tasks | {cluster[n]:,} generated calls of 40 templates | ARI {cluster[ari]:.3f}; {assigned} |
| texts by wording | CLINC150, {texts[n]:,} texts, k given | NMI {texts[nmi]:.3f} |
| scale | {scale[calls]:,} generated calls over 30 days | {scaled} |
"""


def table(redact: dict, dedup: dict, cluster: dict, texts: dict, scale: dict) -> str:
    """The table's text, from what the benches printed."""
    parts = {
        "characters": "characters: precision {precision:.3f}, recall {recall:.3f}, F2 {f2:.3f}".format_map(redact),
        "pairs": "recall {recall:.3f}, precision {precision:.3f}".format_map(dedup),
        "assigned": "new calls recognised {assignment_accuracy:.3f}, 99 of 100 within {assign_p99_ms:.2f} ms".format_map(cluster),
        "scaled": "{minutes:.0f} minutes, {peak_rss_mb:,} MB; first tenth {first_tenth_s:.0f} s, last {last_tenth_s:.0f} s, "
        "one day more {extra_day_s:.0f} s".format_map(scale | {"minutes": scale["seconds"] / 60}),
    }
    return TABLE.format(redact=redact, dedup=dedup, cluster=cluster, texts=texts, scale=scale, **parts)


if __name__ == "__main__":
    readme = REPOSITORY / "README.md"
    made = table(*(json.loads(Path(file).read_text()) for file in sys.argv[1:]))
    readme.write_text(re.sub(r"\| \| measured on .*?\n(?=\n)", lambda _: made, readme.read_text(), flags=re.DOTALL))
