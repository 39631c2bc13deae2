"""How much of given traffic SLMs can take: nothing, while no adapter has passed the gate."""

from slm_pipeline.bench import replaceability
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base, tool_calls


def test_a_random_model_replaces_nothing(home, monkeypatch, tmp_path):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    (tmp_path / "calls.jsonl").write_text("\n".join(tool_calls()))
    figures = replaceability.measure(get_settings(), tmp_path / "calls.jsonl")
    assert (figures["n"], figures["groups"], figures["champions"], figures["judged"]) == (60, 1, 0, 0)
    assert figures["release"] == ["no release: no group has a champion"]
    assert figures["calls"] == figures["tokens"] == 0
    assert figures["cost"] is None, "no price is known of this teacher"
    assert figures["paper_metagpt"] == 0.6
