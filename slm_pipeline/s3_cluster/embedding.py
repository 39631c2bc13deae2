"""Static word vectors: a text is the mean of its tokens' vectors. Weights and tokenizer lie inside the wordllama package.

Its own loader asks a model hub, so the two files are read directly. Source: https://github.com/dleemiller/WordLlama (MIT).
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

WORDS = 400  # of a text, so that one long document does not cost a second


@lru_cache(maxsize=1)
def _model():
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = Path(find_spec("wordllama").origin).parent
    tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    (vectors,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    return tokenizer, vectors


def embed(texts: list[str]):
    """Unit vectors, float32 array of shape (len(texts), 256); an empty text has the zero vector."""
    import numpy as np

    tokenizer, vectors = _model()
    made = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    for row, text in zip(made, texts, strict=True):
        ids = tokenizer.encode(" ".join(text.split()[:WORDS]), add_special_tokens=False).ids
        if ids:
            mean = vectors[ids].astype(np.float32).mean(axis=0)
            row[:] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return made
