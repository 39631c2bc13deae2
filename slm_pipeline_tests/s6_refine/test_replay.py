"""Replayed calls are asked from champions, judged by the recorded answer, and logged once: as served, or as failures with both answers."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from slm_pipeline import inference
from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall, Answer, ToolCall, response_answer, response_of, target_of
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s4_select import base_models
from slm_pipeline.s6_refine import replay
from slm_pipeline.s6_refine.replay import failure_reason, replay_file
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, TOOLS, Said, call, examples

ASK = replay._ask
VERSION = AdapterVersion(GROUP, "3", "run", "1", "tiny", "adapterdigest", "lakedigest", "datasetdigest")


@dataclass
class Assigned:
    task: str | None
    group: str | None
    reason: str = ""


class Assigner:
    """Tasks by the first word of the question."""

    def __init__(self, clusters: dict):
        pass

    def assign(self, request: dict) -> Assigned:
        word = request["messages"][0]["content"].split()[0]
        known = {"weather": Assigned("weather", GROUP), "other": Assigned("other", "other-00000000")}
        return known.get(word, Assigned(None, None, "no task is near"))


def recorded(i: int, question: str, answer: Answer, **more) -> AgentCall:
    request = {"model": "llm", "messages": [{"role": "user", "content": f"{question} {i}"}], "tools": TOOLS}
    fields = {"id": f"c{i}", "timestamp": 1.0, "agent": "a", "session_id": f"s{i}", "client_id": "c", "request": request}
    return AgentCall(**(fields | {"response": response_of(answer, "llm")} | more))


def tool(city: str) -> Answer:
    return Answer(tool_calls=(ToolCall("now", {"city": city}),))


def within(days: int) -> Answer:
    """An answer without a name, which S2 would replace."""
    return Answer(tool_calls=(ToolCall("now", {"days": days}),))


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    settings = Settings(home=tmp_path)
    lake = Lake(settings.lake)
    tasks = [{"key": "weather", "tools": TOOLS}, {"key": "other", "tools": None}]
    lake.write("s3_cluster/task_clusters", None, {"clusters": {"tasks": tasks, "groups": []}})
    lake.write("s3_cluster/task_examples", GROUP, {"examples": examples(4), "tasks": TASKS})
    monkeypatch.setattr(replay, "Assigner", Assigner)
    monkeypatch.setattr(replay, "factor", lambda request, task: request["messages"])
    monkeypatch.setattr(replay, "champion", lambda settings, group: VERSION if group == GROUP else None)
    monkeypatch.setattr(replay, "_ask", lambda asked, *rest: [Said(call("now", days=1)) for _ in asked])
    return settings


def write(path: Path, calls: list[AgentCall], bad: str = "") -> Path:
    path.write_text("".join(c.to_json() + "\n" for c in calls) + bad)
    return path


def logged(settings: Settings) -> dict[str, AgentCall]:
    log = CallLog(settings, Role.ADMIN)
    return {c.request["messages"][0]["content"]: c for day in log.days() for c in log.read(day)}


def test_calls_pass_or_fail_by_the_recorded_answer(settings, tmp_path):
    calls = [recorded(1, "weather", within(1)), recorded(2, "weather", within(2), outcome={"score": 1})]
    calls += [recorded(3, "other", Answer(text="x")), recorded(4, "unheard of", Answer(text="x"))]
    calls += [recorded(5, "weather", within(1), route={"served_by": "slm"})]
    summary = replay_file(write(tmp_path / "f.jsonl", calls, "{bad\n"), settings)
    assert (summary.asked, summary.passed[GROUP], summary.failed[GROUP], summary.logged) == (2, 1, 1, 2)
    assert summary.not_asked == {"no champion in other-00000000": 1, "no task is near": 1, "no recorded LLM answer": 1}
    assert summary.reasons == {"wrong_arguments": 1}
    assert [bad.line for bad in summary.bad_lines] == [6]
    assert "2 calls asked: 1 passed, 1 failed" in str(summary)

    served, failed = logged(settings)["weather 1"], logged(settings)["weather 2"]
    assert served.served_by_slm
    assert response_answer(served.response) == within(1)
    assert target_of(served) is None
    assert failed.route.served_by == "llm"
    assert response_answer(failed.response) == within(2)
    (attempt,) = failed.failed_attempts
    assert response_answer(attempt.response) == within(1)
    assert (attempt.verdict, attempt.reason, attempt.tokens) == ("rejected", "wrong_arguments", 10)
    assert target_of(failed).answer == within(2)
    assert (failed.session_id, failed.agent, failed.client_id, failed.outcome) == ("s2", "a", "c", {"score": 1})
    assert failed.timestamp > calls[1].timestamp


def test_a_checker_says_what_is_right_where_there_is_one(settings, tmp_path):
    settings.checkers.mkdir()
    check = """def check(messages, answer):
    return answer["tool_calls"][0]["function"]["arguments"] == '{"days": 1}' and messages[-1]["content"] != "weather 3"
