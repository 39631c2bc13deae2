"""What an English prompt says about itself: the role that it gives the model, the duties that it states, the label of the answer."""

import re
from typing import NamedTuple

STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are as at be but by can could do does for from has have he her his how i if in into is it its may me more
        must my need no not of on only or our out shall should so such than that the their them then there these they this
        those to too up us use used using was we were what don doesn isn won didn when where which who will with would you
        your here following given below above each any all also etc example examples input output role notice please system
        user now new one ones per via
        """,
    )
)
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
        abstract adapt add adjust analyse analyze annotate answer apply arrange ask assess assign assist book break build
        calculate categorise categorize check choose classify clean collect combine comment compare compile complete compose
        compute condense continue convert correct count create critique debug decide decompose define deliver describe design
        detect determine develop diagnose differentiate divide document draft draw edit estimate evaluate examine execute
        expand explain explore express extract fill filter find fix format formulate gather generate give grade greet group
        guess guide handle help highlight identify implement improve infer inspect integrate interpret invent invite judge
        label list locate make manage map match merge modify monitor name negotiate normalise normalize offer optimise
        optimize order organise organize outline paint paraphrase parse perform pick plan play predict prepare price
        prioritise prioritize process produce proofread propose prove provide put query rank rate read reason recommend redact
        refactor refine reformat remind remove repair rephrase replace reply report research resolve respond restructure
        retrieve return review revise reword rework rewrite route schedule score search select separate shorten show simplify
        simulate sketch solve sort split state structure suggest summarise summarize support tag teach tell test think
        transcribe transform translate turn update validate verify weigh write
        """,
    )
)
GENERIC = frozenset(
    re.findall(
        r"\w+",
        """
        ai artificial intelligence language model large assistant helpful chatbot bot expert professional seasoned senior
        experienced skilled friendly polite world class highly very good great best excellent talented knowledgeable
        intelligent smart
        """,
    )
)
# what is done to these says nothing: "help the user", "answer the question", "return the result"
EMPTY = frozenset(
    re.findall(
        r"\w+",
        """
        user users goal goals task tasks question questions request requests instruction instructions step steps result
        results output answer response format content action language json achieve following rules requirement requirements
        everything something nothing it message self attention note notes info information most recent current next available
        unread free latest follows care work input data
        """,
    )
)
CUT = re.compile(
    r"\s(?:in|to|with|for|from|so|by|using|based|when|if|on|into|following|according|that|which|who|while|where|as|without|through|about|"
    r"under|including|within|because|during|before|after|at|step|named|called|titled|whose|and|or)\b|[.;:!?\n(\[{\"“<`]|\s[-–—']"
)
AGENT = re.compile(r"\b(?:[Yy]ou are|[Aa]s|#) (?:an? |the )?((?:[A-Za-z-]+ ){1,3})[Aa]gent\b")
MAKER = re.compile(r"\b[Yy]ou are (?:an? |the )?([\w ]{3,60} to [\w ]{3,40}(?:er|or))\b")  # "a prose to poetry converter"
ROLE = re.compile(
    r"\b(?:[Yy]ou(?: are|'re| will be| act as)|[Aa]ct as|[Ww]ork as|[Aa]s(?= [^,.\n]{3,60}, you)|[Rr]ole:(?: [Yy]ou are)?)(?: now)? "
    r"(?:a|an|the) "
    r"([A-Za-z][A-Za-z -]{2,60}?)(?=\s*(?:[,.;:\n(]|$|\b(?:who|that|for|with|to|in|and|named|of|at|you|whose)\b))"
)
AIM = re.compile(
    r"(?:\b(?:goal|task|job|role|duty|aim|purpose|objective|mission|responsibility)\b (?:is|will be)(?: to| that you)?|"
    r"\b(?:you (?:need|have|want|ought) to|you (?:should|must|will|can)|need you to|want you to|"
    r"(?:help|helps|assist|assists) \w+(?: \w+)? (?:to )?|"
    r"tool (?:to|for)|assistant (?:to|for)|(?:please|now|then|first|also),?))\s+",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?:^|[.!?;:]\s+|\n)[\s*>\-\d.)]*(?:You )?(?=[A-Za-z]+,? [A-Za-z])")
EASY = re.compile(r"\b(?:easy|simple|ready|able|easily) to \w+(?:,? (?:and|or) \w+)*\b")
ADJECTIVE = re.compile(
    r"(?:able|ible|ful|ive|ous|less|ical|ally|ly|ary|ised|ized|style|structured|complete|compliant|single|correct|short|concise)$"
)
CODE = re.compile(r"[\\=|<>]")
LEADING = re.compile(r"(?:to |be to |always |carefully |thoroughly )*", re.IGNORECASE)
LINKED = re.compile(r"([A-Za-z]+)\b(,? and |,? or |/|, |\s+)")
WORD = re.compile(r"[^\W\d_]{3,}")


