"""Near-duplicates: calls whose varying part and whose answer are each almost the same, found without comparing all pairs.

MinHash over pairs of neighbouring words proposes candidates (Broder 1997, "On the resemblance and containment of documents";
banding as in Leskovec et al., "Mining of Massive Datasets", 3.4), and every candidate is verified word by word. What must be
equal goes into the bands' keys: numbers, identifiers, symbols, and texts of few words, in which near would mean nothing.
"""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import numpy as np

SEPARATOR = "\x1e"  # between the messages of a varying part: each is judged by itself
LEAST_WORDS = 10  # a text of fewer words near-matches only what equals it
BANDS, ROWS = 16, 4
SEED = 1
EQUAL = np.dtype([("varying", "u8"), ("answer", "u8")])
SIGNATURE = np.dtype([("equal", EQUAL), ("asked", "u4", BANDS), ("whole", "u4", BANDS)])
BYTES_PER_CALL = SIGNATURE.itemsize
MOST_IN_BUCKET, MOST_CANDIDATES = 64, 16  # so that no heap of similar calls costs its square

# writing without blanks counts by character
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
PUNCTUATION = ".,;:!?()[]{}\"'`*’“”„«»。，！？"
HARD = re.compile(r"\d|[_@/\\]|[a-z][A-Z]|\A\W+\Z|\A[A-Z]{2,}\Z")


class Part(NamedTuple):
    """A text with its words in lower case, and what of it must be equal: all of it if it is short, else `hard`."""

    words: list[str]
    hard: list[str]


