"""Releases come and go while the gateway answers."""

import time

from slm_pipeline.s6_refine.release import RELEASE, adapter_files
from slm_pipeline.s6_refine.rollout import Rollout, write_rollout
from slm_pipeline_tests.gateway.released import newest, post, request, rewritten

ADAPTER = "s5_finetune/adapter"


def with_group(lake, release, **changes):
    """The same release with other facts of its group."""
    written = lake.version(RELEASE, None, release)
    facts = written.json("release")
    (group,) = facts["groups"]
    facts["groups"][group] |= changes
    return rewritten(lake, written, {"release": facts})


def with_adapter(lake, release, files):
    """The same release with another adapter, of the same files but for `files`: another engine."""
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    adapter = adapter_files(facts, group, lake)
    kept = {name: adapter.json("training") if name == "training.json" else adapter.bytes(name) for name in adapter.files}
    kept = {name.removesuffix(".json") if name == "training.json" else name: content for name, content in kept.items()}
    kept["training"] |= {"note": sorted(files)}
    return with_group(lake, release, adapter=lake.write(ADAPTER, group, kept | files, keep_old=True).digest)


def until(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_release_whose_engine_cannot_start_leaves_the_old_one_in_service(served):
    gateway, lake, release = served
    broken = with_adapter(lake, release, {"adapter.gguf": b"GGUF is not this"})
    write_rollout(lake, Rollout(serving=broken, previous=release))
    until(lambda: "cannot be started" in (gateway.settings.home / "gateway.out").read_text())
    for _ in range(5):
        assert post(gateway, request()).headers["x-slm-route"] == "slm"
    assert newest(gateway).route.release == release
