"""`slm bench export` asks every group's test prompts in every form."""

import pytest

from slm_pipeline.bench.export import measure
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.tiny_group import make_tiny_group


def test_figures_of_a_tiny_group(home):
    make_tiny_group(home)
    settings = get_settings().model_copy(update={"max_answer_tokens": 2})
    figures = measure(settings, home / "lake")
    assert (figures["n"], figures["groups"], figures["seed"]) == (10, 1, 7)
    assert 0 < figures["max_logit_difference"] < 1e-3
    assert {"adapter_f16", "merged_f16", "merged_q8_0", "merged_q4_k_m"} <= figures.keys()
    assert min(figures["adapter_f16"], figures["merged_f16"]) >= 0.8


def test_a_lake_without_adapters_is_said_to_have_none(home):
    with pytest.raises(LookupError, match="has no adapter: `slm run` trains them"):
        measure(get_settings(), home / "lake")
