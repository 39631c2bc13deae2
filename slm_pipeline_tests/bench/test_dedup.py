import gzip

from slm_pipeline.bench import dedup
from slm_pipeline.bench._repeated_traffic import repeated_traffic
from slm_pipeline.settings import Settings


def test_generated_repeats_are_found_and_nothing_else_is(monkeypatch):
    monkeypatch.setattr(dedup, "CALLS", 2000)
    found = dedup.measure(Settings(), None)
    assert (found["n"], found["seed"]) == (2000, Settings().seed)
    assert found["recall"] >= 0.94
    assert found["precision"] >= 0.95
    assert (found["exact_recall"], found["exact_wrong"]) == (1, 0)


def test_given_calls_are_judged_by_an_independent_comparison(tmp_path):
    made = repeated_traffic(400, 0.1, 0.1, seed=1)
    with gzip.open(tmp_path / "calls.jsonl.gz", "wt") as file:
        file.writelines(one.call.to_json() + "\n" for one in made)
    for data in (tmp_path, tmp_path / "calls.jsonl.gz"):
        found = dedup.measure(Settings(), data)
        assert found["n"] == 400
        assert found["exact"] == sum(one.exact_of is not None for one in made)
        assert found["near"] > 10
        assert (found["wrongly_dropped"], found["steps_lost_in_sessions"]) == (0, 0)
