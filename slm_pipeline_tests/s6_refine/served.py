"""Calls as `read_calls` gives them, for tests of what SLMs served and saved."""

import pandas as pd

from slm_pipeline.s1_collect.usage import TYPES

HOUR = 3600
START = 1_790_900_000
PLAIN = {"agent": "a", "model": "priced", "task": "t"}
LENGTHS = {"prompt_estimate": 1000.0, "completion_estimate": 100.0}
LLM = PLAIN | LENGTHS | {"served_by": "llm", "prompt_tokens": 1000, "completion_tokens": 100, "latency_ms": 1000.0, "llm_ms": 1000.0}
SLM = PLAIN | LENGTHS | {"served_by": "slm", "reason": "certified", "latency_ms": 200.0, "slm_ms": 200.0}


def llm(release=None, reason="no_release", **more) -> dict:
    return LLM | {"release": release, "reason": reason} | more


def slm(release, agrees=None, **more) -> dict:
    audit = {} if agrees is None else {"agrees": agrees, "prompt_tokens": 1000, "completion_tokens": 100, "llm_ms": 1000.0}
    return SLM | {"release": release} | audit | more


def calls(*rows: dict, apart=HOUR) -> pd.DataFrame:
    """One call every `apart` seconds, each of a session of its own."""
    known = [{"id": f"c{i}", "session_id": f"s{i}", "timestamp": START + i * apart} | row for i, row in enumerate(rows)]
    return pd.DataFrame(known, columns=[*TYPES, "task"]).astype(TYPES | {"task": "str"})
