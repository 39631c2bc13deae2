"""Whether an answer is in another language than anything that was asked: by script, and by the small words of Latin-script languages.

Function words tell languages apart from a few sentences on (Grefenstette 1995, "Comparing two language identification schemes").
It judges only with a wide margin: what is short, code, data or a translation is never found to be in the wrong language.
"""

import re
from collections import Counter
from functools import lru_cache
from unicodedata import name

LEAST_LETTERS = 60  # of an answer that is judged
LEAST_IDEOGRAPHS = 15  # the same in scripts that write a word with one or two characters
LEAST_WORDS = 5  # small words by which a Latin-script language is known
MARGIN = 3  # so many times as many of them as of any other language
SHARE = 0.7  # of an answer's letters that are in its script

SMALL_WORDS = {
    "en": "the and of to is that for with you are this have be not from your or as will can which would there been has were",
    "de": "der die das und ist nicht ein eine mit für auf den dem zu von sie ich wir auch oder wird sind haben bei kann werden ihre",
    "fr": "le les des et est une pour dans que vous avec sur pas nous ce sont votre qui plus par au être cette aux avez",
    "es": "el los las y es una para por que con del su no usted como más está se pero puede sus este esta hay tiene",
    "it": "il gli che per è una con non sono della di del anche più come questo nel alla delle può ha essere suo dei",
    "pt": "o os e uma para não com que do da em você por mais como seu sua dos das ao pode está foi são também",
    "nl": "het een van en is niet dat op te zijn voor met aan er ook maar wordt bij deze naar kunnen heeft uw hebben",
    "sv": "och att det som är inte en av på för med den till har ett kan om jag eller ska vi från också din",
    "pl": "i w nie na się jest do to że z jak za od są przez dla czy można oraz tego jego może być które",
}
WORD = re.compile(r"[^\W\d_]+")
CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`", re.DOTALL)
NO_WORD = re.compile(r"[\\/_={}<>|]")
# whoever names a language, or asks for a translation, may get an answer in another one
NAMED = re.compile(
    r"translat|übersetz|traduc|traduz|tradui|\blanguages?\b|\bsprachen?\b|\blangue|\bidioma|\blingua\b|翻译|翻譯|翻訳|번역|перев[её]д|"
    r"\b(english|german|french|spanish|italian|portuguese|dutch|swedish|polish|russian|chinese|japanese|korean|arabic|hindi|turkish|"
    r"deutsch|englisch|français|anglais|español|inglés|italiano|inglese|português|inglês)\b|英[语語文]|中文|日本語|한국어|русск|английск",
    re.IGNORECASE,
)


def _exclusive() -> dict[str, str]:
    words = {language: set(words.split()) for language, words in SMALL_WORDS.items()}
    claimed = Counter(word for found in words.values() for word in found)
    return {word: language for language, found in words.items() for word in found if claimed[word] == 1}


LANGUAGE_OF = _exclusive()


def wrong_language(asked: list[str], answer: str) -> bool:
    """Whether `answer` is clearly in a language that none of the texts of the request, `asked`, holds."""
    spoken = language(answer)
    if spoken is None:
        return False
    family = {"han", "japanese"} if spoken in ("han", "japanese") else {spoken}
    known: set[str] = set()
    for text in asked:
        known |= languages(text)
        if known & family:
            return False
    # a Latin-script language that is not known here must not count as another one
    return (bool(known) or spoken not in SMALL_WORDS) and not any(NAMED.search(text) for text in asked)


def language(text: str) -> str | None:
    """The one language (ISO 639-1), or the script if it is not Latin, that a text is in; None if that is not clear."""
    prose = " ".join(word for word in CODE.sub(" ", text).split() if not NO_WORD.search(word))
    scripts = _scripts(prose)
    if not scripts or text.lstrip()[:1] in ("{", "[") or len(prose.split()) * 2 < len(text.split()):
        return None
    (script, letters), total = scripts.most_common(1)[0], scripts.total()
    if script in ("han", "japanese"):  # Japanese mixes both
        return "japanese" if scripts["japanese"] else "han" if letters >= max(LEAST_IDEOGRAPHS, SHARE * total) else None
    if letters < max(LEAST_LETTERS, SHARE * total):
        return None
    if script != "latin":
        return script
    found = _small_words(prose)
    ranked = [*found.most_common(2), ("", 0), ("", 0)]
    (first, most), (_, next_most) = ranked[0], ranked[1]
    return first if most >= max(LEAST_WORDS, MARGIN * next_most) else None


def languages(text: str) -> set[str]:
    """All languages and scripts that a text may hold, a few words of them included."""
    found = {language for language, n in _small_words(text).items() if n >= 2}
    return found | {script for script, n in _scripts(text).items() if script != "latin" and n >= 2}


def _small_words(text: str) -> Counter[str]:
    return Counter(LANGUAGE_OF[word] for word in WORD.findall(text.lower()) if word in LANGUAGE_OF)


def _scripts(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character, n in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += n
    return counts


@lru_cache(maxsize=65_536)
def _script(character: str) -> str:
    first = name(character, "LATIN").split(" ", 1)[0].split("-", 1)[0]  # CJK UNIFIED IDEOGRAPH-4E00, HIRAGANA LETTER A
    return {"CJK": "han", "HIRAGANA": "japanese", "KATAKANA": "japanese"}.get(first, first.lower())
