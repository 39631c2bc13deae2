"""One large JSON document instead of lines, and folders."""

import gzip
import io
import json

import psutil
import pytest
from rich.console import Console

from slm_pipeline.imports import import_file
from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.importers import BadLine, documents, read_calls
from slm_pipeline.s1_collect.importers.lines import Damage
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect import forms

LINES = [json.dumps(forms.litellm(n)) for n in range(3)]


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_calls(path))


def ids(items):
    return [item.id for item in items if isinstance(item, AgentCall)]


ALL = [f"litellm-chatcmpl-{n}" for n in range(3)]


@pytest.mark.parametrize(
    "text",
    [
        "[{}]".format(",".join(LINES)),
        "[{}]".format(", ".join(LINES)) + "\n",
        "[\n{}\n]\n".format(",\n".join(LINES)),
        "\ufeff  [\n{}\n]\n".format(",\n".join(LINES)),
        '{{"data": [{}]}}'.format(",".join(LINES)),
        '{{"object": "list", "data": [{}], "has_more": false, "meta": {{"data": [{{"a": {{}}}}]}}}}'.format(",".join(LINES)),
        '{{"meta": {{"page": 1}}, "data": [{}]}}'.format(",".join(LINES)),
        json.dumps({"data": [forms.litellm(n) for n in range(3)], "meta": {"page": 1}}, indent=4),
        json.dumps([forms.litellm(n) for n in range(3)], indent=1),
        "[\n{}\n]\n[\n{},\n{}\n]".format(*LINES),
        '{{"data": [\n{}\n]}}\n{{"data": [\n{}\n, {}\n]}}'.format(*LINES),
        json.dumps([{"data": [forms.litellm(0)]}, {"data": [forms.litellm(1), forms.litellm(2)]}]),
        '{"data": [%s]}\n{"data": [%s, %s]}\n' % (*LINES,),  # noqa: UP031
        "[%s]\n[%s, %s]" % (*LINES,),  # noqa: UP031
        "\n".join(json.dumps(forms.litellm(n), indent=2) for n in range(3)),
    ],
)
def test_the_records_of_a_document_are_read_however_it_is_laid_out(tmp_path, text):
    assert ids(read(tmp_path / "x", text)) == ALL
    assert ids(read(tmp_path / "z", gzip.compress(text.encode()))) == ALL


@pytest.mark.parametrize("wrap", ["[%s]", '{"data": [%s]}', '{\n "data": [\n%s\n]}'])
@pytest.mark.parametrize(
    "bad", ['{"call_type": NaN}', '{"call_type": "\x01"}', '{"a" 1}', '{"call_type": {{}}}', "[1]", "[" * 300 + "]" * 300]
)
def test_a_bad_item_costs_only_itself_and_is_numbered(tmp_path, wrap, bad):
    items = read(tmp_path / "x", wrap % ",\n".join([LINES[0], bad, LINES[1], LINES[2]]))
    assert ids(items) == ALL
    assert [item.line for item in items if isinstance(item, BadLine)] == [2] if "\n" in wrap or wrap[0] == "[" else [1]