class Duty(NamedTuple):
    """`name`: verb and object, two to five words; `sentence`: the same at length, in the third person, from "Writes" to its end."""

    name: str
    sentence: str


def telling(text: str) -> list[str]:
    """The words of a text that say what it is about, in their order."""
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def role_of(text: str) -> str | None:
    """The role that a prompt's beginning gives the model ("airline agent"), or None for "helpful assistant" and the like."""
    if match := AGENT.search(text[:400]):
        return f"{match[1].strip().lower()} agent"
    if match := MAKER.search(text[:400]):
        return match[1].lower()
    for match in ROLE.finditer(text[:600]):
        words = [word.lower() for word in re.findall(r"[A-Za-z-]+", match[1])]
        while words and words[0] in GENERIC | STOP:
            words.pop(0)
        if words and len(words) <= 3 and not set(words) & (VERBS | STOP) and not set(words) <= GENERIC | EMPTY | {"agent", "tool"}:
            return " ".join(words)
    return None


def duties(text: str) -> list[Duty]:
    """What a prompt asks for, most telling first: what is called its goal or task, then sentences that begin with a verb."""
    stated = [match.end() for match in AIM.finditer(text[:4000])]
    bare = [match.end() for match in SENTENCE.finditer(text[:4000])]
    tail = [len(text) - 1500 + match.end() for match in SENTENCE.finditer(text[-1500:])] if len(text) > 5500 else []
    found = [duty for at in [*stated, *bare, *tail] if (duty := _duty(text[at : at + 300]))]
    first: dict[str, Duty] = {}
    for duty in found:
        first.setdefault(duty.name, duty)
    return list(first.values())


def label_of(text: str) -> str | None:
    """The label that a template ends with, where the answer follows: "possible next steps"; None if it is none of its own."""
    last = text.rstrip().rpartition("\n")[2].strip(" #*")
    words = telling(last[:-1]) if last.endswith(":") else []
    return " ".join(words) if 2 <= len(words) <= 5 and not set(words) <= EMPTY else None


def _duty(clause: str) -> Duty | None:
    clause = clause[LEADING.match(clause).end() :]
    verbs, at = [], 0
    while (match := LINKED.match(clause, at)) and (verb := _verb(match[1])):
        verbs.append(verb)
        at = match.end()
        if not match[2].strip():
            break
    if not verbs or CODE.search(clause[:60]):
        return None
    rest = EASY.sub("", clause[at:])
    thing = _object(rest)
    if not thing or set(thing) <= EMPTY:
        return None
    spoken = f"{verbs[0]} and {verbs[1]}" if len(verbs) == 2 else verbs[0]
    end = re.search(r"[.;:!?](?:\s|$)|\n", clause)
    whole = " ".join(clause[at : end.start() if end else None].split())
    sentence = f"{' and '.join(map(third_person, verbs[:2]))} {whole}"
    if len(sentence) > 110:
        sentence, end = sentence[:110].rpartition(" ")[0].rstrip(","), None
    shown = sentence if end else f"{sentence} ..."
    return Duty(f"{spoken} {' '.join(thing)}", shown[0].upper() + shown[1:])


def _object(rest: str) -> list[str]:
    """The thing itself: what follows a list of adjectives, up to the first preposition, at most three words."""
    rest = re.sub(r"^(?:if |whether |(?:in|out|up|down) (?=(?:the|an?|this|these|your|all) ))", "", rest)
    if re.match(rf"(?:{CUT.pattern})", f" {rest}"):
        return []
    cut = next((match.start() for match in CUT.finditer(f" {rest}") if telling(f" {rest}"[: match.start()])), len(rest) + 1)
    phrase = f" {rest}"[:cut]
    if "," in phrase:
        parts = [part for part in phrase.split(",") if part.strip()]
        last = parts[-1].split()[0].lower() if parts else ""
        names = re.match(r",? (?:and|or) ", f" {rest}"[cut:]) and not any(ADJECTIVE.search(part.strip()) for part in parts[:-1])
        verb = _verb(last) and not ADJECTIVE.search(last)
        # "short, plain, friendly letters" is about letters, "name, place and date" about names
        adjectives = len(parts) > 1 and not names and not verb and last not in STOP and len(parts[0].split()) <= 3
        phrase = parts[-1] if adjectives else parts[0] if parts else ""
    words = [word for word in re.findall(r"[\w'-]*\w", phrase.lower()) if word not in STOP and len(word) > 1 and not word.isdigit()]
    plain = [word for word in words if not ADJECTIVE.search(word)] or words
    return (plain[-3:] if len(plain) > 3 and "of" not in phrase.split() else plain[:3]) if plain else []


def _verb(word: str) -> str | None:
    word = word.lower()
    stems = (word, word.removesuffix("ing"), word.removesuffix("ing") + "e", word.removesuffix("s"))
    return next((stem for stem in stems if stem in VERBS), None)


def third_person(verb: str) -> str:
    """The verb as in "it writes"."""
    if re.search(r"(?:s|sh|ch|x|z|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"
