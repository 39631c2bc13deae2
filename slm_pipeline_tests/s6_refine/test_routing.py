"""A champion's router, from what it says to calls that it has not learned; a small group may lack some splits."""

import numpy as np
import pandas as pd
import pytest

from slm_pipeline.answering import KNOWN
from slm_pipeline.lake import Lake
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s6_refine import routing
from slm_pipeline.s6_refine.certification import WHOLE, certificates
from slm_pipeline.s6_refine.outcomes import COLUMNS
from slm_pipeline.settings import Settings

GROUP = "weather"
CHAMPION = AdapterVersion(GROUP, "1", "run", "experiment", "base", "digest", "lake", "dataset")


def outcomes(counts):
    draws = np.random.default_rng(1)
    rows = [
        {
            "id": f"{split}{i}",
            "session_id": f"{split}{i}",
            "task": "task",
            "split": split,
            "text": f"weather {i}",
            "answer": f"it rains {i}",
        }
        | {"known": draws.random(len(KNOWN)).tolist(), "samples": 1, "tokens": 3, "latency_ms": 1.0, "passed": False}
        | {"slm": float(i % 3 > 0), "llm": 1.0, "judged_by": "gold", "agrees": 1.0}
        for split, n in counts.items()
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains the router of a group with so many calls in each split."""
    settings = Settings(home=tmp_path)

    def train(**counts):
        monkeypatch.setattr(routing, "_asked", lambda *_: outcomes(counts))
        examples = pd.DataFrame({"split": [split for split, n in counts.items() for _ in range(n)]})
        Lake(settings.lake).write(routing.EXAMPLES, GROUP, {"examples": examples, "tasks": {"task": {"tools": []}}})
        return routing.train_router(GROUP, CHAMPION, settings, lambda line: None)

    return train


def test_every_call_has_a_score_and_nothing_is_asked_twice(trained):
    written, fresh = trained(validation=40, calibration=30)
    assert fresh
    rows = written.table("outcomes")
    assert rows["score"].notna().all()
    assert len(written.json("router")["strangeness"]) == 30
    keeper = routing.gatekeeper_of(written, written.json("router")["worth"])
    calibration = routing.outcomes_of(rows[rows["split"] == "calibration"])
    told = keeper.scores(calibration.texts, calibration.answers, calibration.known)
    assert np.allclose(told, rows.loc[rows["split"] == "calibration", "score"])
    again, fresh = trained(validation=40, calibration=30)
    assert not fresh
    assert again.digest == written.digest


@pytest.mark.parametrize("counts", [{"validation": 1}, {"validation": 5, "calibration": 1}, {"validation": 1, "calibration": 9}])
def test_few_calls_give_a_router_and_no_promise(trained, counts):
    written, _ = trained(**counts)
    found = certificates({GROUP: written.table("outcomes")}, 0.1, 0.1)[GROUP][WHOLE]
    assert found["threshold"] is None


def test_drift_is_looked_for_where_sessions_begin():
    rows = pd.DataFrame({"session_id": list("aabbc"), "text": ["one", "two", "three", "four", "one"]})
    assert routing.beginnings(rows) == ["one", "three"]


def test_without_validation_calls_there_is_no_router(trained):
    assert trained(calibration=5) == (None, False)
