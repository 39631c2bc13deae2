import gzip
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.importers import BadLine, import_file, read_calls
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect.calls import call

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
names = texts.filter(bool)
records = st.builds(
    lambda extra, **fields: {f"x_{key}": value for key, value in extra.items()} | fields,
    extra=objects,
    id=names,
    timestamp=st.floats(0, 4e9),
    agent=names,
    session_id=names,
    client_id=names,
    request=objects,
    response=objects,
    outcome=objects,
)


def write(path, *lines, end=b"\n", zipped=False, start=b""):
    data = start + b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + end for line in lines)
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def wheelhouse(number, messages, answer, client="support"):
    """A Data Flywheel line."""
    return {
        "timestamp": 1_790_900_000 + number,
        "workload_id": "w1",
        "client_id": client,
        "request": {"model": "m", "messages": messages},
        "response": {"choices": [{"message": answer}]},
    }


@quick
@given(
    st.lists(records, min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_canonical_calls_survive_a_round_trip_with_their_unknown_keys(tmp_path, originals, zipped, end, start):
    path = write(tmp_path / "calls", *originals, end=end, zipped=zipped, start=start)
    read = list(read_calls(path))
    assert [json.loads(c.to_json()) for c in read] == originals
    again = write(tmp_path / "again", *(c.to_json().encode() for c in read))
    assert list(read_calls(again)) == read


@quick
@given(st.data())
def test_a_mutated_line_never_raises_and_good_lines_are_kept(tmp_path, data):
    good = [call(n) for n in range(4)]
    lines = [c.to_json().encode() for c in good]
    broken = data.draw(st.integers(0, 3))
    line = bytearray(lines[broken])
    for _ in range(data.draw(st.integers(1, 4))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.sampled_from(sorted(set(range(256)) - {10, 13})))
    lines[broken] = bytes(line)
    read = list(read_calls(write(tmp_path / "calls", *lines)))
    for n, c in enumerate(good):
        if n != broken:
            assert c in read
    assert all(item.line == broken + 1 for item in read if isinstance(item, BadLine))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "x"', "bad JSON"),
        (b"[1]", "a JSON object is expected, found list"),
        (b'{"a": NaN}', "bad JSON"),
        (b"\xff\xfe", "bad JSON"),
        ({k: v for k, v in json.loads(call().to_json()).items() if k != "agent"}, "field 'agent' is missing"),
        (json.loads(call().to_json()) | {"timestamp": "yesterday"}, "field 'timestamp': Input should be a valid number"),
        (json.loads(call().to_json()) | {"request": []}, "field 'request': Input should be a valid dictionary"),
    ],
)
def test_a_bad_line_says_where_and_why(tmp_path, line, reason):
    first, bad, last = read_calls(write(tmp_path / "calls", call(1).to_json().encode(), b"", line, call(2).to_json().encode()))
    assert (first.id, last.id) == ("c1", "c2")
    assert bad.line == 3
    assert bad.reason.startswith(reason)


def test_a_cut_off_gzip_file_gives_its_good_lines_and_one_error(tmp_path):
    path = write(
        tmp_path / "calls.gz", *(call(n, text=random.Random(n).randbytes(60).hex()).to_json().encode() for n in range(300)), zipped=True
    )
    path.write_bytes(path.read_bytes()[:-2000])
    *good, last = read_calls(path)
    assert len(good) > 100
    assert all(isinstance(c, AgentCall) for c in good)
    assert last.line == len(good) + 1
    assert "cut off" in last.reason


def test_a_huge_line_is_read(tmp_path):
    (read,) = read_calls(write(tmp_path / "calls", call(text="x" * 5_000_000).to_json().encode()))
    assert len(read.response["choices"][0]["message"]["content"]) == 5_000_000


def test_a_line_without_end_is_refused_without_reading_it_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("slm_pipeline.s1_collect.importers.lines.MAX_LINE", 2000)
    bad, good = read_calls(write(tmp_path / "calls", b"x" * 7000, call().to_json().encode()))
    assert "longer than" in bad.reason
    assert (bad.line, good.id) == (1, "c0")


def test_an_empty_file_holds_no_calls(tmp_path):
    assert list(read_calls(write(tmp_path / "calls"))) == []


def test_flywheel_lines_are_imported_unchanged(tmp_path):
    line = wheelhouse(0, [{"role": "user", "content": "hi"}], {"role": "assistant", "content": "hello"})
    (read,) = read_calls(write(tmp_path / "calls", line))
    assert (read.agent, read.client_id, read.model_extra) == ("support", "support", {"workload_id": "w1"})
    assert (read.request, read.response, read.timestamp) == (line["request"], line["response"], line["timestamp"])
    (again,) = read_calls(write(tmp_path / "again", json.dumps(dict(reversed(line.items())), indent=None).encode()))
    assert again.id == read.id


def test_flywheel_calls_that_continue_a_conversation_share_its_session(tmp_path):
    ask, reply, more = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "why?"}
    first = wheelhouse(0, [ask], reply)
    same_opening = wheelhouse(1, [ask], {"role": "assistant", "content": "good day"})
    second = wheelhouse(2, [ask, reply | {"refusal": None}, more], {"role": "assistant", "content": "because"})
    third = wheelhouse(3, [*second["request"]["messages"], second["response"]["choices"][0]["message"], more], reply)
    elsewhere = wheelhouse(4, second["request"]["messages"], reply, client="other")
    sessions = [c.session_id for c in read_calls(write(tmp_path / "calls", first, same_opening, second, third, elsewhere))]
    assert sessions[0] == sessions[2] == sessions[3]
    assert len(set(sessions)) == 3


def test_a_flywheel_line_without_client_is_named(tmp_path):
    good = wheelhouse(0, [], {})
    bad = {key: value for key, value in good.items() if key != "client_id"}
    assert list(read_calls(write(tmp_path / "calls", good, bad)))[1] == BadLine(2, "field 'client_id' is missing")


def test_importing_twice_adds_nothing(home):
    path = write(home / "calls", call(1).to_json().encode(), b"{", call(2).to_json().encode())
    log, bad = CallLog(get_settings(), Role.COLLECTOR), []
    assert import_file(path, log, bad.append).added == 2
    assert import_file(path, log, bad.append).repeated == 2
    assert [b.line for b in bad] == [2, 2]
