import os
import subprocess
import sys
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("faker")

from slm_pipeline.s2_curate.redact.names import generator, weights
from slm_pipeline.s2_curate.redact.names.marks import lead, mark, unmark
from slm_pipeline.s2_curate.redact.names.network import TAGS
from slm_pipeline.s2_curate.redact.names.tagger import spans
from slm_pipeline.s2_curate.redact.names.training import Recipe, labelled, train

TINY = Recipe(width=16, texts=2500, batch=512)


@pytest.fixture(scope="module")
def tiny():
    return train(TINY, report=lambda line: None)


def test_the_same_recipe_gives_the_same_network(tiny):
    again = train(TINY, report=lambda line: None)
    for name in ("table", "out", "out_bias", "known", "masks"):
        np.testing.assert_array_equal(getattr(tiny, name), getattr(again, name))
    for one, other in zip((*tiny.mix, *tiny.bias), (*again.mix, *again.bias), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_network_learns_what_the_sentences_say(tiny):
    right = wrong = 0
    for text, finds in generator.texts(seed=99, count=150):
        truth = {i for start, end, _ in finds for i in range(start, end)}
        guess = {i for start, end, _ in spans(text, tiny) for i in range(start, end)}
        right, wrong = right + len(truth & guess), wrong + len(truth ^ guess)
    assert right > wrong


def test_a_weights_file_holds_the_network_and_what_made_it(tiny, tmp_path):
    path = tmp_path / "weights.npz"
    weights.save(tiny, path, str(TINY))
    held = weights.load(path)
    words = [(token, spaced) for text, finds in generator.texts(seed=7, count=60) for token, spaced, _ in labelled(text, finds)]
    assert (held.tags(words) == tiny.tags(words)).mean() > 0.95  # eight bits a number
    assert weights.made_by(path) == str(TINY)
    first = path.read_bytes()
    weights.save(tiny, path, str(TINY))
    assert path.read_bytes() == first


def test_the_packages_weights_were_made_by_this_generator():
    path = files("slm_pipeline.s2_curate.redact.names") / "weights.npz"
    assert weights.made_by(path) == str(Recipe())
    assert len(path.read_bytes()) < 4 * 2**20


def test_sentences_are_the_same_for_a_seed_and_spans_lie_on_their_words():
    one, other = list(generator.texts(3, 400)), list(generator.texts(3, 400))
    assert one == other
    kinds = set()
    for text, finds in one:
        assert all(0 <= a.start < a.end <= len(text) for a in finds)
        assert all(a.end <= b.start for a, b in pairwise(finds))
        assert "\x02" not in text
        kinds |= {find.kind for find in finds}
    assert kinds == {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS"}
    assert 0.2 < np.mean([not finds for _, finds in one]) < 0.7


def test_sentences_and_gazetteers_are_the_same_in_every_process():
    code = (
        "import hashlib; from slm_pipeline.s2_curate.redact.names import generator, pools; "
        "print(hashlib.sha256(repr((list(generator.texts(1, 2000)), sorted(pools.gazetteers().items()))).encode()).hexdigest())"
    )
    made = {
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1


def test_marks_are_read_back_also_behind_the_marks_of_quoted_lines():
    marked = f"Dear {mark('PERSON', 'Ada')},\n{mark('ADDRESS', '1 High St' + chr(10) + 'York')}"
    assert [marked_text(unmark(marked), i) for i in range(2)] == ["Ada", "1 High St\nYork"]
    quoted = unmark(lead(marked, "> "))
    assert quoted[0] == "> Dear Ada,\n> 1 High St\n> York"
    assert [marked_text(quoted, i) for i in range(3)] == ["Ada", "1 High St", "York"]


def marked_text(read, number):
    text, finds = read
    return text[finds[number].start : finds[number].end]


def test_tags_begin_anew_with_every_name():
    text, finds = unmark(f"{mark('PERSON', 'Ada Bell')} {mark('PERSON', 'Cy')} left {mark('LOCATION', 'York')}")
    assert [TAGS[tag] for _, _, tag in labelled(text, finds)] == ["B-PERSON", "I-PERSON", "B-PERSON", "O", "B-LOCATION"]