def signature(varying: str, answer: str) -> bytes:
    """What of a call is kept to find its near-duplicates: BYTES_PER_CALL bytes, independent of all other calls.

    `varying`: the varying messages, joined by SEPARATOR; whatever shall only match itself (the task) may be one of them.
    """
    asked, said = _parts(varying), _parts(answer)
    asked_key, whole_key = _key(asked), _key(asked + said)
    asked_hashes, said_hashes = _minhash(asked, BANDS * ROWS), _minhash(said, BANDS * ROWS // 2)
    made = np.zeros((), dtype=SIGNATURE)
    made["equal"] = (_digest(varying), _digest(answer))
    made["asked"] = [crc32(band, asked_key) for band in asked_hashes.reshape(BANDS, ROWS)]
    # half of each band speaks for the varying part, half for the answer: both must be alike
    halves = np.hstack([asked_hashes[: BANDS * ROWS // 2].reshape(BANDS, -1), said_hashes.reshape(BANDS, -1)])
    made["whole"] = [crc32(band, whole_key) for band in halves]
    return made.tobytes()


def equal_key(signature: bytes) -> bytes:
    """The same for calls whose varying parts and answers are equal, but for blanks and case."""
    return signature[: EQUAL.itemsize]


def find(signatures: Sequence[bytes], texts: Callable[[int], tuple[str, str]], sessions: Sequence[str], similarity: float) -> np.ndarray:
    """For each of n calls in order of time the number of the call that stands for it, its own if it is kept; int64, shape (n,).

    `texts(i)`: varying part and answer of call i. Of equal calls the first stands for all. A call that near-matches a kept one
    of another session is represented by it; steps of one session are different calls unless they are equal.
    """
    rows = _read(signatures)
    parts = lru_cache(maxsize=4096)(lambda i: tuple(_parts(text) for text in texts(i)))
    buckets = _Buckets(rows["whole"])
    kept: dict[bytes, int] = {}
    found = np.arange(len(rows))
    for i, equal in enumerate(rows["equal"]):
        same = kept.get(equal.tobytes())
        if same is not None and (sessions[i] != sessions[same] or rows["equal"][same] == equal):
            found[i] = same
            continue
        others = (j for j in buckets.candidates(i) if sessions[j] != sessions[i])
        found[i] = next((j for j in others if all(map(_alike, parts(j), parts(i), (similarity,) * 2))), i)
        if found[i] == i:
            buckets.add(i)
        kept[equal.tobytes()] = int(found[i])
    return found


def asked_among(
    signatures: Sequence[bytes], others: Sequence[bytes], texts: Callable[[int], tuple[str, str]], similarity: float
) -> np.ndarray:
    """Which of n calls ask (nearly) what one of `others` asks; bool, shape (n,).

    `texts(i)`: varying part and answer of call i, the others counted on from n. Equal varying parts are the same whatever the
    answers. Of near-matching ones a word that differs and stands in an answer is what the call is about (another name, another
    place): these ask the same only if their answers near-match too.
    """
    rows, n = _read([*signatures, *others]), len(signatures)
    asked = set(rows["equal"]["varying"][n:].tolist())
    parts = lru_cache(maxsize=4096)(lambda i: tuple(_parts(text) for text in texts(i)))
    buckets = _Buckets(rows["asked"])
    for i in _first_of_equal(rows["equal"], range(n, len(rows))).values():
        buckets.add(i)

    def same(i: int, j: int) -> bool:
        (some, said), (other, answered) = parts(i), parts(j)
        if not _alike(some, other, similarity):
            return False
        return _alike(said, answered, similarity) or _changed(some, other).isdisjoint(_spoken(said) | _spoken(answered))

    equal = rows["equal"]["varying"][:n].tolist()
    return np.array([equal[i] in asked or any(same(i, j) for j in buckets.candidates(i)) for i in range(n)], dtype=bool)


def asked_alike(
    signatures: Sequence[bytes], texts: Callable[[int], tuple[str, str]], similarity: float
) -> tuple[list[int], dict[int, list[int]]]:
    """Which of n calls ask (nearly) the same: the question of each call, and for each question those alike, itself included.

    A question is named by the first call that asks it; `texts(i)`: varying part and answer of call i. Questions that differ in a
    word which one of their answers says, or a name of a tool, are not alike.
    """
    rows = _read(signatures)
    equal = rows["equal"]["varying"]
    first = _first_of_equal(equal, range(len(rows)))
    questions = [first[value] for value in equal.tolist()]
    answers: dict[int, list[int]] = defaultdict(list)
    for i, question in enumerate(questions):
        answers[question].append(i)
    parts = lru_cache(maxsize=4096)(lambda i: _parts(texts(i)[0]))
    spoken = lru_cache(maxsize=4096)(lambda i: set().union(*(_spoken(_parts(texts(j)[1])) for j in answers[i])))
    buckets, alike = _Buckets(rows["asked"]), {question: [question] for question in answers}
    for i in answers:
        for j in buckets.candidates(i):
            if _alike(parts(i), parts(j), similarity) and _changed(parts(i), parts(j)).isdisjoint(spoken(i) | spoken(j)):
                alike[i].append(j)
                alike[j].append(i)
        buckets.add(i)
    return questions, alike


class _Buckets:
    """Calls by the values of their bands; a bucket takes MOST_IN_BUCKET calls, the first ones."""

    def __init__(self, bands: np.ndarray):
        self._bands = bands.tolist()
        self._shared = np.zeros(bands.shape, dtype=bool)
        for column in range(bands.shape[1]):
            _, inverse, counts = np.unique(bands[:, column], return_inverse=True, return_counts=True)
            self._shared[:, column] = counts[inverse] > 1
        self._calls: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, i: int) -> None:
        for band in np.flatnonzero(self._shared[i]).tolist():
            bucket = self._calls[band, self._bands[i][band]]
            if len(bucket) < MOST_IN_BUCKET:
                bucket.append(i)

    def candidates(self, i: int) -> list[int]:
        """Calls that share a band with call i: those that share most first, then the earliest."""
        shared: Counter[int] = Counter()
        for band in np.flatnonzero(self._shared[i]).tolist():
            shared.update(self._calls.get((band, self._bands[i][band]), ()))
        return sorted(shared, key=lambda j: (-shared[j], j))[:MOST_CANDIDATES]


def _read(signatures: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(signatures), dtype=SIGNATURE)


def _first_of_equal(equal: np.ndarray, among: Iterable[int]) -> dict[Hashable, int]:
    first: dict[Hashable, int] = {}
    values = equal.tolist()
    for i in among:
        first.setdefault(values[i], i)
    return first


def _alike(some: list[Part], other: list[Part], similarity: float) -> bool:
    return len(some) == len(other) and all(_part_alike(a, b, similarity) for a, b in zip(some, other, strict=True))


def _part_alike(some: Part, other: Part, similarity: float) -> bool:
    """Word by word: 1 - edits / words of the longer text is at least `similarity`, and what is hard is equal."""
    from rapidfuzz.distance import Levenshtein

    if some.words == other.words:
        return some.hard == other.hard
    if min(len(some.words), len(other.words)) < LEAST_WORDS or some.hard != other.hard:
        return False
    return Levenshtein.normalized_similarity(some.words, other.words, score_cutoff=similarity) >= similarity


def _changed(some: list[Part], other: list[Part]) -> set[str]:
    return set().union(*(set(a.words) ^ set(b.words) for a, b in zip(some, other, strict=True)))


def _spoken(parts: list[Part]) -> set[str]:
    return {piece for part in parts for word in part.words for piece in re.split(r"[\W_]+", word)} | {w for p in parts for w in p.words}


def _parts(text: str) -> list[Part]:
    return [_part(leaf) for message in text.split(SEPARATOR) for leaf in _leaves(message)]


def _part(text: str) -> Part:
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
    words = [word.strip(PUNCTUATION) or word for word in WORD.findall(whole)]
    return Part([word.lower() for word in words], [word for word in words if not (word.isalpha() and word.islower()) and HARD.search(word)])


def _leaves(text: str) -> list[str]:
    """A text that is JSON as its keys and values, in the order of sorted keys; any other as it is."""
    if text[:1] not in ("{", "["):
        return [text]
    try:
        todo = [json.loads(text)]
    except (ValueError, RecursionError):
        return [text]
    leaves = []
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += [part for key in sorted(value) for part in (value[key], key)]
            leaves.append("{")
        elif isinstance(value, list):
            todo += value
            leaves.append("[")
        else:
            leaves.append(value if isinstance(value, str) else json.dumps(value))
    return leaves


def _key(parts: list[Part]) -> int:
    fixed = [part.words + part.hard if len(part.words) < LEAST_WORDS else part.hard for part in parts]
    return crc32("\n".join(SEPARATOR.join(words) for words in fixed).encode("utf-8", "replace"))


def _minhash(parts: list[Part], count: int) -> np.ndarray:
    from rensa import RMinHash

    hashes = RMinHash(num_perm=count, seed=SEED)
    long = [part.words for part in parts if len(part.words) >= LEAST_WORDS]
    hashes.update([f"{a} {b}" for words in long for a, b in itertools.pairwise(words)])
    return np.array(hashes.digest(), dtype="<u4")


def _digest(text: str) -> int:
    normal = " ".join(text.lower().split())
    return int.from_bytes(blake2b(normal.encode("utf-8", "replace"), digest_size=8).digest(), "little")
