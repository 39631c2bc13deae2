"""The whole loop on a tiny random model: import, run, run again, replay, retrain on the failures."""

import gzip
import io
import json

import pytest
from rich.console import Console

from slm_pipeline.lake import Lake
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base, tool_calls

ADAPTER, ATTEMPT, EXAMPLES, REPORT = "s5_finetune/adapter", "s5_finetune/attempt", "s3_cluster/task_examples", "s6_refine/eval_report"
SETTINGS = {
    "SLM_BASE_MODELS": json.dumps([NAME]),
    "SLM_EPOCHS": "1",
    "SLM_LORA_RANK": "2",
    "SLM_PROBE_EXAMPLES": "2",
    "SLM_MAX_ANSWER_TOKENS": "64",
    "SLM_BASE_PROMPT_TOKENS": "512",
    "SLM_BOOTSTRAP_SAMPLES": "200",
    "SLM_MIN_GROUP_CALLS": "10",
    "SLM_MIN_TEST_CALLS": "5",
    "SLM_LM_EVAL_LIMIT": "2",
    "SLM_GENERAL_ITEMS": "4",
    "SLM_FAILURE_THRESHOLD": "3",
}


@pytest.fixture
def loop(home, monkeypatch):
    """A log with traffic and a tiny base."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    file = home / "calls.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(tool_calls()).encode()))
    _import(file)
    return file


def _import(file):
    from slm_pipeline.imports import import_file

    return import_file(file, get_settings(), Console(file=io.StringIO()))


def run() -> str:
    from slm_pipeline.run import run_loop

    console = Console(file=io.StringIO(), width=200)
    run_loop(get_settings(), console)
    return console.file.getvalue()


def digests(lake: Lake) -> dict[str, str]:
    """The digest of every artefact in the lake, by its folder; but for `attempt`, which names the MLflow run that made an adapter."""
    pointers = (p for p in lake.fs.glob(f"{lake.root}/*/*/*/current.json") if ATTEMPT not in p)
    return {pointer.removeprefix(lake.root): json.loads(lake.fs.cat_file(pointer))["digest"] for pointer in pointers}


def test_the_loop_closes(loop):
    from slm_pipeline.automation.state import failure_totals, failures_seen
    from slm_pipeline.resources import tracking
    from slm_pipeline.s6_refine.replay import replay_file

    settings = get_settings()
    lake = Lake(settings.lake)

    printed = run()
    (group,) = lake.partitions(ADAPTER)
    report = lake.read(REPORT, group).json("report")
    assert group in printed
    assert report["gate"]["passed"] is False, "a random model with hardly any training must not be promoted"
    assert tracking.champion(settings, group) is None
    assert lake.read("s6_refine/release") is None, "without a champion there is nothing to serve"
    assert tracking.challenger(settings, group).version == "1"
    examples = lake.read(EXAMPLES, group).table("examples")
    assert report["n"] == (examples["split"] == "test").sum() >= 5

    before, adapter = digests(lake), lake.read(ADAPTER, group)
    run()
    assert digests(lake) == before, "a second run on the same input changed something"
    assert tracking.challenger(settings, group).version == "1"

    tracking.promote(settings, group, "1")
    summary = replay_file(loop, settings)
    assert summary.failed.total() == summary.asked == 60, "a random model answers nothing rightly"
    assert replay_file(loop, settings).logged == 0, "a second replay of the same calls to the same champion"
    run()
    training = examples[examples["split"] == "train"]
    assert failure_totals(lake)[group] == failures_seen(lake)[group] == len(training)
    trained = lake.read(ADAPTER, group).json("training")
    assert trained["failures_seen"] == len(training)
    assert trained["dataset_digest"] != lake.version(ADAPTER, group, adapter.digest).json("training")["dataset_digest"]
    newest = lake.read(REPORT, group).json("report")
    assert newest["champion"]["version"] == "1"
    assert newest["adapter"]["version"] == "2"
    release = lake.read("s6_refine/release").json("release")
    assert release["groups"][group]["version"] == "1", "a release serves the champion, not what waits for the gate"
    assert release["groups"][group]["certificates"]["group"]["threshold"] is None, "a random model must not be certified"
    assert not any(task["gold"] or task["threshold"] is not None for task in release["groups"][group]["tasks"].values())
    assert newest["n"] == report["n"], "failures were picked because they failed: they must not enter the test split"


def test_an_empty_lake_gives_the_same_again(loop, tmp_path, monkeypatch):
    run()
    first = Lake(get_settings().lake)
    monkeypatch.setenv("SLM_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("SLM_DAGSTER_HOME", str(tmp_path / "other-dagster"))
    make_tiny_base(tmp_path / "other")
    _import(loop)
    run()
    second = Lake(get_settings().lake)
    assert first.root != second.root
    assert digests(first) == digests(second)
    (group,) = second.partitions(ADAPTER)
    one, other = (lake.read(ADAPTER, group).bytes("adapter_model.safetensors") for lake in (first, second))
    assert one == other


def test_what_an_slm_served_is_no_target(loop):
    """Calls that an SLM answered, with other words than the teacher: none of these words reach a training set."""
    served = []
    for line in tool_calls():
        call = json.loads(line)
        call["id"] = "served-" + call["id"]
        call["response"]["choices"][0]["message"] = {"role": "assistant", "content": "poison"}
        call["route"] = {"served_by": "slm", "group": "any", "attempts": []}
        served.append(json.dumps(call))
    file = loop.with_name("served.jsonl")
    file.write_text("\n".join(served))
    assert _import(file)[0].added == 60
    run()
    lake = Lake(get_settings().lake)
    (group,) = lake.partitions(EXAMPLES)
    examples = lake.read(EXAMPLES, group).table("examples")
    assert len(examples)
    assert not examples["answer"].str.contains("poison").any()
    assert not any(id.startswith("served-") for id in examples["id"])


def test_a_new_kind_of_call_becomes_a_partition_and_gets_an_adapter(loop):
    """A second agent begins to call: at first too seldom to be trained for, then often enough. The first one's adapter stays."""
    from slm_pipeline.definitions import defs
    from slm_pipeline.instance import open_instance
    from slm_pipeline.partitions import groups as known_groups
    from slm_pipeline.run import Loop
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role

    run()
    settings, lake = get_settings(), Lake(get_settings().lake)
    (first,) = lake.partitions(ADAPTER)
    adapter = lake.read(ADAPTER, first).digest
    stages = Loop(settings, lake, open_instance(settings), defs)

    def night(calls):
        """What sensors and schedules do once a day, and on Sunday for each group."""
        file = loop.with_name("orders.jsonl")
        file.write_text("\n".join(calls))
        _import(file)
        days = CallLog(settings, Role.PIPELINE).days()
        span = (days[0], days[-1])
        stages.execute("refresh_days", ["raw_calls", "curated_calls"], days=span)
        stages.execute("recluster")
        stages.execute("refresh_days", ["task_assignments"], days=span)
        return set(stages.instance.get_dynamic_partitions(known_groups.name))

    orders = [order(i) for i in range(60)]
    assert night(orders[:2]) == {first}
    groups = night(orders)
    (new,) = groups - {first}
    assert first in groups
    stages.execute("retrain_group", ["task_examples", "selected_base", "adapter"], partition=new)
    assert lake.read(ADAPTER, new).json("training")["examples"] >= settings.min_group_calls
    assert lake.read(ADAPTER, first).digest == adapter


def order(i: int) -> str:
    """A call of another agent, which asks for a word instead of a tool."""
    asked = [
        {"role": "system", "content": "Say the state of the order: open, sent or paid."},
        {"role": "user", "content": f"order {i}"},
    ]
    said = {"role": "assistant", "content": ("open", "sent", "paid")[i % 3]}
    call = {"id": f"order-{i}", "timestamp": 1_791_200_000 + i * 600, "agent": "order-agent", "session_id": f"order-session-{i}"}
    response = {"model": "teacher", "choices": [{"index": 0, "finish_reason": "stop", "message": said}]}
    return json.dumps(call | {"client_id": "client", "request": {"model": "teacher", "messages": asked}, "response": response})
