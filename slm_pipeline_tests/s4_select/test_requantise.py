import numpy as np
import pytest
from gguf import GGUFReader, dequantize

from slm_pipeline.resources.engine import Engine
from slm_pipeline.s4_select.requantise import to_q8_0
from slm_pipeline_tests.tiny import make_tiny_base

MADE_BY_READER = "GGUF."


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = make_tiny_base(tmp_path_factory.mktemp("home"))
    to_q8_0(folder / "model.gguf", folder / "eight.gguf")
    return folder / "model.gguf", folder / "eight.gguf"


def test_every_matrix_is_near_and_everything_else_is_equal(models):
    source, made = map(GGUFReader, models)
    changed = {"general.file_type"}
    keys = {name for name in source.fields if not name.startswith(MADE_BY_READER)} - changed
    assert keys <= made.fields.keys()
    assert all(source.fields[key].contents() == made.fields[key].contents() for key in keys)
    assert [t.name for t in source.tensors] == [t.name for t in made.tensors]
    for before, after in zip(source.tensors, made.tensors, strict=True):
        weights, copied = (dequantize(t.data, t.tensor_type) for t in (before, after))
        assert weights.shape == copied.shape
        if weights.ndim == 1:
            assert np.array_equal(weights, copied)
        else:
            assert after.tensor_type.name == "Q8_0"
            # half a step of 127 steps, in blocks of 32 weights; the step itself is rounded to half precision
            largest = np.abs(weights.reshape(-1, 32)).max(axis=1, keepdims=True)
            assert (np.abs((weights - copied).reshape(-1, 32)) <= largest * (0.5 / 127 + 1e-3)).all()


def test_llama_cpp_takes_it(models):
    prompt = "<|im_start|>user\nweather in Rome<|im_end|>\n<|im_start|>assistant\n"
    with Engine(models[1], None, 256) as engine:
        (said,) = engine.complete([prompt], [None], 8)
    assert 1 <= said.tokens <= 8
