"""`slm bench gateway`: what the gateway adds to a call, beside what another gateway adds, on a model server that only waits.

Server, gateway and peer are processes of their own on loopback; the log is on. A pair is one call straight to the server and
one through a gateway, sent alternately at a fixed rate whether or not earlier ones were answered; added latency is the
difference within pairs. Gateway and peer take turns (A B A B), so that a noisy minute meets both.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import psutil

from slm_pipeline.bench._processes import running
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings, Upstream
from slm_pipeline.up import free_port

DELAY = 0.02  # seconds that the model server waits
RATE, TURN_SECONDS, TURNS = 100, 10, 2
PEER_RATE = 25
STREAM_SECONDS = 10
LOAD_RATE, LOAD_SECONDS = 500, 30
WARM_UP_SECONDS = 2
_ASKED = {
    "model": "mock",
    "messages": [{"role": "system", "content": "Be brief. " * 60}, {"role": "user", "content": "How are you? " * 20}],
}
BODY, _STREAM = orjson.dumps(_ASKED), orjson.dumps(_ASKED | {"stream": True})


@dataclass
class Timed:
    """Seconds by request, in the order of sending (nan: it failed), and what went wrong."""

    seconds: np.ndarray
    errors: list[str] = field(default_factory=list)


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `gateway`, with 95 % intervals of the quantiles; latencies in ms. `data` is not used."""
    import uvloop

    with (
        TemporaryDirectory() as folder,
        gateway_process(Path(folder)) as (direct, gateway, process),
        _peer(direct, Path(folder)) as peer,
    ):
        return uvloop.run(_measure(direct, gateway, process, peer))


async def _measure(direct: str, gateway: str, process: psutil.Process, peer: tuple[str, str] | None) -> Json:
    path = "/chat/completions"
    straight, ours = direct + path, gateway + path
    # what is measured, at which rate: the peer queues at the full one, so both are compared at one that it sustains
    sides = {"": (ours, RATE)} | ({"peer_": (peer[0], PEER_RATE), "paired_": (ours, PEER_RATE)} if peer else {})
    for url, rate in sides.values():
        await send(2 * rate, 2 * rate * WARM_UP_SECONDS, [url, straight], BODY)
    pairs: dict[str, list[np.ndarray]] = {name: [] for name in sides}
    errors = dict.fromkeys(sides, 0)
    for _ in range(TURNS):
        for name, (url, rate) in sides.items():
            through, alone = await send(2 * rate, 2 * rate * TURN_SECONDS, [url, straight], BODY)
            pairs[name].append(through.seconds - alone.seconds)
            errors[name] += len(through.errors)
    through, alone = await send(RATE, RATE * STREAM_SECONDS, [ours, straight], _STREAM, first_byte=True)
    before, began = process.memory_info().rss, time.perf_counter()
    (load,) = await send(LOAD_RATE, LOAD_RATE * LOAD_SECONDS, [ours], BODY)
    took = time.perf_counter() - began
    figures = {}
    for name, taken in pairs.items():
        figures |= _quantiles(f"{name}added_", np.concatenate(taken))
    return {
        **figures,
        **({"peer_rate": PEER_RATE, "peer_errors": errors["peer_"]} if peer else {"peer_added_p50_ms": None, "peer_added_p99_ms": None}),
        **_quantiles("ttfb_added_", through.seconds - alone.seconds),
        "rps": round(int(np.isfinite(load.seconds).sum()) / took, 1),
        "load_p99_ms": round(float(np.nanquantile(load.seconds, 0.99)) * 1000, 2),
        "errors": errors[""] + len(through.errors) + len(load.errors),
        "rss_growth": round(process.memory_info().rss / before - 1, 4),
        "n": RATE * TURN_SECONDS * TURNS,
        "n_paired": PEER_RATE * TURN_SECONDS * TURNS,
        "n_load": LOAD_RATE * LOAD_SECONDS,
        "seed": 0,
    }


def _quantiles(name: str, seconds: np.ndarray) -> Json:
    """The median and the 99th percentile in ms, each with its 95 % interval (bootstrap); None where nothing was answered."""
    milliseconds, rng = seconds[np.isfinite(seconds)] * 1000, np.random.default_rng(0)
    made: Json = {}
    for key, q in (("p50_ms", 0.5), ("p99_ms", 0.99)):
        if not len(milliseconds):
            made[name + key] = None
            continue
        drawn = [np.quantile(rng.choice(milliseconds, len(milliseconds)), q) for _ in range(500)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        made |= {name + key: round(float(np.quantile(milliseconds, q)), 2), f"{name}{key}_interval": [round(low, 2), round(high, 2)]}
    return made


async def send(rate: float, count: int, urls: list[str], body: bytes, first_byte: bool = False) -> list[Timed]:
    """Send `count` requests at `rate` a second, to the URLs in turn; one `Timed` for each URL."""
    import aiohttp

    timed = [Timed(np.full(count // len(urls), np.nan)) for _ in urls]

    async def one(number: int) -> None:
        url, into, place = urls[number % len(urls)], timed[number % len(urls)], number // len(urls)
        began = time.perf_counter()
        try:
            async with session.post(url, data=body) as response:
                first = await response.content.readany() if first_byte else b""
                took = time.perf_counter() - began
                content = first + await response.read()
                took = took if first_byte else time.perf_counter() - began
                if response.status != 200 or (first_byte and b"[DONE]" not in content):
                    into.errors.append(f"status {response.status}")
                    return
            into.seconds[place] = took
        except (aiohttp.ClientError, TimeoutError) as error:
            into.errors.append(type(error).__name__)

    headers, timeout = {"content-type": "application/json"}, aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=headers) as session,
        asyncio.TaskGroup() as group,
    ):
        began = time.perf_counter()
        for number in range(count):
            if (wait := began + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number))
    return timed


@contextmanager
def gateway_process(folder: Path, **environment: str) -> Iterator[tuple[str, str, psutil.Process]]:
    """A waiting model server, and a gateway in front of it with its state in `folder`; yields both base URLs and the gateway's process."""
    upstream_port, port = free_port("127.0.0.1"), free_port("127.0.0.1")
    upstream = Upstream(name="mock", base_url=f"http://127.0.0.1:{upstream_port}/v1", stream_usage=False)
    variables = {
        "SLM_HOME": str(folder / "data"),
        "SLM_KEYS": str(folder / "keys"),
        "SLM_LOG_URL": "",
        "SLM_GATEWAY_HOST": "127.0.0.1",
        "SLM_GATEWAY_PORT": str(port),
        "SLM_UPSTREAMS": f"[{upstream.model_dump_json()}]",
        **environment,
    }
    server = ["-m", "slm_pipeline.bench._mock_upstream", str(upstream_port), str(DELAY)]
    with (
        running(server, f"http://127.0.0.1:{upstream_port}/", {}),
        running(["-m", "slm_pipeline.cli", "serve"], f"http://127.0.0.1:{port}/healthz", variables) as process,
    ):
        yield upstream.base_url, f"http://127.0.0.1:{port}/v1", psutil.Process(process.pid)


@contextmanager
def _peer(upstream: str, folder: Path) -> Iterator[tuple[str, str] | None]:
    """The peer's URL and model; None, with the reason, where it cannot start."""
    from slm_pipeline.bench._mlflow_gateway import mlflow_gateway

    with ExitStack() as started:
        try:
            peer = started.enter_context(mlflow_gateway(upstream, folder / "peer"))
        except RuntimeError as error:
            print(f"No peer to compare with: {error}", file=sys.stderr)
            peer = None
        yield peer
