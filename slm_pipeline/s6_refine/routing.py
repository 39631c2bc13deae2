"""Asks a group's champion the calls that it has not learned from, and learns router and verifier from what came of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from slm_pipeline.answering import KNOWN, Asked, Proposal, propose
from slm_pipeline.checkers import Checker, checkers_of, is_gold
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources.slm_server import served_at
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.router.models import Gatekeeper, Outcomes, learn
from slm_pipeline.router.outcomes import OutcomeModel
from slm_pipeline.router.strangeness import Strangeness
from slm_pipeline.s6_refine.outcomes import SPLITS, outcomes
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.s6_refine.verifier_model import VERIFIER, says_right, verifier_engine
from slm_pipeline.settings import Settings

EXAMPLES, ROUTER = "s3_cluster/task_examples", "s6_refine/router_model"
USED = {"seed", "max_prompt_tokens", "max_answer_tokens", "max_samples", "leeway", "similarity_pass"}
VERSION = 9  # raise it when the same calls shall give another router


def train_router(group: str, champion: AdapterVersion, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact | None, bool]:
    """The gatekeeper of a group's champion, and whether it was made now; nothing is asked again while its inputs are the same. None without
    validation examples.

    Holds router.npz, verifier.npz, strangeness.npz (to the validation split's calls), `outcomes` (with the `score` that each call got from
    a gatekeeper which had not learned it; of tasks whose streams begin at once, the router's chance) and `router` (facts; `strangeness` is
    that of the calls with which calibration sessions begin). `say` is told how far the asking has come.
    """
    lake = Lake(settings.lake)
    examples, written = lake.read(EXAMPLES, group), lake.read(ROUTER, group)
    tasks = examples.json("tasks")
    checkers = checkers_of(tasks, group, settings)
    checked = {task: checker.digest for task, checker in sorted(checkers.items())}
    used = settings.model_dump(mode="json", include=USED)
    server, verifier = served_at(group, settings), verifier_of(group, champion, lake)
    at_once = begun_at_once(group, champion, examples, checkers, settings)
    made_of = champion.lake_digest, champion.base, server, verifier and verifier.digest, at_once
    inputs = digest(VERSION, examples.digest, *made_of, checked, used)
    if written and written.inputs == inputs:
        return written, False
    if not (examples.table("examples", ["split"])["split"] == "validation").any():
        return None, False
    rows = _asked(group, champion, examples, checkers, verifier, at_once, settings, say)
    seen = {split: outcomes_of(rows[rows["split"] == split]) for split in SPLITS}
    keeper, own, chances = learn(seen["validation"], settings.seed)
    held_out = seen["calibration"]
    scores = {"validation": own, "calibration": keeper.scores(*_judged(held_out)) if len(held_out) else []}
    chance = {"validation": chances, "calibration": keeper.chance(held_out.texts) if len(held_out) else []}
    rows["score"] = np.nan
    for split in SPLITS:
        its = rows["split"] == split
        rows.loc[its, "score"] = np.where(
            rows["task"][its].isin(at_once), np.asarray(chance[split], float), np.asarray(scores[split], float)
        )
    strangeness = Strangeness.to(seen["validation"].texts)
    facts = {
        "group": group,
        "strangeness": strangeness.of(beginnings(rows[rows["split"] == "calibration"])).tolist() if len(held_out) else [],
        "adapter": champion.lake_digest,
        "version": champion.version,
        "base": champion.base,
        "server": server,
        "verifier": verifier and verifier.digest,
        "at_once": at_once,
        "worth": keeper.worth,
        "gold": sorted(task for task, checker in checkers.items() if is_gold(checker)),
        "checkers": checked,
    }
    contents = {
        "router.npz": keeper.router.save(),
        "verifier.npz": keeper.verifier.save(),
        "strangeness.npz": strangeness.save(),
        "outcomes": rows,
        "router": facts,
    }
    version = digest(inputs, contents["router.npz"], contents["verifier.npz"], rows.drop(columns="latency_ms").to_json(orient="records"))
    return lake.write(ROUTER, group, contents, inputs, version=version), True


def gatekeeper_of(written: Artefact, worth: float, prefix: str = "") -> Gatekeeper:
    """The gatekeeper whose files `train_router` wrote, in its own artefact, or behind a `prefix` in a release."""
    router, verifier = (OutcomeModel.load(written.bytes(f"{prefix}{name}.npz")) for name in ("router", "verifier"))
    return Gatekeeper(router, verifier, worth)


def begun_at_once(
    group: str, champion: AdapterVersion, examples: Artefact, checkers: Mapping[str, Checker], settings: Settings
) -> list[str]:
    """The tasks of `stream_at_once`: an answer in text without tools, which no gold checker decides, is sent while it is written."""
    from slm_pipeline.inference import adapter_of, task_schemas

    if not settings.stream_at_once:
        return []
    named, schemas = set(settings.stream_at_once), task_schemas(examples.json("tasks"))
    wanted = [task for task, schema in schemas.items() if schema is None and named & {task, group, "*"}]
    tools = adapter_of(Lake(settings.lake).version(ADAPTER, group, champion.lake_digest)).tools
    return sorted(task for task in wanted if task not in tools and not (task in checkers and is_gold(checkers[task])))


def verifier_of(group: str, champion: AdapterVersion, lake: Lake) -> Artefact | None:
    """The verifier model of a champion, if it has one."""
    written = lake.read(VERIFIER, group)
    return written if written and written.json("verifier")["adapter"] == champion.lake_digest else None


def beginnings(rows: pd.DataFrame) -> list[str]:
    """The first call of each session, each text once: calls of a session resemble each other, so drift is looked for in these."""
    return rows.drop_duplicates("session_id").drop_duplicates("text")["text"].tolist()


def outcomes_of(rows: pd.DataFrame) -> Outcomes:
    """Rows of `outcomes` as a gatekeeper learns from them."""
    known = np.array(rows["known"].tolist(), float).reshape(len(rows), len(KNOWN))
    columns = rows["text"].tolist(), rows["answer"].tolist(), known, rows["slm"].to_numpy(), rows["llm"].to_numpy()
    return Outcomes(*columns, rows["session_id"].tolist())


def _judged(seen: Outcomes) -> tuple[Any, Any, np.ndarray]:
    return seen.texts, seen.answers, seen.known


def _asked(
    group: str,
    champion: AdapterVersion,
    examples: Artefact,
    checkers: Mapping[str, Checker],
    verifier: Artefact | None,
    at_once: Sequence[str],
    settings: Settings,
    say: Callable[[str], None],
) -> pd.DataFrame:
    from slm_pipeline.inference import COLUMN, adapter_of, asking, serving_model, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base

    tasks, table = examples.json("tasks"), examples.table("examples")
    table = table[table["split"].isin(SPLITS)]
    adapter = adapter_of(Lake(settings.lake).version(ADAPTER, group, champion.lake_digest))
    base, schemas = ensure_base(champion.base, settings), task_schemas(tasks)
    done, judging = iter(range(1, len(table) + 1)), Lock()  # a server of SLMs is asked side by side, the verifier's engine is not

    def tick() -> None:
        if (n := next(done)) % 20 == 0 or n == len(table):
            say(f"router of {group}: {n} of {len(table)} validation and calibration calls")

    with ExitStack() as engines:
        engine = engines.enter_context(serving_model(group, champion.lake_digest, adapter.folder, base, settings))
        judge = engines.enter_context(verifier_engine(verifier.local(), base, settings)) if verifier else None

        def answer(example: Json, asked: Asked) -> Proposal:
            task = example["task"]
            ask = asking(engine, example, adapter, base, schemas, settings)
            said = propose(ask, asked, 1 if task in at_once else settings.max_samples, settings.leeway, settings.seed)
            if judge is None or task in at_once:
                return said
            messages = json.loads(example[COLUMN[adapter.form]])
            with judging:
                return replace(said, verified=says_right(judge, messages, said.text, base, settings))

        return outcomes(table, tasks, checkers, answer, settings, tick, engine.parallel)
