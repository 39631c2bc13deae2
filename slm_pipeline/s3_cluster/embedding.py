"""Texts as vectors. By default the mean of static word vectors that lie inside the wordllama package.

Its own loader asks a model hub, so the two files are read directly. Source: https://github.com/dleemiller/WordLlama (MIT).
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

WORDS = 200  # of a text, so that one long document does not cost a second
DIMENSIONS = 256
SHARE = 0.4  # weight of the n-grams beside the word vectors, both of length one


def embed(texts: Sequence[str], name: str = "static"):
    """Unit vectors, float32 array of shape (len(texts), dimensions); each depends on its text only. An empty text has the zero vector.

    `name`: "static", "tfidf" (hashed n-grams, for machines without the vectors), or any model that sentence-transformers loads.
    """
    import numpy as np

    short = [" ".join(text.split()[:WORDS]) for text in texts]
    if name == "static":
        made = _static(short)
    elif name == "tfidf":
        made = _projection().transform(_hashing().transform(short)).toarray()
    else:
        made = _transformer(name).encode(short, show_progress_bar=False)
    made = np.asarray(made, dtype=np.float32)
    return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)


def fitted_vectors(texts: Sequence[str], name: str, seed: int):
    """Vectors for clustering these texts with each other: `embed`, beside it TF-IDF of their character n-grams reduced by SVD (latent
    semantic analysis), for words that the vectors know little of. Shape (len(texts), dimensions); rarer n-grams count more, which takes
    the texts together, so this is not for run time."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    vectors, grams = embed(texts, name), ngrams(texts)
    dimensions = min(150, grams.shape[1] - 1, len(texts) - 1)
    if dimensions < 2:
        return vectors
    reduced = normalize(TruncatedSVD(dimensions, random_state=seed).fit_transform(grams))
    return np.hstack([vectors, SHARE * reduced]).astype(np.float32)


def ngrams(texts: Sequence[str]):
    """TF-IDF of the words' character n-grams, sparse and of unit rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), min_df=min(3, len(texts))).fit_transform(texts)


def _static(texts: Sequence[str]):
    import numpy as np

    tokenizer, vectors = _static_model()
    made = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    for row, encoded in zip(made, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True):
        if encoded.ids:
            row[:] = vectors[encoded.ids].astype(np.float32).mean(axis=0)
    return made


@lru_cache(maxsize=1)
def _static_model():
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = Path(find_spec("wordllama").origin).parent
    tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    (vectors,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    return tokenizer, vectors


@lru_cache(maxsize=1)
def _transformer(name: str):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name, device="cpu")


@lru_cache(maxsize=1)
def _hashing():
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=2**15, analyzer="char_wb", ngram_range=(2, 4), alternate_sign=False)


@lru_cache(maxsize=1)
def _projection():
    import numpy as np
    from sklearn.random_projection import SparseRandomProjection

    return SparseRandomProjection(DIMENSIONS, random_state=0).fit(np.zeros((1, 2**15)))
