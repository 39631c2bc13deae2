"""A user's own tools: a Python file, an MCP server and a search by HTTP, asked by an SLM while it writes."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.settings import Settings
from slm_pipeline.tool_use import lookups
from slm_pipeline.tool_use.calls import MOST_LOOKUPS, granted, told, tools_of, with_calls, without_calls, write
from slm_pipeline.tool_use.lookups import Lookup, ToolError, look_up, read_lookups
from slm_pipeline_tests.tool_use.test_calls import Scripted

STOCK = "SHELF = {'A1': '17 pieces', 'B2': '0 pieces'}\ndef call(text):\n    return SHELF.get(text)\n"
PROMPT = "how many of article A1 and article Z9 are there?"


def python(code, **more):
    return Lookup(name="stock", pattern=r"article (\w+)", file="stock.py", code=code, **more)


@contextmanager
def http_server(answer):
    """A server that answers a search for a text with `answer(text)`: status and body. Gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer(parse_qs(urlsplit(self.path).query)["q"][0])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def mcp_server():
    """A real MCP server over Streamable HTTP."""
    import uvicorn
    from mcp.server import MCPServer

    orders = MCPServer("orders")

    @orders.tool()
    def find_order(id: str) -> str:
        if id == "bad":
            raise ValueError("no such order")
        return f"order {id} was shipped on Tuesday"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(orders.streamable_http_app(), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    server.should_exit = True
    thread.join(10)


def test_a_python_file_is_asked(tmp_path):
    stock = python(STOCK)
    assert look_up(stock, "A1") == "17 pieces"
    assert look_up(stock, "Z9") is None


@pytest.mark.parametrize(
    "code",
    [
        "def call(text):\n    raise KeyError(text)",
        "def call(text):\n    while True: pass",
        "import os\ndef call(text):\n    os._exit(3)",
        "x = ",
    ],
)
def test_a_file_that_fails_says_nothing_and_quotes_nothing(code, caplog):
    assert look_up(python(code, seconds=1), "the user's secret") is None
    assert "tool stock failed" in caplog.text
    assert "secret" not in caplog.text


def test_a_tool_of_an_mcp_server_is_asked(mcp_server):
    orders = Lookup(name="orders", pattern=r"order (\w+)", mcp=mcp_server, tool="find_order", argument="id")
    assert look_up(orders, "A12") == "order A12 was shipped on Tuesday"
    assert look_up(orders, "bad") is None
    assert look_up(orders.model_copy(update={"tool": "none"}), "A12") is None
    assert look_up(orders.model_copy(update={"mcp": "http://127.0.0.1:1/mcp", "seconds": 2.0}), "A12") is None


def test_a_search_by_http_is_asked_and_what_it_finds_is_one_short_line():
    asked = []

    def answer(text):
        asked.append(text)
        return (404, "no") if text == "missing" else (200, json.dumps({"results": [{"content": "Rome\n is <<hot>> " + "x" * 500}]}))

    with http_server(answer) as url:
        search = Lookup(name="search", pattern="(.+)", url=url + "/s?q={}", field="results.0.content", characters=12)
        assert look_up(search, "a & b?/ü") == "Rome is hot"
        assert look_up(search, "missing") is None
        assert look_up(search.model_copy(update={"field": "results.7.content"}), "x") is None
        assert look_up(search.model_copy(update={"field": None}), "x") == '{"results":'
    assert asked[0] == "a & b?/ü", "nothing of what is asked becomes part of the address"


def test_training_answers_carry_the_lookups_that_help_and_no_others():
    stock = python(STOCK)
    assert with_calls(PROMPT, "There are 17.", "text", (stock,)) == "<<stock: A1>> = 17 pieces\nThere are 17."
    assert with_calls(PROMPT, '{"n": 17}', "tool_call", (stock,)) == '<<stock: A1>> = 17 pieces\n{"n": 17}'
    assert with_calls(PROMPT, "I do not know.", "text", (stock,)) == "I do not know."
    assert with_calls(f"{PROMPT} I think 17 pieces.", "There are 17.", "text", (stock,)) == "There are 17.", "the prompt knows it"


@pytest.mark.parametrize(("answer", "form", "schema"), [("There are 17.", "text", None), ('{"n": 17}', "tool_call", {"type": "object"})])
def test_what_was_learned_is_written_with_the_tools_own_words_and_taken_away(answer, form, schema):
    stock = python(STOCK)
    model = Scripted(with_calls(PROMPT, answer, form, (stock,)))
    assert write(model, schema, (stock,), 1000)[0] == answer
    assert any("17 pieces" in written for written, *_ in model.asked)


def test_an_slm_that_asks_for_ever_is_told_nothing_more():
    asked = []

    def ask(written, schema, stop, limit):
        asked.append(written)
        return "<<stock: A1", 10

    write(ask, None, (python(STOCK),), 100)
    assert asked[-1].count("17 pieces") == MOST_LOOKUPS


def test_tools_are_granted_by_name_and_an_adapter_keeps_them_as_they_were(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "stock.py").write_text(STOCK)
    (tmp_path / "tools.yaml").write_text("- {name: stock, pattern: 'article (\\w+)', file: stock.py}\n")
    settings = Settings(home=tmp_path, granted_tools={"*": ("calculator", "stock")})
    tools = granted(["task"], "group", settings)["task"]
    kept = json.loads(json.dumps(told(tools)))
    (tmp_path / "tools" / "stock.py").write_text("def call(text):\n    return 'changed'\n")
    calculator, stock = tools_of(kept)
    assert calculator == "calculator"
    assert look_up(stock, "A1") == "17 pieces"
    assert look_up(granted(["task"], "group", settings)["task"][1], "A1") == "changed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: stock, pattern: '(', file: x.py}", r"row 1 \(stock\), field pattern: .*no regular expression"),
        ("- {name: stock, pattern: x}", r"row 1 \(stock\): .*one of file, url and mcp"),
        ("- {name: stock, pattern: x, file: x.py, url: 'http://h/{}'}", r"row 1 \(stock\): .*one of file, url and mcp"),
        ("- {name: stock, pattern: x, mcp: 'http://h/mcp'}", r"row 1 \(stock\): .*mcp needs tool and argument"),
        ("- {name: stock, pattern: x, url: 'ftp://h/{}'}", r"row 1 \(stock\), field url"),
        ("- {name: Stock, pattern: x, url: 'http://h/{}'}", r"row 1 \(Stock\), field name"),
        (
            "- {name: s, pattern: x, url: 'http://h/{}'}\n- {name: s, pattern: y, url: 'http://h/{}'}",
            r"row 1 \(s\) is there more than once, again as row 2",
        ),
        ("- {name: stock, pattern: x, file: none.py}", "none.py: No such file"),
        ("stock: 1", "it must be a list of rows"),
        ("- {name: stock", "not YAML"),
    ],
)
def test_a_row_that_is_none_is_named(text, said, tmp_path):
    (tmp_path / "tools.yaml").write_text(text)
    with pytest.raises(ToolError, match=said):
        read_lookups(Settings(home=tmp_path))


def test_the_package_that_mcp_needs_is_named(tmp_path, monkeypatch):
    (tmp_path / "tools.yaml").write_text("- {name: orders, pattern: x, mcp: 'http://127.0.0.1/mcp', tool: find, argument: id}")
    assert read_lookups(Settings(home=tmp_path))["orders"].tool == "find"
    monkeypatch.setattr(lookups, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'slm_pipeline\[mcp\]'"):
        read_lookups(Settings(home=tmp_path))


@given(st.text(st.characters(exclude_characters="<>"), max_size=60), st.text(st.characters(exclude_characters="<>"), max_size=60))
def test_lookups_come_and_go_without_a_trace(prompt, answer):
    echo = python("def call(text):\n    return 'it is ' + text * 2\n")
    written = with_calls(f"article A1 {prompt}", answer, "text", (echo,))
    assert without_calls(written, (echo,)) == answer
