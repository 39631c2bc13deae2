"""Who finds names: the tagger of the package, or one of three libraries with models, if installed and asked for."""

from collections.abc import Callable
from functools import cache

from slm_pipeline.s2_curate.redact.finds import Find

Finder = Callable[[str], list[Find]]
KINDS = {
    **dict.fromkeys(("PERSON", "PER", "PATIENT", "person"), "PERSON"),
    **dict.fromkeys(("LOCATION", "LOC", "GPE", "FAC", "NRP", "location"), "LOCATION"),
    **dict.fromkeys(("ORGANIZATION", "ORG", "organization"), "ORGANIZATION"),
    **dict.fromkeys(("ADDRESS", "address"), "ADDRESS"),
}
SPACY_MODEL = "en_core_web_sm"
GLINER_MODEL = "urchade/gliner_multi_pii-v1"


@cache
def names_finder(backend: str) -> Finder:
    """The function that finds PERSON, LOCATION, ORGANIZATION and ADDRESS in a text; `backend`: own, presidio, spacy or gliner.

    Raises ImportError, which names the extra to install, if the backend's package is missing.
    """
    return BACKENDS[backend]()


def spacy_finder(pipeline) -> Finder:
    """Entities of a spaCy pipeline."""
    return lambda text: _sorted((e.start_char, e.end_char, e.label_) for e in pipeline(text).ents)


def _own() -> Finder:
    from slm_pipeline.s2_curate.redact.names.tagger import find_names

    return find_names


def _spacy() -> Finder:
    try:
        import spacy
    except ImportError as error:
        raise _missing("spacy", "spacy") from error
    return spacy_finder(spacy.load(SPACY_MODEL))


def _presidio() -> Finder:
    try:
        from presidio_analyzer import AnalyzerEngine
    except ImportError as error:
        raise _missing("presidio", "presidio-analyzer") from error
    engine = AnalyzerEngine()
    return lambda text: _sorted((found.start, found.end, found.entity_type) for found in engine.analyze(text, language="en"))


def _gliner() -> Finder:
    try:
        from gliner import GLiNER
    except ImportError as error:
        raise _missing("gliner", "gliner") from error
    model = GLiNER.from_pretrained(GLINER_MODEL)
    labels = ["person", "location", "organization", "address"]
    return lambda text: _sorted((found["start"], found["end"], found["label"]) for found in model.predict_entities(text, labels))


def _missing(extra: str, package: str) -> ImportError:
    return ImportError(f"names_backend = {extra!r} needs {package}: pip install 'slm_pipeline[{extra}]'")


def _sorted(found) -> list[Find]:
    """Finds of known kinds, left to right; of two that overlap the earlier, then the longer one."""
    kept: list[Find] = []
    for start, end, label in sorted(found, key=lambda f: (f[0], -f[1])):
        if label in KINDS and (not kept or start >= kept[-1].end):
            kept.append(Find(start, end, KINDS[label]))
    return kept


BACKENDS = {"own": _own, "presidio": _presidio, "spacy": _spacy, "gliner": _gliner}
