"""The commands, as a user runs them."""

import gzip
import json
import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG
from typer.testing import CliRunner

from slm_pipeline.cli import app
from slm_pipeline.instance import open_instance, process_tags, recover_dead_runs
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.test_web_server import free_port


def slm(*arguments):
    return CliRunner().invoke(app, list(arguments))


def line(name):
    response = {"model": "teacher", "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
    call = {"id": name, "timestamp": time.time(), "agent": "a", "session_id": name, "client_id": "c", "response": response}
    return json.dumps(call | {"request": {"model": "teacher", "messages": [{"role": "user", "content": "?"}]}})


def test_help_is_instant_for_it_imports_nothing_heavy():
    script = "import sys, slm_pipeline.cli; print(*{'dagster', 'pandas', 'mlflow', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() == []


def test_import_keeps_good_lines_and_names_bad_ones(home):
    file = home / "calls.jsonl"
    file.write_text("\n".join([line("1"), "{broken", line("2"), json.dumps({"id": "3"})]) + "\n")
    result = slm("import", str(file))
    assert result.exit_code == 1
    assert "calls.jsonl:2:" in result.output
    assert "calls.jsonl:4:" in result.output
    assert "2 added" in result.output
    assert CallLog(get_settings(), Role.PIPELINE).cursor() == 2


def test_importing_a_file_twice_adds_nothing(home):
    file = home / "calls.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(line, "abc")).encode()))
    assert slm("import", str(file)).exit_code == 0
    again = slm("import", str(file))
    assert again.exit_code == 0
    assert "0 added, 3 known already" in again.output


def test_many_bad_lines_are_counted_not_listed(home):
    file = home / "calls.jsonl"
    file.write_text(line("1") + "\n" + "{broken\n" * 50)
    result = slm("import", str(file))
    assert "30 more bad lines" in result.output
    assert "50 records could not be read" in result.output


def test_running_an_empty_log_says_what_to_do(home):
    result = slm("run")
    assert result.exit_code == 1
    assert "slm import" in result.output


def test_status_of_an_empty_home_prints_what_is_missing(home, monkeypatch):
    for name in ("SLM_DAGSTER_PORT", "SLM_MLFLOW_PORT"):  # another checkout's servers may run at the default ports
        monkeypatch.setenv(name, str(free_port()))
    result = slm("status")
    assert result.exit_code == 0, result.output
    assert "slm run" in result.output
    assert "slm up" in result.output


def test_an_unknown_bench_lists_the_known_ones(home):
    result = slm("bench", "nothing")
    assert result.exit_code == 1
    assert "nothing" in result.output


@pytest.fixture
def instance(home):
    with open_instance(get_settings()) as instance:
        yield instance


def started_run(instance, tags):
    run = dg.DagsterRun(job_name="retrain_group", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    return run


def test_a_run_whose_process_was_killed_ends_and_gives_its_slot_back(instance):
    script = "import json; from slm_pipeline.instance import process_tags; print(json.dumps(process_tags()))"
    dead = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    run = started_run(instance, dead)
    instance.event_log_storage.initialize_concurrency_limit_to_default("training")
    claim = instance.event_log_storage.claim_concurrency_slot("training", run.run_id, "adapter")
    assert claim.is_claimed
    assert recover_dead_runs(instance) == [run.run_id]
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("training").active_slot_count == 0


def test_a_run_whose_pid_belongs_to_another_process_now_ends_too(instance):
    run = started_run(instance, {"slm/pid": str(os.getpid()), "slm/process_started": "0"})
    assert recover_dead_runs(instance) == [run.run_id]


def test_a_run_of_a_lost_code_server_ends(instance):
    run = started_run(instance, {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": 1})})
    assert recover_dead_runs(instance) == [run.run_id]


def test_a_living_run_is_left_alone(instance):
    run = started_run(instance, process_tags())
    assert recover_dead_runs(instance) == []
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED


def test_releases_are_listed_promoted_rolled_back_and_compared(home):
    from slm_pipeline.lake import Lake
    from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout

    assert "No release was made yet" in slm("release", "list").stdout
    assert "nothing to promote" in slm("release", "promote").stderr
    lake = Lake(str(home / "lake"))
    certificates = {"group": {"told": "cannot certify 10%: all to LLM", "label": "fidelity", "sessions": 40}}
    group = {"adapter": "a", "version": "1", "base": "b", "certificates": certificates, "gold": []}
    names = [
        lake.write("s6_refine/release", None, {"release": {"clusters": "c", "groups": groups}}, keep_old=True).digest
        for groups in ({"weather": group}, {"weather": group | {"adapter": "z", "version": "2"}})
    ]
    write_rollout(lake, read_rollout(lake).offered(names[0]).promoted().promoted().offered(names[1]))
    listed = slm("release", "list").stdout
    assert "weather: cannot certify 10%: all to LLM (fidelity)" in listed
    assert "as shadow" in listed
    slm("release", "promote")
    assert read_rollout(lake).stage == "canary"
    assert "worse" in slm("release", "rollback", "--reason", "worse").stdout
    assert read_rollout(lake).serving == names[0]
    assert "v1 on b, then v2 on b" in slm("release", "diff", names[0][:6], names[1][:6]).stdout
    assert "0 releases begin with" in slm("release", "diff", "nothing", names[1]).stderr
