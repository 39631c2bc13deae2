"""A home with a release that serves: a tiny adapter whose answers are all believed, so that what the gateway makes of them can be seen."""

import gzip
import io
import json
import time
from pathlib import Path

import httpx2
from rich.console import Console

from slm_pipeline.lake import Lake
from slm_pipeline.settings import Settings, get_settings
from slm_pipeline_tests.tiny import make_tiny_base, tool_calls

BELIEVED = -2.0
"""A threshold below every score."""
LOADED = 60  # seconds that an engine may take to start


def make_release(home: Path) -> str:
    """Import, train, promote and release; the environment names the home. Returns the release's name, which serves."""
    from slm_pipeline.imports import import_file
    from slm_pipeline.resources import tracking
    from slm_pipeline.run import Loop
    from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout
    from slm_pipeline_tests.test_whole_loop import run

    make_tiny_base(home)
    file = home / "calls.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines()).encode()))
    import_file(file, get_settings(), Console(file=io.StringIO()))
    run()
    settings = get_settings()
    lake = Lake(settings.lake)
    (group,) = lake.partitions("s5_finetune/adapter")
    tracking.promote(settings, group, "1")
    loop = _loop(Loop, settings, lake)
    loop.execute("retrain_group", ["router_model"], partition=group)
    loop.execute("report", ["release"])
    name = believe(lake, read_rollout(lake).candidate)
    write_rollout(lake, read_rollout(lake).offered(name).promoted().promoted())
    return name


def lines() -> list[str]:
    """The traffic: a random model's arguments would never end, so their values are a few words."""
    calls = [json.loads(line) for line in tool_calls()]
    for call in calls:
        for tool in call["request"]["tools"]:
            for value in tool["function"]["parameters"]["properties"].values():
                value["enum"] = ["Rome", "Oslo", "Lima", "Cairo", "Quito", "Seoul", "Paris", "Delhi"]
    return [json.dumps(call) for call in calls]


def believe(lake: Lake, release: str) -> str:
    """The same release, in which every answer that fits its schema is served."""
    from slm_pipeline.s6_refine.release import RELEASE

    written = lake.version(RELEASE, None, release)
    facts = written.json("release")
    for of in facts["groups"].values():
        of["worth"] = 0.0
        for task in of["tasks"].values():
            task["threshold"] = BELIEVED
    return rewritten(lake, written, {"release": facts})


def rewritten(lake: Lake, written, changes: dict) -> str:
    """A release with other contents."""
    from slm_pipeline.s6_refine.release import RELEASE

    kept = {name: written.bytes(name) for name in written.files if name.removesuffix(".json") not in changes}
    return lake.write(RELEASE, None, kept | changes, keep_old=True).digest


def request(text="weather in Rome number 7", **more):
    """A call that the release's adapter was trained for."""
    return json.loads(lines()[0])["request"] | {"messages": [{"role": "user", "content": text}]} | more


def _loop(loop, settings: Settings, lake: Lake):
    from slm_pipeline.definitions import defs
    from slm_pipeline.instance import open_instance

    return loop(settings, lake, open_instance(settings), defs)


def post(gateway, body, path="/v1/chat/completions"):
    return httpx2.post(gateway.url + path, json=body, timeout=60)


def until_served(gateway, route="slm"):
    deadline = time.monotonic() + LOADED
    while (answer := post(gateway, request())).headers["x-slm-route"] != route:
        assert time.monotonic() < deadline, (Path(gateway.settings.home) / "gateway.out").read_text()[-3000:]
        time.sleep(0.3)
    return answer


def newest(gateway):
    return gateway.calls()[-1]


def engine_of(gateway) -> int:
    """The process id of the gateway's engine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command, parent = (folder / "cmdline").read_bytes(), (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if b"llama_process" in command and int(parent) == gateway.process.pid:
                return int(folder.name)
    raise AssertionError("no engine runs")
