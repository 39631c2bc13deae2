"""Rules for street addresses whose form is clear; the tagger of names finds the others, and the places around them."""

import re

from slm_pipeline.s2_curate.redact.rules import Rule, Text

NUMBER = r"[0-9]{1,5}[a-zA-Z]?(?:[\-/][0-9]{1,4}[a-zA-Z]?)?"
WORD = r"(?:\p{Lu}\.|[\p{Lu}0-9](?:[\p{L}0-9.'’\-]*[\p{L}0-9])?)"
SMALL = r"(?:de|del|de la|de las|de los|du|des|da|do|dos|das|di|la|le|les|el|van|von|der|den|of|the|y|e|in|op|az|dr\.)"
_AFTER = (
    "street avenue road lane drive boulevard court place square terrace highway parkway circle crescent close trail loop alley "
    "st ave rd ln dr blvd ct pl sq hwy pkwy cir ter"
)
_FRENCH = "rue avenue boulevard place allée impasse chemin quai cours"
_BEFORE = (
    r"via viale piazza corso largo vicolo calle avenida avda\.? av\. plaza paseo camino carrer carretera ctra\.? rua travessa praça r\. "
    r"ulica ul\. aleja al\. os\. strada str\. bulevardul улица ул\. проспект οδός"
)
_COMPOUNDS = (
    r"straße strasse str\. gasse weg allee platz ufer ring damm laan straat plein gracht kade dijk singel gatan gata vägen väg veien vegen "
    "veg vei bakken gate gaten vej gade gård katu tie polku kuja stræti tún braut allé plads torg toppen marken"
)
AFTER, FRENCH, COMPOUNDS = _AFTER.split(), _FRENCH.split(), _COMPOUNDS.split()
BEFORE = [*FRENCH, *_BEFORE.split()]
APARTMENT = r"(?i:apt\.?|apartment|suite|ste\.|unit|appartement|piso|bte|flat) ?(?:#|no\.? ?)?[0-9]{1,5}[A-Za-z]?\b"
TAIL = rf"(?:,? {{0,2}}\n? {{0,2}}{APARTMENT})?"
POST = (
    r"(?i:p\. ?o\. ?box|po box|post office box|postbus|postfach|bo[iî]te postale|apartado(?: postal)?|casilla|caixa postal"
    r"|skrytka pocztowa)"
)
MILITARY = r"(?:Unit [0-9]{1,5},? Box [0-9]{1,5}|PSC [0-9]{1,5},? Box [0-9]{1,5}|(?:USS|USNS|USNV|USCGC) [\p{L}'\-]{2,30})"
ABROAD = r"\s{0,2}[\n,]?\s{0,2}(?:DPO|APO|FPO),? A[AEP]\s{1,2}[0-9]{5}"
SHORT = ("apt", "suite", "ste.", "apartment", "appartement", "flat")


def _has_word(text: Text, start: int, end: int) -> bool:
    """Not "3 St" alone or a count of squares: a named street, written out."""
    return len(re.findall(r"[^\W\d_]{3,}", text[start:end])) >= 1 and not re.search(r"[\w.]\Z", text[max(0, start - 1) : start])


def _either(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


RULES = (
    Rule("ADDRESS", rf"(?i:{MILITARY}{ABROAD})", needs=("apo", "fpo", "dpo"), digits=1),
    Rule(
        "ADDRESS", rf"(?:\b{NUMBER} )?{POST} ?#? ?[0-9]{{1,6}}{TAIL}", needs=("box", "post", "apartado", "casilla", "caixa", "bo"), digits=1
    ),
    Rule(
        "ADDRESS",
        rf"\b{NUMBER}(?: {NUMBER})?,? (?:{WORD} |{SMALL} ){{1,5}}(?:(?i:{_either(AFTER)}))\b\.?{TAIL}",
        _has_word,
        needs=tuple(f" {word}" for word in AFTER),
        digits=1,
    ),
    Rule(
        "ADDRESS",
        rf"(?:\b{NUMBER},? )?(?:{NUMBER},? )?\b(?:(?i:{_either(BEFORE)})) (?:{WORD},? |{SMALL} |[dl]['’]{WORD} ){{1,5}}"
        rf"(?:n[°º.]? ?)?{NUMBER}\b{TAIL}",
        _has_word,
        needs=tuple(word.replace("\\", "").replace(".?", "") + " " * ("?" not in word) for word in BEFORE),
        digits=1,
    ),
    Rule(
        "ADDRESS",
        rf"\b{NUMBER},? (?:{NUMBER},? )?(?:(?i:{_either(FRENCH)})) (?:{SMALL} |[dl]['’])*{WORD}(?: {WORD}){{0,3}}{TAIL}",
        _has_word,
        needs=tuple(f"{word} " for word in FRENCH),
        digits=1,
    ),
    Rule(
        "ADDRESS",
        rf"(?:\b{NUMBER} )?(?:{WORD} ){{0,3}}\p{{Lu}}[\p{{L}}'’\-]{{2,30}}(?i:{_either(COMPOUNDS)}) {NUMBER}\b{TAIL}",
        _has_word,
        needs=tuple(word.replace("\\", "") + " " for word in COMPOUNDS),
        digits=1,
    ),
    Rule(
        "ADDRESS",
        APARTMENT.replace("|unit", ""),
        lambda text, start, end: not re.search(r"\w\Z", text[max(0, start - 1) : start]),
        needs=SHORT,
        digits=1,
    ),
)
