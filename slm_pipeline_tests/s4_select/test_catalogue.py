"""The catalogue names enough of the field, and says precisely what is wrong with a bad entry."""

import pytest
import yaml

from slm_pipeline.s4_select.base_models import CARRIERS
from slm_pipeline.s4_select.catalogue import CatalogueError, entry, load_catalogue
from slm_pipeline.settings import Settings

GOOD = {
    "name": "Tiny",
    "hub_id": "someone/tiny",
    "params": 1000,
    "architecture": "transformer",
    "open": True,
    "chat_template": True,
    "source": "https://example.org/tiny",
}


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def own(settings, *entries):
    settings.models.mkdir(parents=True, exist_ok=True)
    (settings.models / "catalogue.yaml").write_text(yaml.safe_dump(list(entries)))
    return settings


def test_the_field_below_ten_billion_is_there():
    entries = load_catalogue()
    assert len([e for e in entries if e.params < 10e9]) >= 14
    assert {e.architecture for e in entries} == {"transformer", "state-space", "hybrid"}
    families = (
        "SmolLM2",
        "Qwen",
        "Llama-3.2",
        "Gemma-3",
        "Phi-4",
        "LFM2",
        "Falcon-H1",
        "Granite-4.0",
        "Mamba2",
        "Nemotron-H",
        "xLAM-2",
        "RETRO",
    )
    assert all(any(e.name.startswith(family) for e in entries) for family in families)


def test_every_field_of_every_entry_has_a_source():
    for e in load_catalogue():
        assert all(e.source_of(field).startswith("https://") for field in type(e).model_fields)
        assert e.shape is None or "shape" in e.sources or e.source.endswith("mamba2-130m-hf"), "numbers of layers come from a configuration"


@pytest.mark.parametrize("e", [e for e in load_catalogue() if e.shape and e.architecture == "transformer"], ids=lambda e: e.name)
def test_the_weights_of_a_transformer_are_its_embedding_its_attention_and_three_matrices_a_layer(e):
    shape = e.shape
    attention = 2 * shape.hidden * shape.head_size * (shape.heads + shape.kv_heads)
    inner = e.model.inner / shape.layers - attention
    width = inner / (3 * shape.hidden)  # of the feed-forward layer: makers choose multiples of 64; norms and biases are the rest
    assert abs(width - 64 * round(width / 64)) < 4
    assert 2 < width / shape.hidden < 7


def test_a_model_that_only_runs_with_remote_code_says_so():
    assert "remote code" in entry("Hymba-1.5B-Instruct").refused


def test_every_package_that_carries_a_base_is_in_the_catalogue():
    carried = {name: carrier.package for name, carrier in CARRIERS.items()}
    assert {e.name: e.package for e in load_catalogue() if e.package} == carried


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(LookupError, match=r"no base model 'GPT-9'.*SmolLM2-135M-Instruct"):
        entry("GPT-9")


def test_ones_own_file_adds_and_replaces(settings):
    smol = entry("SmolLM2-135M-Instruct").model_dump(mode="json") | {"note": "ours"}
    own(settings, GOOD, smol)
    names = [e.name for e in load_catalogue(settings)]
    assert names[0] == "Tiny", "the smallest comes first"
    assert len(names) == len(load_catalogue()) + 1
    assert entry("SmolLM2-135M-Instruct", settings).note == "ours"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"params": -1}, r"row 2 \(Bad\), field params: "),
        ({"architecture": "rnn"}, r"row 2 \(Bad\), field architecture: .*'hybrid'"),
        ({"licence": ["MIT"]}, r"row 2 \(Bad\), field licence: "),
        ({"licens": "MIT"}, r"row 2 \(Bad\), field licens: Extra inputs"),
        ({"name": None}, r"row 2 \(without name\), field name: "),
        ({"hub_id": "tiny"}, r"row 2 \(Bad\), field hub_id: "),
        ({"hub_id": None}, r"row 2 \(Bad\): .*give hub_id or path"),
        ({"source": "a book"}, r"row 2 \(Bad\): .*a source is a URL"),
        ({"sources": {"licens": "https://a.b"}}, r"row 2 \(Bad\): .*names no field of an entry: licens"),
        (
            {"architecture": "hybrid", "shape": {"layers": 1, "hidden": 8, "vocab": 9}},
            r"row 2 \(Bad\): .*its shape that of a transformer",
        ),
        ({"path": "nowhere.gguf"}, r"row Bad, field path: there is no .*nowhere.gguf"),
    ],
)
def test_a_bad_entry_is_named_with_file_and_field(settings, change, said):
    own(settings, GOOD, GOOD | {"name": "Bad"} | change)
    with pytest.raises(CatalogueError, match=f"catalogue.yaml: {said}"):
        load_catalogue(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- [", "not YAML"), ("name: x", "it must be a list of rows"), ("- just text", r"row 1 \(without name\)")],
)
def test_a_file_that_is_no_list_of_entries_is_refused(settings, text, said):
    own(settings)
    (settings.models / "catalogue.yaml").write_text(text)
    with pytest.raises(CatalogueError, match=said):
        load_catalogue(settings)


def test_an_entry_given_twice_is_refused(settings):
    with pytest.raises(CatalogueError, match=r"\(Tiny\) is there more than once"):
        load_catalogue(own(settings, GOOD, GOOD))
