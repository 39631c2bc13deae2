"""Words that nobody may find: not in any file before S2, and after their client's erasure nowhere at all.

They come in through the gateway (prompts, tool arguments, tool results, split across the chunks of a stream) and through an
import. S2 takes out names, addresses, cards and keys; words that are nothing personal stay, so the erasure has something to erase.
"""

import io
import json
import zlib

import httpx2
import pandas as pd
import pytest
from rich.console import Console

from slm_pipeline.settings import get_settings
from slm_pipeline_tests.gateway.conftest import running_gateway
from slm_pipeline_tests.gateway.recorded_upstream import recorded_upstream
from slm_pipeline_tests.test_whole_loop import SETTINGS, run
from slm_pipeline_tests.tiny import make_tiny_base, tool_calls

CANARIES = 500
ERASED, KEPT = "Canary Corp", "Another Corp"


def canary(number):
    """A name, an address, a card, a key or an ordinary word, by turns; each holds a word that stands nowhere else."""
    word = f"qzx{zlib.crc32(str(number).encode()):08x}"
    card = f"4{zlib.crc32(b'card%d' % number) % 10**14:014d}"
    card += str(-sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(card)) % 10)
    return (f"Ms Ada {word}", f"{word}@example.com", card, f"sk-proj-{word}{word}{word}{word}", f"{word} items")[number % 5]


def is_word(text):
    return text.endswith(" items")


def files(*folders):
    """Every file below these folders as bytes; Parquet and SQLite once more as what they say."""
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            yield path, path.read_bytes()
            if path.suffix == ".parquet":
                yield path, pd.read_parquet(path).to_csv().encode()


def found(canaries, *folders):
    wanted = {word: word.encode() for word in canaries}
    return {(path.name, word) for path, content in files(*folders) for word, sought in wanted.items() if sought in content}


def imported_line(line, number, client):
    call = json.loads(line)
    call |= {"id": f"{client} {call['id']}", "session_id": f"{client} {call['session_id']}", "client_id": client}
    if client == ERASED:
        text = call["request"]["messages"][0]["content"]
        call["request"]["messages"] = [
            {"role": "system", "content": f"You work for {canary(0)}."},
            {"role": "user", "content": f"{text} for {canary(number)}"},
        ]
        function = call["response"]["choices"][0]["message"]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(json.loads(function["arguments"]) | {"for": canary(number + 1)})
        call["outcome"] = {"success": True, "comment": f"said {canary(number + 2)}"}
    return json.dumps(call)


def through_the_gateway(gateway, numbers):
    tools = [
        {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {"who": {"type": "string"}}}}}
    ]
    headers = {"x-slm-agent": "finder"}
    with httpx2.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        for number in numbers:
            call = {"id": "t", "type": "function", "function": {"name": "find", "arguments": json.dumps({"who": canary(number + 1)})}}
            messages = [
                {"role": "user", "content": f"Find {canary(number)}"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "t", "content": json.dumps({"mail": canary(number + 2)})},
            ]
            # the answer repeats the tool's result or the question, in pieces that split it
            body = {
                "model": "m",
                "messages": messages[: 3 if number % 2 else 1],
                "stream": bool(number % 3),
                "tools": tools if number % 2 else [],
            }
            answer = client.post("/v1/chat/completions", json={k: v for k, v in body.items() if v != []})
            assert answer.status_code == 200
        client.post("/v1/feedback", json={"call_id": answer.headers["x-slm-id"], "comment": canary(3), "correction": canary(5)})
        assert client.post("/v1/chat/completions", json={"model": "status-500", "messages": messages}).status_code == 500
        assert client.post("/v1/chat/completions", content=f'{{"model": "{canary(9)}", '.encode()).status_code == 400


@pytest.fixture
def canaries(home, monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLM_KEYS", str(home / "keys"))
    make_tiny_base(home)
    return [canary(number) for number in range(CANARIES)]


def test_canaries_are_in_no_file_before_s2_and_nowhere_after_their_erasure(home, canaries, tmp_path_factory):
    from slm_pipeline.erase import erase
    from slm_pipeline.imports import import_file
    from slm_pipeline.lake import Lake
    from slm_pipeline.pseudonyms import pseudonym
    from slm_pipeline.resources import tracking
    from slm_pipeline.run import Loop
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role
    from slm_pipeline.s1_collect.usage import read_usage
    from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout

    with recorded_upstream() as upstream, running_gateway(home, upstream) as gateway:
        through_the_gateway(gateway, range(0, 300, 2))
        gateway.calls()
        assert found(canaries, home) == set(), "while the gateway runs"
    lines = [imported_line(line, 300 + number * 3, client) for client in (ERASED, KEPT) for number, line in enumerate(tool_calls(67))]
    file = tmp_path_factory.mktemp("elsewhere") / "calls.jsonl"
    file.write_text("\n".join(lines))
    assert {word for _, word in found(canaries, file.parent)} >= set(canaries[300:]), "the search finds what is there"
    import_file(file, get_settings(), Console(file=io.StringIO()))
    _collect(Loop)
    assert found(canaries, home) == set(), "before S2"

    run()
    lake, settings = Lake(get_settings().lake), get_settings()
    for group in lake.partitions("s5_finetune/adapter"):
        tracking.promote(settings, group, "1")
    run()
    released = lake.read("s6_refine/release").json("release")
    write_rollout(lake, read_rollout(lake).promoted().promoted())
    clusters = lake.read("s3_cluster/task_clusters").json("clusters")
    curated = {word for _, word in found(canaries, home)}
    assert curated, "words are in the curated data"
    assert not {word for word in curated if not is_word(word) and not word.startswith("Ms")}
    assert len([word for word in curated if word.startswith("Ms")]) <= 2, "of a hundred strange names"
    used = {client: pseudonym("client", client, settings.split_key) for client in (ERASED, KEPT, "local")}
    assert set(read_usage(lake)["client_id"]) == set(used.values())
    erased = erase(ERASED, settings, Console(file=io.StringIO()))
    assert erased.logged == erased.curated == 67
    of_gateway = erase("local", settings, Console(file=io.StringIO()))
    assert of_gateway.logged == 151
    assert found(canaries, home) == set(), "after the erasure"
    assert released["groups"], "there was a release that knew these tasks"
    assert set(read_usage(lake)["client_id"]) == {used[KEPT]}
    log = CallLog(settings, Role.PIPELINE)
    assert {call.client_id for day in log.days() for call in log.read(day)} == {KEPT}
    trained = set(erased.groups) & set(lake.partitions("s5_finetune/adapter"))
    assert trained, clusters["groups"]
    for group in trained:
        (version,) = tracking.client(settings).search_model_versions(f"name = '{group}'")
        assert version.tags["slm.trained_on_erased"] == "true"

    run()  # goes on with what is left
    assert found(canaries, home) == set(), "after the next run"
    examples = [lake.read("s3_cluster/task_examples", group) for group in lake.partitions("s3_cluster/task_examples")]
    assert sum(len(e.table("examples")) for e in examples) > 30


def _collect(loop_type):
    """S1 alone, as the web UI's button would run it."""
    from slm_pipeline.definitions import defs
    from slm_pipeline.instance import open_instance
    from slm_pipeline.lake import Lake
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role

    settings = get_settings()
    days = CallLog(settings, Role.PIPELINE).days()
    loop = loop_type(settings, Lake(settings.lake), open_instance(settings), defs)
    loop.execute("refresh_days", ["raw_calls"], days=(days[0], days[-1]))
