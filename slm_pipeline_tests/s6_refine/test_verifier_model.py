"""The model that says whether an answer is right: what it is trained on, and that it learns to tell right from wrong."""

import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s5_finetune.attempt import fine_tune
from slm_pipeline.s6_refine.routing import train_router, verifier_of
from slm_pipeline.s6_refine.verifier_model import VERIFIER, _fitted, says_right, train_verifier, verifier_engine
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, example
from slm_pipeline_tests.tiny import NAME, make_tiny_base

CHECKER = "def check(messages, answer):\n    return sum(map(ord, str(answer))) % 2 == 0\n"


def asked(number):
    return [{"role": "system", "content": "weather"}, {"role": "user", "content": f"question {number}"}]


def test_it_learns_to_tell_right_answers_from_wrong_ones(home, monkeypatch):
    monkeypatch.setenv("SLM_EPOCHS", "10")
    monkeypatch.setenv("SLM_LEARNING_RATE", "0.01")
    make_tiny_base(home, spread=0.2)
    settings = get_settings()
    base = ensure_base(NAME, settings)
    rows = [
        {"session_id": f"s{i}", "messages": asked(i), "answer": f"{'sun sun' if i % 2 else 'rain rain'} {i}", "right": i % 2 == 1}
        for i in range(60)
    ]
    folder = home / "verifier"
    folder.mkdir()
    for name, content in _fitted(GROUP, pd.DataFrame(rows), base, settings, lambda line: None).items():
        (folder / name).write_bytes(content)
    with verifier_engine(folder, base, settings) as engine:
        said = [says_right(engine, asked(99), text, base, settings) for text in ("sun sun 99", "rain rain 99")]
    assert said[0] > 0.9
    assert said[1] < 0.1


@pytest.fixture
def tiny_group(home, monkeypatch):
    """A champion that has learned next to nothing, of whose answers a checker passes about half."""
    monkeypatch.setenv("SLM_MAX_ANSWER_TOKENS", "12")
    monkeypatch.setenv("SLM_EPOCHS", "1")
    make_tiny_base(home)
    settings = get_settings()
    lake = Lake(settings.lake)
    rows = [example(i, "train" if i % 5 else "validation", f"answer {i}", "text", target_source="gold") for i in range(50)]
    tasks = {"weather": TASKS["weather"] | {"tools": [], "forms": ["text"]}}
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": tasks, "summary": {"failures_total": 0}})
    lake.write("s4_select/selected_base", GROUP, {"selection": {"base": NAME}})
    fine_tune(GROUP, settings, "", lambda *_: None)
    tracking.promote(settings, GROUP, "1")
    settings.checkers.mkdir(parents=True)
    (settings.checkers / f"{GROUP}.py").write_text(CHECKER)
    return lake


def test_without_the_setting_there_is_none(tiny_group):
    settings = get_settings()
    assert train_verifier(GROUP, tracking.champion(settings, GROUP), settings, print) == (None, False)


def test_a_champion_that_is_never_right_has_none(tiny_group, monkeypatch):
    monkeypatch.setenv("SLM_VERIFIER_EXAMPLES", "5")
    settings, told = get_settings(), []
    (settings.checkers / f"{GROUP}.py").unlink()
    assert train_verifier(GROUP, tracking.champion(settings, GROUP), settings, told.append) == (None, False)
    assert "0 right" in told[-1]


def test_a_router_weighs_what_its_champions_verifier_says(tiny_group, monkeypatch):
    monkeypatch.setenv("SLM_VERIFIER_EXAMPLES", "30")
    settings = get_settings()
    champion = tracking.champion(settings, GROUP)
    written, fresh = train_verifier(GROUP, champion, settings, lambda line: None)
    facts = written.json("verifier")
    assert fresh
    assert min(facts["right"], facts["wrong"]) >= 10
    again, fresh = train_verifier(GROUP, champion, settings, pytest.fail)
    assert (again.digest, fresh) == (written.digest, False)
    router, _ = train_router(GROUP, champion, settings, lambda line: None)
    assert router.json("router")["verifier"] == written.digest
    said = [known[-1] for known in router.table("outcomes")["known"]]
    assert all(0 <= value <= 1 for value in said)
    tiny_group.write(VERIFIER, GROUP, {"verifier": facts | {"adapter": "another"}})
    assert verifier_of(GROUP, champion, tiny_group) is None, "it judges another adapter's answers"