@pytest.mark.parametrize("wrap", ["[%s]", '{"data": [%s]}'])
def test_a_document_that_is_cut_off_gives_what_stands_before(tmp_path, wrap):
    text = wrap % ",".join(LINES)
    *good, bad = read(tmp_path / "x", text[: len(text) - len(LINES[2]) // 2])
    assert ids(good) == ALL[:2]
    assert "bracket or quote is missing" in bad.reason


def test_a_cut_off_gzip_document_gives_what_stands_before(tmp_path):
    text = json.dumps([forms.litellm(n) for n in range(3)] * 300, indent=1)
    *good, bad = read(tmp_path / "x", gzip.compress(text.encode())[:-20])
    assert len(ids(good)) > 100
    assert "cut off" in bad.reason


@pytest.mark.parametrize("first", ['[{"a": "b}', '{"x": [', '{"data": [', "[", "[1]", '{"a": {"b":', '{"data": [{"a": 1},'])
def test_a_broken_first_line_costs_only_itself(tmp_path, first):
    for lines in ([first, *LINES], [first, LINES[0], "{", *LINES[1:]]):
        items = read(tmp_path / "x", "\n".join(lines))
        assert ids(items) == ALL
        assert items[0].line == 1


def test_a_list_in_a_call_is_no_list_of_calls(tmp_path):
    assert ids(read(tmp_path / "x", json.dumps(forms.canonical(0) | {"data": [{"a": 1}]}))) == ["c0"]


def test_an_item_that_never_ends_is_refused_without_reading_it_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("slm_pipeline.s1_collect.importers.lines.MAX_LINE", 4000)
    monkeypatch.setattr(documents, "CHUNK", 512)
    text = '[{{"x": "{}"}}, {}]'.format('y\\\\\\"]' * 5_000, ", ".join(json.dumps({"hello": n}) for n in range(3)))
    bad, *rest = read(tmp_path / "x", text)
    assert "longer than" in bad.reason
    assert [item.line for item in rest] == [2, 3, 4]


@pytest.mark.parametrize("start", ['["', '[{"a": "', '{"data": [{}], "b": "', '{"a": {"b": {'])
def test_what_never_ends_is_not_kept_in_memory(monkeypatch, start):
    monkeypatch.setattr("slm_pipeline.s1_collect.importers.lines.MAX_LINE", 10_000)
    monkeypatch.setattr(documents, "CHUNK", 1000)
    asked = []

    class Endless(io.RawIOBase):
        def read(self, size):
            asked.append(size)
            return b"" if sum(asked) > 2_000_000 else (start.encode() if len(asked) == 1 else b"").ljust(size, b"y")

    assert any("bracket or quote" in item.reason for item in documents.elements(Endless()) if isinstance(item, Damage))
    assert max(asked) < 50_000


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_where_a_document_is_cut_into_chunks_changes_nothing(monkeypatch, chunk):
    monkeypatch.setattr(documents, "CHUNK", chunk)
    items = [{"a": '\\"]}{["', "b": [{"c": "\\\\"}, []]}, {}, {"data": [{}]}, {"é": "\u2028"}]
    for text in (json.dumps(items), json.dumps({"x": 1, "data": items, "y": {"z": [{}]}}, ensure_ascii=False, indent=1)):
        assert [json.loads(item) for item in documents.elements(io.BytesIO(text.encode()))] == items


def test_a_large_document_is_streamed(tmp_path):
    path = tmp_path / "x"
    with path.open("w") as file:
        file.write('{"object": "list", "data": [')
        file.write(",".join(json.dumps({"hello": "x" * 100_000, "n": n}) for n in range(1200)))
        file.write("]}")
    process = psutil.Process()
    before, most, count = process.memory_info().rss, 0, 0
    for item in read_calls(path):
        count += 1
        most = max(most, process.memory_info().rss) if count % 50 == 0 else most
        assert isinstance(item, BadLine)
    assert count == 1200
    assert most - before < 60 << 20


def test_a_folder_is_read_in_order_of_names_and_names_its_files(tmp_path):
    for n in range(3):
        folder = tmp_path / f"2026-10-0{n + 1}"
        folder.mkdir()
        (folder / "call.json").write_text(json.dumps(forms.litellm(n), indent=1))
    (tmp_path / "2026-10-01" / "later.jsonl").write_text("nonsense\n")
    (tmp_path / ".hidden").write_text("nonsense\n")
    first, bad, second, third = read_calls(tmp_path)
    assert ids([first, second, third]) == ALL
    assert (bad.file, bad.line) == ("2026-10-01/later.jsonl", 1)
    assert first.session_id == second.session_id  # a conversation may go on in the next file


def test_what_was_imported_and_what_is_bad_is_printed_with_its_file(home):
    folder = home / "logs [1]"
    folder.mkdir()
    (folder / "a.jsonl").write_text("\n".join([LINES[0], "{", LINES[1]]))
    console = Console(file=io.StringIO(), width=60)
    appended, bad = import_file(folder, get_settings(), console)
    assert (appended.added, bad) == (2, 1)
    printed = console.file.getvalue()
    assert "logs [1]/a.jsonl:2: bad JSON" in printed
    assert "logs [1]: 2 added, 0 known already, 1 bad" in printed


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_calls(tmp_path / "nowhere"))


def test_elements_says_where_a_document_ends_too_early():
    assert isinstance(list(documents.elements(io.BytesIO(b'[{"a": "b]')))[-1], Damage)
    assert list(documents.elements(io.BytesIO(b"]]}}"))) == []
