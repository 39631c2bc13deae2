"""What of an adapter is the same for everybody: its saved configuration, and the form of answers under a schema."""

import json

import pytest

from slm_pipeline.resources.engine import Engine
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import make_tiny_adapter

PROMPT = "<|im_start|>user\nsay one<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


def test_saved_config_has_no_local_path_and_a_fixed_order(base, tmp_path):
    text = (make_tiny_adapter(base, tmp_path / "adapter") / "adapter_config.json").read_text()
    assert f'"base_model_name_or_path": "{NAME}"' in text
    assert str(base.parent) not in text
    targets = json.loads(text)["target_modules"]
    assert targets == sorted(targets)


def test_constrained_answers_are_canonical_and_keep_the_schema_order(base):
    """Whatever a random model would like to say, it says it in the form and order it was trained to write."""
    from slm_pipeline.answers import answer_schema, parse_answer, render_answer

    properties = {"zone": {"type": "boolean"}, "age": {"type": "boolean"}, "mood": {"enum": ["good", "bad"]}}
    parameters = {"type": "object", "properties": properties, "required": ["zone", "age", "mood"]}
    tools = [{"type": "function", "function": {"name": "note", "parameters": parameters}}]
    with Engine(base / "model.gguf", None, 256) as engine:
        (said,) = engine.complete([PROMPT], [answer_schema(tools, ["tool_call"])], 100)
    answer = parse_answer(said.text)
    assert list(answer.tool_calls[0].arguments) == ["zone", "age", "mood"]
    assert said.text == render_answer(answer, tools)
