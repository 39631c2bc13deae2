import importlib.util

import pytest

from slm_pipeline.s2_curate.redact.backends import names_finder, spacy_finder
from slm_pipeline.s2_curate.redact.finds import Find

PACKAGES = {"presidio": "presidio_analyzer", "spacy": "spacy", "gliner": "gliner"}


def test_the_own_tagger_needs_nothing():
    assert any(find.kind == "PERSON" for find in names_finder("own")("My name is Maria Schneider."))


@pytest.mark.parametrize("backend", PACKAGES)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(backend):
    if importlib.util.find_spec(PACKAGES[backend]):
        pytest.skip(f"{backend} is installed: its absence cannot be shown")
    with pytest.raises(ImportError, match=rf"pip install 'slm_pipeline\[{backend}\]'"):
        names_finder(backend)


def test_a_spacy_pipeline_finds_names_of_the_four_kinds():
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed: the backend is not tried")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "GPE", "pattern": "Ulm"}, {"label": "PERSON", "pattern": "Mia Li"}, {"label": "DATE", "pattern": "today"}]
    )
    assert spacy_finder(pipeline)("Mia Li flies to Ulm today.") == [Find(0, 6, "PERSON"), Find(16, 19, "LOCATION")]
