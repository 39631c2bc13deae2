"""Who calls: client, agent and session, from an API key and a few headers. Keys and addresses are kept as pseudonyms only."""

import ipaddress
import re
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from slm_pipeline.gateway.errors import CallError
from slm_pipeline.records import Json
from slm_pipeline.s1_collect import api_keys
from slm_pipeline.s1_collect.api_keys import ApiKey, KeyRole
from slm_pipeline.s1_collect.call_log import CallLog

MAX_NAME = 200  # characters of a name in a header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_MAY = {
    "call": {KeyRole.AGENT, KeyRole.ADMIN},
    "feedback": {KeyRole.AGENT, KeyRole.ADMIN},
    "metrics": {KeyRole.MONITOR, KeyRole.ADMIN},
}

Headers = dict[str, str]


@dataclass(frozen=True)
class Caller:
    """`credentials` are the client's own for the upstream, as headers: without API keys of ours, whatever key comes is the upstream's."""

    client_id: str
    agent: str
    origin: Json
    credentials: Headers = field(default_factory=dict)
    key: ApiKey | None = None


class Identity:
    """Knows the API keys of the log, as of the last `refresh`. Without any, the gateway is open to this machine."""

    def __init__(self, log: CallLog):
        self._log, self._pseudonym = log, log.database.keyring.pseudonym
        self._keys: dict[bytes, ApiKey] = {}
        self._used: Counter[bytes] = Counter()
        self.refresh()

    @property
    def open(self) -> bool:
        return not self._keys

    def refresh(self) -> None:
        """Read keys and today's tokens from the log; blocks."""
        self._keys = {key.ref: key for key in api_keys.listed(self._log.database)}
        if any(key.tokens_per_day is not None for key in self._keys.values()):
            self._used = Counter(self._log.tokens_of_day(datetime.now(UTC).date().isoformat()))

    def caller(self, headers: Headers, address: str | None, action: str) -> Caller:
        """Who makes this request. Raises CallError if they may not: 401, 403, or 429 over budget."""
        token = headers.get("x-api-key") or _token(headers.get("authorization", ""))
        ref = self._pseudonym("api key", token) if token else None
        origin = {"ip": self._pseudonym("ip", address).hex()} if address else {}
        if ref:
            origin["api_key"] = ref.hex()
        named = headers.get("x-slm-agent", "")[:MAX_NAME].strip()
        if self.open:
            _require_local(headers)
            short = ref.hex()[:12] if ref else "local"
            return Caller(f"key-{short}" if ref else short, named or (f"agent-{short}" if ref else short), origin, _credentials(headers))
        key = self._keys.get(ref) if ref else None
        if key is None:
            raise CallError(401, "A valid API key of this gateway is needed; `slm keys add CLIENT` makes one.", "invalid_api_key")
        if key.role not in _MAY[action]:
            raise CallError(403, f"An API key of role {key.role} may not do this.", "forbidden")
        if action == "call" and key.tokens_per_day is not None and self._used[key.ref] >= key.tokens_per_day:
            message = f"The budget of this API key, {key.tokens_per_day:,} tokens a day (UTC), is used up."
            raise CallError(429, message, "budget_exceeded")
        agent = named or key.agent or f"agent-{self._pseudonym('client', key.client_id).hex()[:12]}"
        return Caller(key.client_id, agent, origin, key=key)

    def spend(self, caller: Caller, tokens: int) -> None:
        """Count tokens against the caller's budget until the log has them."""
        if caller.key is not None:
            self._used[caller.key.ref] += tokens


def session_of(headers: Headers) -> str | None:
    """The session that the headers name: `x-slm-session`, or the trace that the call is part of (W3C Trace Context, section 3.2)."""
    if named := headers.get("x-slm-session", "")[:MAX_NAME].strip():
        return named
    traced = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    return f"trace-{traced[1]}" if traced and set(traced[1]) != {"0"} else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and no other."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(authorization: str) -> str | None:
    """The key in the header: a bearer's, or the password that a browser was told (RFC 7617)."""
    if authorization.startswith("Basic "):
        try:
            return b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")[2] or None
        except ValueError:
            return None
    return authorization.removeprefix("Bearer ").strip() or None


def _credentials(headers: Headers) -> Headers:
    return {name: headers[name] for name in ("authorization", "x-api-key") if name in headers}


def _require_local(headers: Headers) -> None:
    """Without keys, a web page that a browser on this machine shows must not be able to use the gateway."""
    for name in ("host", "origin"):
        if (value := headers.get(name)) and not is_loopback(_host(value)):
            raise CallError(403, f"Without API keys only this machine is served, and the request's {name} is another.", "forbidden")


def _host(value: str) -> str:
    try:
        return urlsplit(value if "//" in value else f"//{value}").hostname or ""
    except ValueError:
        return ""
