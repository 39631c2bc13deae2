"""The commands that look after the log: keys, erasure, audit."""

import re

import pytest

from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect.calls import call
from slm_pipeline_tests.test_cli import slm


@pytest.fixture
def log(home, monkeypatch):
    """A log with five calls, two of them a client's that is to be forgotten; its master key lies in `home`."""
    monkeypatch.setenv("SLM_KEYS", str(home / "keys"))
    collector = CallLog(get_settings(), Role.COLLECTOR)
    collector.append(call(n, client_id="forget me" if n % 2 else "keep me") for n in range(5))
    return CallLog(get_settings(), Role.PIPELINE)


def clients(log):
    return sorted(c.client_id for day in log.days() for c in log.read(day))


def test_a_key_is_made_listed_without_itself_and_removed(log):
    key = slm("keys", "add", "acme", "--agent", "support", "--tokens-per-day", "5000").output.splitlines()[-1]
    assert re.fullmatch(r"slm-[\w-]{40,}", key)
    listed = slm("keys", "list").output
    assert "acme" in listed
    assert "5,000" in listed
    assert key not in listed
    assert "1 API key removed" in slm("keys", "remove", key[-4:]).output
    assert "acme" not in slm("keys", "list").output
    assert slm("keys", "remove", key).exit_code == 1


def test_a_key_of_an_unknown_role_names_the_roles(log):
    result = slm("keys", "add", "acme", "--role", "king")
    assert result.exit_code == 1
    assert "agent, monitor, admin" in result.output


def test_the_master_key_is_changed_and_the_log_reads_on(log, home):
    (file,) = (home / "keys").iterdir()
    before = file.read_text()
    result = slm("keys", "rotate")
    assert result.exit_code == 0
    assert str(file) in result.output.replace("\n", "")
    assert file.read_text() != before
    assert before.strip() not in file.read_text()
    assert len(clients(CallLog(get_settings(), Role.PIPELINE))) == 5


def test_a_client_is_erased_and_the_others_stay(log):
    result = slm("erase", "--client", "forget me")
    assert result.exit_code == 0, result.output
    assert "2 calls erased" in result.output
    assert clients(CallLog(get_settings(), Role.PIPELINE)) == ["keep me"] * 3
    again = slm("erase", "--client", "forget me")
    assert again.exit_code == 1
    assert "no client" in again.output


def test_erasing_needs_to_know_what(log):
    for arguments in ([], ["--client", "a", "--older-than", "3"]):
        assert slm("erase", *arguments).exit_code == 1
    assert clients(log)


def test_old_calls_are_deleted_by_age(log):
    assert "0 calls deleted" in slm("erase", "--older-than", "36500").output
    assert "5 calls deleted" in slm("erase", "--older-than", "1").output
    assert log.days() == []


def test_the_trail_is_shown_and_verified(log):
    clients(log)
    shown = slm("audit", "show").output
    assert "log created" in shown
    assert "day read" in shown
    verified = slm("audit", "verify")
    assert verified.exit_code == 0
    head = verified.output.rsplit("Head: ", 1)[1].strip()
    assert slm("audit", "verify", "--head", head).exit_code == 0
    wrong = slm("audit", "verify", "--head", "1:00")
    assert wrong.exit_code == 1
    assert "older state" in wrong.output


@pytest.mark.parametrize("command", [["status"], ["run"], ["keys", "list"], ["audit", "verify"], ["erase", "--client", "x"]])
def test_without_the_master_key_every_command_says_where_it_should_be(log, home, command):
    (file,) = (home / "keys").iterdir()
    file.unlink()
    result = slm(*command)
    assert result.exit_code == 1
    assert str(file) in result.output.replace("\n", "")
    assert "Traceback" not in result.output
