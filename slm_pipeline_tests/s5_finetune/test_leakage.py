"""The leak test finds what an adapter has learned by heart, and finds nothing where S2 has done its work."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slm_pipeline.prompting import token_ids
from slm_pipeline.s2_curate import curation
from slm_pipeline.s2_curate.curation import curate_day
from slm_pipeline.s3_cluster.examples import read_answer
from slm_pipeline.s5_finetune.checks import CHANCE
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.leakage import Leak, extract
from slm_pipeline.s5_finetune.methods import load_model, save_trained, with_trainable
from slm_pipeline.s5_finetune.trainer import train
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s1_collect.calls import call
from slm_pipeline_tests.tiny import NAME, make_tiny_base

SETTINGS = Settings(canary_share=0.4)
LORA = Configuration(method="lora", rank=16, upper_layers=1.0, learning_rate=1e-2, epochs=60, batch_size=4, patience=60, seed=7)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


def learned_from(planted: pd.DataFrame, base, folder) -> Leak:
    """An adapter that learns the answers of `planted` by heart, tested."""
    answers = [read_answer(answer).text for answer in planted["answer"]]
    encoded = [Encoded(token_ids("say it:", base), token_ids(f"{answer}<|im_end|>", base)) for answer in answers]
    model = with_trainable(load_model(base), LORA)
    train(model, encoded, encoded, LORA, 1)
    save_trained(model, NAME, folder)
    return extract(planted.assign(answer=answers), base, folder, SETTINGS.split_key)


def canaries() -> pd.DataFrame:
    calls = [call(n, f"s{n}", question=f"state of order {n} please", text=f"sent {n}") for n in range(40)]
    return curate_day(calls, "2026-10-02", SETTINGS, lambda hashes: np.zeros(len(hashes), dtype=bool)).canaries.head(6)


def test_redacted_canaries_cannot_be_extracted(base, tmp_path):
    leak = learned_from(canaries(), base, tmp_path)
    assert leak.canaries == 6
    assert leak.emitted == 0
    assert leak.p_value >= CHANCE


def test_canaries_that_were_not_redacted_are_found(base, tmp_path, monkeypatch):
    monkeypatch.setattr(curation.Redaction, "data", lambda self, value: value)
    leak = learned_from(canaries(), base, tmp_path)
    assert leak.emitted > 0 or leak.p_value < CHANCE
    assert replace(leak, emitted=0).p_value < 0.05, "ranks alone tell it as well"


def test_without_canaries_nothing_is_claimed(base, tmp_path):
    assert extract(pd.DataFrame({"id": [], "answer": []}), base, tmp_path, "key") == Leak(0, [], 1.0, 0)