"""
    (settings.checkers / "weather.py").write_text(check)
    summary = replay_file(write(tmp_path / "f.jsonl", [recorded(i, "weather", within(i)) for i in (1, 2, 3)]), settings)
    assert (summary.passed[GROUP], summary.failed[GROUP]) == (2, 1)
    assert summary.reasons == {"checker": 1}, "by the recorded answer it would be another one"
    (settings.checkers / "weather.py").write_text("def check(messages, answer):\n    return 1 / 0\n")
    summary = replay_file(write(tmp_path / "f.jsonl", [recorded(4, "weather", within(2))]), settings)
    assert summary.reasons == {"wrong_arguments": 1}, "a checker that fails says nothing"


def test_an_adapter_that_reads_whole_prompts_is_asked_them(settings, tmp_path, monkeypatch):
    training = {"base": "tiny", "params": {"prompt": "full"}}
    version = replace(VERSION, lake_digest=Lake(settings.lake).write("s5_finetune/adapter", GROUP, {"training": training}).digest)
    asked = []
    monkeypatch.setattr(replay, "_ask", ASK)
    monkeypatch.setattr(replay, "champion", lambda settings, group: version)
    monkeypatch.setattr(base_models, "ensure_base", lambda *named: None)
    monkeypatch.setattr(inference, "ask_adapter", lambda rows, *rest: asked.extend(rows["full_messages"]) or [Said(call("now", days=1))])
    assert replay_file(write(tmp_path / "f.jsonl", [recorded(1, "weather", within(1))]), settings).passed[GROUP] == 1
    (messages,) = map(json.loads, asked)
    assert "forecast" in messages[0]["content"], "the tools stand in the system message"


def test_a_second_replay_logs_nothing(settings, tmp_path):
    file = write(tmp_path / "f.jsonl", [recorded(1, "weather", within(1)), recorded(2, "weather", within(2))])
    assert replay_file(file, settings).logged == 2
    assert replay_file(file, settings).logged == 0
    assert CallLog(settings, Role.PIPELINE).cursor() == 2


def test_without_tasks_it_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="slm run"):
        replay_file(write(tmp_path / "f.jsonl", []), Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("target", "given", "reason"),
    [
        (tool("Rome"), tool(" rome"), ""),
        (tool("Rome"), tool("Oslo"), "wrong_arguments"),
        (tool("Rome"), Answer(tool_calls=(ToolCall("forecast", {"city": "Rome"}),)), "wrong_tool"),
        (tool("Rome"), Answer(text="Rome"), "wrong_tool"),
        (tool("Rome"), Answer(tool_calls=(ToolCall("now", {"city": 7}),)), "invalid_arguments"),
        (Answer(text="one two three four"), Answer(text="one two three fours"), ""),
        (Answer(text="one two three four"), Answer(text="five"), "dissimilar_text"),
    ],
)
def test_why_an_answer_is_not_used(target, given, reason, tmp_path):
    assert failure_reason(target, given, TOOLS, Settings(home=tmp_path)) == reason
