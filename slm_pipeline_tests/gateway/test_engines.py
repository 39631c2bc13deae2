"""Engines of several adapters: none hears of another one, and what fails is told apart."""

import asyncio

import pytest

from slm_pipeline.gateway.engines import WAITING, Engines, NotReady
from slm_pipeline.resources.engine import Engine
from slm_pipeline_tests.tiny import make_tiny_base

PROMPTS = [f"the weather of {city}, please" for city in ("Rome", "Oslo", "Lima", "Quito")]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home")) / "model.gguf"


@pytest.fixture(scope="module")
def models(gguf, tmp_path_factory):
    """Three models that say different things: the tiny one, with one byte of its weights changed twice."""
    folder, content = tmp_path_factory.mktemp("models"), gguf.read_bytes()
    made = {}
    for i in range(3):
        changed = bytearray(content)
        for place in range(len(content) - 4000, len(content) - 3000, 16):
            changed[place + 2] ^= 0x40 * (i % 2) | 0x20 * (i // 2)
        made[str(i)] = folder / f"{i}.gguf"
        made[str(i)].write_bytes(bytes(changed))
    return made


async def until_ready(engines, keys):
    for key in keys:
        engines.load(key)
    while engines.loading:
        await asyncio.sleep(0.05)


def ask(prompt):
    return lambda engine: engine.answer(prompt, None, 8).text


def test_interleaved_calls_get_the_answers_that_each_engine_gives_alone(models):
    def start(key):
        return Engine(models[key], None, 256)

    async def work():
        engines = Engines(3, start)
        await until_ready(engines, models)
        turns = [(key, prompt) for prompt in PROMPTS for key in models]
        said = await asyncio.gather(*(engines.run(key, ask(prompt), 60) for key, prompt in turns))
        engines.close()
        return dict(zip(turns, said, strict=True))

    interleaved = asyncio.run(work())
    for key, path in models.items():
        with Engine(path, None, 256) as engine:
            alone = {(key, prompt): ask(prompt)(engine) for prompt in PROMPTS}
        assert {turn: said for turn, said in interleaved.items() if turn[0] == key} == alone


def test_the_one_used_longest_ago_makes_room(gguf):
    async def work():
        engines = Engines(2, lambda key: Engine(gguf, None, 256))
        await until_ready(engines, "ab")
        await engines.run("a", ask("hello"), 60)
        await until_ready(engines, "c")
        assert engines.ready == 2
        await engines.run("a", ask("hello"), 60)
        with pytest.raises(NotReady, match="slm_loading"):
            await engines.run("b", ask("hello"), 60)
        engines.close()

    asyncio.run(work())


def test_an_engine_that_cannot_be_started_is_not_tried_for_ever(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF is not this")
    tried = []

    def start(key):
        tried.append(key)
        engine = Engine(tmp_path / "broken.gguf", None, 256)
        engine.answer("hello", None, 1)
        return engine

    async def work():
        engines = Engines(2, start)
        await until_ready(engines, "a")
        with pytest.raises(NotReady, match="slm_failed"):
            await engines.run("a", ask("hello"), 60)

    asyncio.run(work())
    assert tried == ["a"]


def test_a_queue_that_is_too_long_and_work_that_is_too_slow_go_elsewhere(gguf):
    async def work():
        engines = Engines(1, lambda key: Engine(gguf, None, 256))
        await until_ready(engines, "a")
        hold = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(engine):
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()
            return "done"

        waiting = [asyncio.ensure_future(engines.run("a", slow, 60)) for _ in range(WAITING)]
        await asyncio.sleep(0.1)
        with pytest.raises(NotReady, match="slm_busy"):
            await engines.run("a", ask("hello"), 60)
        hold.set()
        assert await asyncio.gather(*waiting) == ["done"] * WAITING
        hold.clear()
        with pytest.raises(NotReady, match="slm_slow"):
            await engines.run("a", slow, 0.05)
        hold.set()
        assert isinstance(await engines.run("a", ask("hello"), 60), str)
        engines.close()

    asyncio.run(work())
