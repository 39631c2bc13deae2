"""Words of a text and what the tagger sees of each: hashes of its form, and which gazetteers know it."""

import re
import unicodedata
import zlib
from collections.abc import Iterator
from functools import lru_cache

LENGTH = 40  # characters of a token that features look at; a longer word is no name
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u200c\u200d"  # \w lacks combining marks
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # Han and kana: every character is a token
TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w{MARKS}])+|\n|[^\w\s]")
HASH = re.compile(r"[0-9a-f]{7,}")
ROWS = 2**14  # rows of the hashed embedding; row 0 is empty
KINDS = ("FIRST", "LAST", "PLACE", "COUNTRY", "WORD")  # gazetteers, each a bit of a mask
SLOTS = 13 + len(KINDS)  # feature rows of a token


def tokens(text: str) -> Iterator[re.Match]:
    """The tokens of a text: words with their digits and underscores, line ends, single marks."""
    return TOKEN.finditer(text)


def normal(token: str) -> str:
    """How gazetteers spell a token: lower case, without diacritics, digits alike."""
    plain = unicodedata.normalize("NFKD", token[:LENGTH].lower())
    return re.sub(r"\d", "0", "".join(c for c in plain if not unicodedata.combining(c)))


def fingerprint(word: str) -> int:
    """32 bits of a normal word."""
    return zlib.crc32(word.encode("utf-8", "replace"))


@lru_cache(maxsize=2**15)
def is_identifier(token: str) -> bool:
    """Whether a token is a hash, a number of many digits or letters and digits too long for a postcode: never part of a name."""
    digits = sum(c.isdigit() for c in token[:LENGTH])
    return bool(digits) and (digits > 6 or len(token) > 10 or HASH.fullmatch(token) is not None)


def shape(token: str) -> str:
    """The form of a token: X upper, x lower, d digit, the script of other letters, else the character; runs are cut at three."""
    made = []
    for c in token[:LENGTH]:
        kind = "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else _script(c) if c.isalpha() else c
        if made[-3:] != [kind] * 3:
            made.append(kind)
    return "".join(made)


def _script(c: str) -> str:
    return unicodedata.name(c, "?")[:3]


def features(token: str, spaced: bool, mask: int, word: bool = True) -> list[int]:
    """Rows (SLOTS numbers in [0, ROWS), 0 for none) of a token. `spaced`: white space stands before it. `mask`: the gazetteers that
    hold it. Without `word` the rows that know it by heart are left out, as for a word never seen in training."""
    plain, form = normal(token), shape(token)
    alike = (
        f"w{plain}" if word else "",
        f"4{plain[:4]}" if word else "",
        f"5{plain[-5:]}" if word else "",
        f"1{plain[:1]}",
        f"2{plain[:2]}",
        f"3{plain[:3]}",
        f"b{plain[-2:]}",
        f"c{plain[-3:]}",
        f"d{plain[-4:]}",
        f"s{form}",
        f"l{min(len(token), 12)}",
        f"_{form}{spaced}",
        f"m{mask}",
    )
    rows = [1 + zlib.crc32(f.encode("utf-8", "replace")) % (ROWS - 1) if f else 0 for f in alike]
    return rows + [1 + zlib.crc32(f"k{kind}".encode()) % (ROWS - 1) if mask >> bit & 1 else 0 for bit, kind in enumerate(KINDS)]
