"""Names of persons, places and organisations, and addresses, in any text."""

import re
from functools import cache
from importlib.resources import files

from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.names.network import TAGS, Network
from slm_pipeline.s2_curate.redact.names.tokens import LENGTH, tokens
from slm_pipeline.s2_curate.redact.names.weights import load

# a mail address, a URL, base64: what they hold is no name. Each is tried once per word, so time stays linear
WHOLE = re.compile(
    r"(?<![\w.+\-])[\w.+\-]++@[\w.\-]++|(?<!\w)\w{2,12}://[^\s\"'<>]++|(?<![\w+/=\-])(?P<base64>[A-Za-z0-9+/_\-]{12,}+)(?!\w)"
)
# no words are written like that
MIXED = re.compile(r"[A-Z]{2}[a-z]+[A-Z]{2}|[a-z][A-Z]{2,}[a-z]|[A-Za-z][0-9]+[A-Za-z]|[0-9][A-Za-z]+[0-9]")
EDGES = " \t\n,;:-–(\"'>|*"  # no name begins or ends with one


@cache
def network() -> Network:
    """The network that the package carries."""
    return load(files("slm_pipeline.s2_curate.redact.names") / "weights.npz")


def find_names(text: str) -> list[Find]:
    """PERSON, LOCATION, ORGANIZATION and ADDRESS spans of a text, sorted, without overlaps. Linear time."""
    return spans(text, network())


def spans(text: str, tagger: Network) -> list[Find]:
    """As `find_names`, by another network."""
    matches = list(tokens(text))
    tags = tagger.tags([(m[0][:LENGTH], m.start() > 0 and text[m.start() - 1].isspace()) for m in matches])
    found: list[Find] = []
    for at in tags.nonzero()[0]:
        match, (part, kind) = matches[at], TAGS[tags[at]].split("-")
        if part == "B":
            found.append(Find(match.start(), match.end(), kind))
        else:
            found[-1] = found[-1]._replace(end=match.end())
    return _outside(filter(_holds_no_name, WHOLE.finditer(text)), _joined(text, found))


def _holds_no_name(match: re.Match) -> bool:
    value = match["base64"]
    if not value or MIXED.search(value):
        return True
    plain = "-" not in value and "_" not in value  # with them it may be "Saint-Denis-93200"
    return plain and all(any(map(form, value)) for form in (str.isdigit, str.isupper, str.islower))


def _joined(text: str, finds: list[Find]) -> list[Find]:
    """The finds without marks and spaces at their ends; what a comma parts within an address is one."""
    joined: list[Find] = []
    for start, end, kind in finds:
        inside = text[start:end]
        start, end = start + len(inside) - len(inside.lstrip(EDGES)), end - len(inside) + len(inside.rstrip(EDGES))
        if joined and kind == joined[-1].kind == "ADDRESS" and text[joined[-1].end : start].strip(" ") in ("", ","):
            joined[-1] = joined[-1]._replace(end=end)
        elif start < end:
            joined.append(Find(start, end, kind))
    return joined


def _outside(taken, finds: list[Find]) -> list[Find]:
    """The finds that no taken match overlaps; both are sorted."""
    left, match = [], next(taken, None)
    for find in finds:
        while match and match.end() <= find.start:
            match = next(taken, None)
        if not match or match.start() >= find.end:
            left.append(find)
    return left
