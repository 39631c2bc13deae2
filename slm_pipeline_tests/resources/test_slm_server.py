"""An adapter on a server answers as it does in the embedded engine; what a server lacks is said. The server is llama.cpp's own."""

import pytest

from slm_pipeline.resources.engine import Engine, Sampling
from slm_pipeline.resources.slm_server import ServedModel, served_name, server_of
from slm_pipeline.s5_finetune.export import adapter_to_gguf
from slm_pipeline.settings import Settings, SlmServer
from slm_pipeline_tests.llama_server import KEY, llama_server
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import make_tiny_adapter

GROUP, DIGEST = "weather-1234abcd", "0123456789abcdef"
SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"], "additionalProperties": False}
PROMPTS = [f"the weather of {city}, please" for city in ("Rome", "Oslo", "Lima", "Quito")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """GGUF files of base and adapter."""
    home = tmp_path_factory.mktemp("home")
    base = make_tiny_base(home)
    adapter = make_tiny_adapter(home / "models" / NAME, home / "adapter", "lora")
    adapter_to_gguf(adapter, home / "models" / NAME, adapter / "adapter.gguf")
    return base / "model.gguf", adapter


def server_at(url):
    return SlmServer(base_url=url, api_key_env="TEST_SLM_KEY")


def test_it_answers_as_the_embedded_engine_does(files, monkeypatch):
    monkeypatch.setenv("TEST_SLM_KEY", KEY)
    name = served_name(GROUP, DIGEST)
    with llama_server(files[0], files[1] / "adapter.gguf", name) as url, ServedModel(server_at(url), name, files[1]) as served:
        with Engine(files[0], files[1] / "adapter.gguf", 256) as engine:
            for prompt in PROMPTS:
                for how in (Sampling(), Sampling(0.7, 3)):
                    one, other = (model.answer(prompt, None, 12, how=how) for model in (engine, served))
                    assert (one.text, one.tokens, one.prompt_tokens) == (other.text, other.tokens, other.prompt_tokens)
                    assert one.log_probs == pytest.approx(other.log_probs, abs=1e-3)
                assert served.answer(prompt, SCHEMA, 40).text.replace(" ", "") in ('{"city":"Rome"}', '{"city":"Oslo"}')
            for prompt in PROMPTS:
                whole, pieces = engine.answer(prompt, None, 12, how=Sampling()), []
                for model in (engine, served):
                    pieces.clear()
                    said = model.say(prompt, 12, pieces.append)
                    assert "".join(pieces) == said.text == whole.text
                    assert len(pieces) > 1
                    assert (said.tokens, said.prompt_tokens, said.ended) == (whole.tokens, whole.prompt_tokens, whole.ended)
        assert served.alive


def test_a_stream_that_is_not_heard_to_its_end_does_not_speak_into_the_next_answer(files):
    def deaf(piece):
        raise ValueError("nobody listens")

    with Engine(files[0], files[1] / "adapter.gguf", 256) as engine:
        before = engine.answer(PROMPTS[0], None, 12)
        with pytest.raises(RuntimeError, match="a prompt was refused"):
            engine.say("the weather of Rome " * 500, 12, lambda piece: None)
        assert engine.answer(PROMPTS[0], None, 12).text == before.text
        with pytest.raises(ValueError, match="nobody listens"):
            engine.say(PROMPTS[0], 12, deaf)
        assert engine.answer(PROMPTS[0], None, 12).text == before.text


def test_what_a_server_lacks_is_said(files, monkeypatch):
    name = served_name(GROUP, DIGEST)
    with llama_server(files[0], files[1] / "adapter.gguf", "another") as url:
        server = server_at(url)
        with pytest.raises(RuntimeError, match="api_key_env"):
            ServedModel(server, name, files[1])
        monkeypatch.setenv("TEST_SLM_KEY", KEY)
        with pytest.raises(RuntimeError, match=rf"serves no model named {name}.*--alias {name}"):
            ServedModel(server, name, files[1])
        served = ServedModel(server, "another", files[1])
    assert not served.alive
    with pytest.raises(RuntimeError, match="cannot be reached") as caught:
        served.answer("my secret prompt", None, 4)
    assert "secret" not in str(caught.value)
    with pytest.raises(RuntimeError, match="cannot be reached"):
        ServedModel(server, name, files[1])


def test_the_first_server_that_names_a_group_answers_for_it():
    one, all_else = SlmServer(base_url="http://one/v1", groups=("weather-*",)), SlmServer(base_url="http://all/v1")
    settings = Settings(slm_servers=(one, all_else))
    assert server_of(GROUP, settings) is one
    assert server_of("time-1", settings) is all_else
    assert server_of("time-1", Settings(slm_servers=(one,))) is None
