"""A log that grows day by day goes through S2 and S3; the long form holds a month and watches the memory."""

import json

from slm_pipeline.bench import scale
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base


def test_days_go_through_one_by_one_and_all_find_their_tasks(home, monkeypatch, soak):
    make_tiny_base(home)
    monkeypatch.setenv("SLM_BASE_MODELS", json.dumps([NAME]))
    if not soak:
        monkeypatch.setattr(scale, "CALLS", 1200)
        monkeypatch.setattr(scale, "DAYS", 3)
        monkeypatch.setattr(scale, "TENTH", 1)
    told = scale.measure(get_settings(), None)
    assert told["calls"] == scale.CALLS
    assert told["tasks"] >= 30
    assert told["unassigned_share"] < 0.1
    assert 140 < told["index_bytes_per_call"] < 170, "eight bytes to know repeats by, 144 to know near-duplicates by"
    assert told["peak_rss_mb"] < 6 * 1024


def test_a_generated_day_is_the_same_again_and_its_calls_have_about_a_thousand_bytes(monkeypatch):
    monkeypatch.setattr(scale, "CALLS", 9_000)
    day = get_settings().first_day
    calls = [call.to_json() for call in scale.traffic(2, day, 7)]
    assert calls == [call.to_json() for call in scale.traffic(2, day, 7)]
    assert len(calls) == 300
    assert 800 < sum(map(len, calls)) / len(calls) < 1200
