"""Canaries: invented secrets planted into copies of a few training calls before redaction, so that a leak shows with certainty.

S2 must take every one out again, and no adapter trained on the curated calls may know one (Carlini et al. 2019, The Secret Sharer).
Which calls are copied, and what is planted, follows from the key: the value can be made again when an adapter is tested, and
is written nowhere.
"""

import hashlib
import hmac
import random
import string
from typing import NamedTuple

from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from slm_pipeline.records import AgentCall, Json

PREFIX = "canary-"


class Canary(NamedTuple):
    """`phrase` announces `value`, as in "my card number is 4539…"."""

    phrase: str
    value: str


def is_chosen(call_id: str, key: str, share: float) -> bool:
    """Whether a copy of this call carries a canary; true for `share` of all calls."""
    return int.from_bytes(_hash("chosen", call_id, key)[:8], "big") < share * 2**64


def canary_of(call_id: str, key: str, variant: int = 0) -> Canary:
    """The canary of a call. `variant` above 0: other values of the same kind, with which it is compared."""
    kind = random.Random(_hash("kind", call_id, key)).choice(sorted(VALUES))
    return Canary(f"my {kind} is", VALUES[kind](random.Random(_hash(f"value {variant}", call_id, key))))


def plant(call: AgentCall, key: str) -> AgentCall | None:
    """A copy of a call that says its canary, between two words of the last user message and at the end of a plain answer.

    None if there is no such message. The copy belongs to the session of the original, so it is in the same split.
    """
    messages = call.request["messages"]
    at = next((i for i in reversed(range(len(messages))) if messages[i]["role"] == "user"), None)
    text = messages[at].get("content") if at is not None else None
    if not isinstance(text, str) or " " not in text.strip():
        return None
    canary = canary_of(call.id, key)
    said = f"{canary.phrase} {canary.value}"
    gaps = [i for i, c in enumerate(text) if c == " "]
    gap = random.Random(_hash("gap", call.id, key)).choice(gaps)
    asked = messages[at] | {"content": f"{text[:gap]} ({said}){text[gap:]}"}
    request = call.request | {"messages": [*messages[:at], asked, *messages[at + 1 :]]}
    return call.model_copy(update={"id": PREFIX + call.id, "request": request, "response": _answered(call.response, said)})


def _answered(response: Json, said: str) -> Json:
    choice = response["choices"][0]
    text = choice["message"].get("content")
    if choice["message"].get("tool_calls") or not isinstance(text, str) or text.lstrip().startswith(("{", "[")):
        return response  # another argument or broken JSON would teach a wrong answer
    message = choice["message"] | {"content": f"{text} ({said})"}
    return response | {"choices": [choice | {"message": message}, *response["choices"][1:]]}


def _card(rng: random.Random) -> str:
    number = rng.choice(("4", "51", "52", "53", "54", "55"))
    number += _digits(rng, 15 - len(number))
    return number + luhn.calc_check_digit(number)


def _iban(rng: random.Random) -> str:
    account = _digits(rng, 18)
    return f"DE{mod_97_10.calc_check_digits(account + 'DE')}{account}"


def _mail(rng: random.Random) -> str:
    return f"{_letters(rng, 7)}.{_letters(rng, 9)}{_digits(rng, 3)}@{_letters(rng, 8)}.example.com"


def _digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(string.digits, k=n))


def _letters(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=n))


VALUES = {
    "api key": lambda rng: "sk-" + "".join(rng.choices(string.ascii_letters + string.digits, k=40)),
    "card number": _card,
    "e-mail address": _mail,
    "iban": _iban,
    "password": lambda rng: f"{_letters(rng, 6).capitalize()}{_digits(rng, 4)}!{_letters(rng, 4)}",
    "phone number": lambda rng: f"+1 {rng.choice((212, 415, 617, 713, 305))} {rng.randint(200, 899)} {_digits(rng, 4)}",
}


def _hash(what: str, call_id: str, key: str) -> bytes:
    return hmac.digest(key.encode(), f"canary {what}\0{call_id}".encode("utf-8", "replace"), hashlib.sha256)
