"""What may not be trained on is refused, what is restricted is said, and an operator who has checked the terms has the last word."""

from collections import Counter

import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.licences import LicenceError, read_licences, teachers_of, training_allowed
from slm_pipeline.settings import Settings

SMOL, LLAMA, GEMMA = (entry(name) for name in ("SmolLM2-135M-Instruct", "Llama-3.2-1B-Instruct", "Gemma-3-270M"))


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def test_gold_answers_and_an_open_base_need_no_word(settings):
    verdict = training_allowed(SMOL, Counter(gold=5, correction=1), settings)
    assert (verdict.level, verdict.reasons, verdict.allowed) == ("allow", (), True)


@pytest.mark.parametrize(
    ("teacher", "level"),
    [
        ("gpt-4o", "warn"),
        ("gpt-oss-20b", "allow"),
        ("claude-sonnet-4-5", "warn"),
        ("gemini-2.5-pro", "warn"),
        ("DeepSeek-R1", "allow"),
        ("Qwen/Qwen3-32B", "allow"),
        ("meta-llama/Llama-3.3-70B-Instruct", "warn"),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "refuse"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "warn"),
        ("our-own-model", "warn"),
    ],
)
def test_each_teacher_has_its_terms(settings, teacher, level):
    verdict = training_allowed(SMOL, {teacher: 3}, settings)
    assert verdict.level == level
    assert verdict.allowed == (level != "refuse")
    assert bool(verdict.reasons) == (level != "allow")


def test_a_reason_names_teacher_number_terms_source_and_mend(settings):
    (reason,) = training_allowed(SMOL, {"gpt-4": 1234}, settings).reasons
    assert reason.startswith(
        "gpt-4 (1,234 answers): Answers may not be used to develop models that compete with OpenAI. [https://openai.com/"
    )
    assert "'openai' to settings.teacher_terms_accepted" in reason


def test_the_strictest_of_several_teachers_counts(settings):
    verdict = training_allowed(SMOL, {"gold": 9, "gpt-4": 1, "llama-3-8b-instruct": 1}, settings)
    assert (verdict.level, len(verdict.reasons)) == ("refuse", 2)


def test_llama_may_learn_from_llama():
    settings = Settings(restricted_licences=True)
    assert training_allowed(LLAMA, {"llama-3-8b-instruct": 1}, settings).level == "warn"  # for the base's own licence


def test_accepted_terms_are_no_longer_held_against_it(tmp_path):
    settings = Settings(home=tmp_path, teacher_terms_accepted=("openai", "llama-2-3"))
    assert training_allowed(SMOL, {"gpt-4": 1, "llama-3-8b-instruct": 1}, settings).level == "allow"


def test_a_base_that_is_not_open_is_trained_only_where_settings_allow_it(tmp_path):
    refused = training_allowed(GEMMA, {"gold": 1}, Settings(home=tmp_path))
    assert not refused.allowed
    assert "settings.restricted_licences must allow it" in refused.reasons[0]
    allowed = training_allowed(GEMMA, {"gold": 1}, Settings(home=tmp_path, restricted_licences=True))
    assert allowed.level == "warn"
    assert "Gemma Terms of Use" in allowed.reasons[0]


def test_ones_own_terms_come_first_and_a_bad_file_is_named(settings):
    settings.models.mkdir(parents=True)
    file = settings.models / "licences.yaml"
    file.write_text("teachers: [{name: ours, models: [our-*], verdict: allow, terms: Our own., date: 2026-11-24}]")
    assert training_allowed(SMOL, {"our-own-model": 3}, settings).level == "allow"
    file.write_text("teachers: [{name: ours, models: [our-*], verdict: maybe, terms: Our own., date: 2026-11-24}]")
    with pytest.raises(LicenceError, match=r"licences\.yaml: teachers\.0\.verdict: "):
        read_licences(settings)


def test_every_entry_is_dated_and_all_but_two_have_a_source(settings):
    teachers = read_licences(settings).teachers
    assert {t.name for t in teachers if t.source is None} == {"none", "unknown"}


def test_teachers_are_the_models_that_calls_asked_for(tmp_path):
    lake = Lake(str(tmp_path))
    calls = [{"id": f"c{i}", "request": f'{{"model": "{model}"}}'} for i, model in enumerate(["gpt-4", "gpt-4", "claude-x", "slm"])]
    lake.write(CURATED, "2026-10-01", {"calls": pd.DataFrame(calls)})
    sources = ["teacher", "teacher", "teacher", "gold"]
    examples = pd.DataFrame({"id": [c["id"] for c in calls], "day": "2026-10-01", "target_source": sources})
    assert teachers_of(examples, lake) == {"gpt-4": 2, "claude-x": 1, "gold": 1}
