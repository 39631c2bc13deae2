"""The general-ability set is sound, asked of base and adapter alike, and the same every time."""

import json
from collections import Counter

import pytest

from slm_pipeline.s6_refine.general import FOLDER, general_ability, set_digest
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import make_tiny_base

ITEMS = [json.loads(line) for line in (FOLDER / "items.jsonl").read_text().splitlines()]


def test_every_item_has_one_right_option_at_no_telling_place():
    assert 60 <= len(ITEMS) <= 100
    assert len({item["id"] for item in ITEMS}) == len({item["prompt"] + item["choices"][item["answer"]] for item in ITEMS}) == len(ITEMS)
    assert all(len(set(item["choices"])) == len(item["choices"]) == 4 for item in ITEMS)
    places = Counter(item["answer"] for item in ITEMS)
    assert max(places.values()) - min(places.values()) <= 2
    kinds = Counter(item["id"].split("-")[0] for item in ITEMS[:20])
    assert len(kinds) == 3, "the first items, which `general_items` takes, are of every kind"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, folder = make_tiny_base(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("adapter")
    torch.manual_seed(8)
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).save_pretrained(folder)
    return base, folder


def test_base_and_adapter_are_compared_item_by_item(models):
    base, folder = models
    settings = Settings(general_items=24, bootstrap_samples=200)
    found = general_ability((base, None), (base, folder), settings)
    assert found["n"] == found["change"]["n"] == 24
    assert found["change"]["mean"] == pytest.approx(found["adapter"] - found["base"])
    assert set(found["lost"]) <= {item["id"] for item in ITEMS[:24]}
    assert found == general_ability((base, None), (base, folder), settings)
    same = general_ability((base, None), (base, None), settings)
    assert (same["change"]["mean"], same["lost"]) == (0, [])


def test_the_digest_names_the_set(tmp_path, monkeypatch):
    before = set_digest()
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("slm_pipeline.s6_refine.general.FOLDER", tmp_path)
    assert set_digest() == before
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write("{}")
    assert set_digest() != before
