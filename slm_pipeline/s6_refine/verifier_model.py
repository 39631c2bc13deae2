"""A small model that says whether an answer is right: an adapter on the champion's base, trained on its right and wrong answers.

The answers are drawn for calls of the training split, so that validation and calibration stay unseen (Cobbe et al. 2021, "Training
Verifiers to Solve Math Word Problems", section 4.2). What it says is one more number for the verifier to weigh.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from slm_pipeline.answering import Asked, sampling
from slm_pipeline.answers import given_answer
from slm_pipeline.checkers import checkers_of
from slm_pipeline.inference import COLUMN, Adapter, adapter_of, adapter_prompt, asking, serving_model, task_schemas
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Engine, Model
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s6_refine.outcomes import judged
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.settings import Settings

VERIFIER = "s6_refine/verifier_model"
VERSION = 1  # raise it when the same answers shall give another model
QUESTION = "Is this answer right? Say yes or no."
YES, NO = "yes", "no"
SAMPLES = 3
"""Answers that are drawn for a call, the greedy one among them."""
LEAST = 10
"""Answers of either kind that it takes."""
HELD_OUT = 5
"""Of so many sessions the answers of one choose the epoch."""
USED = {"seed", "verifier_examples", "max_prompt_tokens", "max_answer_tokens", "leeway", "similarity_pass"}


def question(messages: list[Json], answer: str) -> list[Json]:
    """What it is asked about an `answer` to `messages`."""
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": QUESTION}]


def says_right(model: Model, messages: list[Json], answer: str, base: BaseFiles, settings: Settings) -> float:
    """How sure it is, from 0 to 1, that the answer is right: above one half where it says yes, the farther the likelier that word. NaN if
    it says something else. Raises RuntimeError as `model.answer` does."""
    said = model.answer(adapter_prompt(question(messages, answer), base.folder, settings), None, 1, how=sampling(0, settings.seed))
    if not said.log_probs or not said.text:
        return math.nan
    share = math.exp(said.log_probs[0])
    return (1 + share) / 2 if YES.startswith(said.text) else (1 - share) / 2 if NO.startswith(said.text) else math.nan


def verifier_engine(folder: Path, base: BaseFiles, settings: Settings) -> Engine:
    """The model whose files lie in `folder`."""
    from slm_pipeline.s5_finetune.fit import served

    return Engine(*served(base, folder), settings.context_tokens)


def train_verifier(group: str, champion: AdapterVersion, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact | None, bool]:
    """The model of a group's champion, and whether it was made now. None where `verifier_examples` is 0, or where the champion was too
    seldom right, or wrong. Holds an adapter's files, and `verifier` (facts)."""
    lake = Lake(settings.lake)
    examples, written = lake.read("s3_cluster/task_examples", group), lake.read(VERIFIER, group)
    if not settings.verifier_examples:
        return None, False
    tasks = examples.json("tasks")
    checkers = checkers_of(tasks, group, settings)
    checked = {task: checker.digest for task, checker in sorted(checkers.items())}
    inputs = digest(VERSION, examples.digest, champion.lake_digest, champion.base, checked, settings.model_dump(mode="json", include=USED))
    if written and written.inputs == inputs:
        return written, False
    adapter, base = adapter_of(lake.version(ADAPTER, group, champion.lake_digest)), ensure_base(champion.base, settings)
    rows = pd.DataFrame(_drawn(group, examples, champion, adapter, base, settings, say))
    counts = rows["right"].value_counts()
    if min(counts.get(True, 0), counts.get(False, 0)) < LEAST:
        say(f"no verifier model: {counts.get(True, 0)} right and {counts.get(False, 0)} wrong answers, and {LEAST} of each are needed")
        return None, False
    facts = {"adapter": champion.lake_digest, "base": champion.base, "right": int(counts[True]), "wrong": int(counts[False])}
    return lake.write(VERIFIER, group, _fitted(group, rows, base, settings, say) | {"verifier": facts}, inputs, keep_old=True), True


def _drawn(
    group: str,
    examples: Artefact,
    champion: AdapterVersion,
    adapter: Adapter,
    base: BaseFiles,
    settings: Settings,
    say: Callable[[str], None],
) -> Iterator[Json]:
    """The champion's answers to training calls, each once: session, messages, answer, and whether it is right."""
    from slm_pipeline.s5_finetune.trial import drawn

    tasks, table = examples.json("tasks"), examples.table("examples")
    checkers, schemas = checkers_of(tasks, group, settings), task_schemas(tasks)
    calls = drawn(table[table["split"] == "train"], settings.verifier_examples, settings.seed).to_dict("records")
    with serving_model(group, champion.lake_digest, adapter.folder, base, settings) as model:
        for number, call in enumerate(calls, 1):
            task, messages = call["task"], json.loads(call[COLUMN[adapter.form]])
            asked = Asked(json.loads(call["full_messages"]), tasks[task].get("tools") or [], checkers.get(task))
            ask = asking(model, call, adapter, base, schemas, settings)
            said = {ask(sampling(i, settings.seed)).text for i in range(SAMPLES)}
            for text in sorted(said):
                right, _, _ = judged(call, given_answer(text, asked.tools), asked, settings)
                yield {"session_id": call["session_id"], "messages": messages, "answer": text, "right": right}
            if number % 20 == 0 or number == len(calls):
                say(f"verifier of {group}: {number} of {len(calls)} training calls")


def _fitted(group: str, rows: pd.DataFrame, base: BaseFiles, settings: Settings, say: Callable[[str], None]) -> dict[str, bytes]:
    from slm_pipeline.prompting import token_ids
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.dataset import Dataset, Encoded
    from slm_pipeline.s5_finetune.fit import fit

    split: dict[bool, list[Encoded]] = {True: [], False: []}
    for row in rows.itertuples():
        prompt = token_ids(adapter_prompt(question(row.messages, row.answer), base.folder, settings), base.folder)
        held_out = int(digest(settings.seed, row.session_id), 16) % HELD_OUT == 0
        split[held_out].append(Encoded(prompt, token_ids(YES if row.right else NO, base.folder)))

    def on_step(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            say(f"verifier of {group}: step {step} of at most {steps}, loss {loss:.3f}")

    dataset = Dataset(split[False] or split[True], split[True], group, 0, 0)
    with TemporaryDirectory() as folder:
        fit(base, dataset, default_configuration(settings), settings, Path(folder), on_step=on_step)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
