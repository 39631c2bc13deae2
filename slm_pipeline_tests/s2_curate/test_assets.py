import json
from datetime import UTC, datetime, time, timedelta

import dagster as dg
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s1_collect.assets import RAW, raw_calls
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.checks import calls_are_well_formed
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s2_curate import assets
from slm_pipeline.s2_curate.assets import CURATED, curated_calls
from slm_pipeline.s2_curate.canaries import is_chosen
from slm_pipeline.s2_curate.checks import canaries_are_redacted, nothing_personal_is_left, sessions_stay_in_one_split
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect.calls import call

FIRST = get_settings().first_day
DAYS = [(FIRST + timedelta(days=n)).isoformat() for n in range(3)]
NAMES = ("calls_are_well_formed", "canaries_are_redacted", "nothing_personal_is_left", "sessions_stay_in_one_split")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home whose log has calls on the first and the third day."""
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("SLM_CANARY_SHARE", "0.3")
    log(*range(40))
    return tmp_path


def log(*numbers):
    calls = [call(n, question=f"mail jo{n}@example.com", text=f"t{n % 30}", timestamp=midnight(2 * (n % 2))) for n in numbers]
    CallLog(get_settings(), Role.COLLECTOR).append(calls)


def midnight(days):
    return datetime.combine(FIRST + timedelta(days=days), time(), UTC).timestamp()


def run(instance, first=DAYS[0], last=DAYS[2]):
    """Materialise a range of days with all checks, as one run."""
    definitions = [raw_calls, curated_calls, calls_are_well_formed]
    definitions += [canaries_are_redacted, nothing_personal_is_left, sessions_stay_in_one_split]
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    result = dg.materialize(definitions, instance=instance, tags=tags)
    assert result.success
    return result


def digests():
    lake = Lake(get_settings().lake)
    return {(asset, day): lake.read(asset, day).digest for asset in (RAW, CURATED) for day in lake.partitions(asset)}


def test_one_run_curates_a_range_of_days(home):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(instance)
        metadata = {
            event.partition: event.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key == curated_calls.key
        }
    assert sorted(metadata) == DAYS
    assert [metadata[day]["calls"].value for day in DAYS] == [20, 0, 20]
    assert "| **kept** |" in metadata[DAYS[0]]["funnel"].value
    assert Lake(get_settings().lake).partitions(CURATED) == [DAYS[0], DAYS[2]]
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert sorted(checks) == sorted(NAMES)
    assert all(check.passed for check in checks.values())
    assert checks["sessions_stay_in_one_split"].metadata["sessions"].value == 40
    assert checks["nothing_personal_is_left"].metadata["calls"].value == 40
    key = get_settings().split_key
    chosen = [n for n in range(40) if split_of(f"s{n}", key) == "train" and is_chosen(f"c{n}", key, 0.3)]
    assert checks["canaries_are_redacted"].metadata["planted"].value == len(chosen) > 0


def test_days_whose_calls_did_not_change_are_not_curated_again(home, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance)
        before = digests()
        monkeypatch.setattr(assets, "curate_day", None)
        run(instance)
        assert digests() == before
        monkeypatch.undo()
        monkeypatch.setenv("SLM_HOME", str(home))
        log(41)
        run(instance, DAYS[2], DAYS[2])
    changed = {key for key, value in digests().items() if before[key] != value}
    assert changed == {(RAW, DAYS[2]), (CURATED, DAYS[2])}
    assert Lake(get_settings().lake).read(CURATED, DAYS[2]).json("funnel")["calls"] == 21


def test_days_curated_one_by_one_or_at_once_are_the_same(home, monkeypatch, tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance)
        at_once = digests()
        monkeypatch.setenv("SLM_LAKE_URL", str(tmp_path / "other"))
        for day in DAYS:
            run(instance, day, day)
    assert digests() == at_once


def test_the_check_sees_what_redaction_would_have_missed(home, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr("slm_pipeline.s2_curate.redact.redaction.Redaction.request", lambda self, request: request)
        result = run(instance, DAYS[0], DAYS[0])
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "nothing_personal_is_left"]
    assert not check.passed
    assert check.metadata["found"].value == {"EMAIL": 20}


def test_the_manifest_counts_without_text(home):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, DAYS[0], DAYS[0])
    manifest = Lake(get_settings().lake).read(RAW, DAYS[0]).json("manifest")
    assert (manifest["calls"], manifest["sessions"], manifest["agents"], manifest["served_by"]) == (20, 20, {"a": 20}, {"llm": 20})
    assert "@" not in json.dumps(manifest)
