"""Asks a base model or an adapter the examples of a group: how S4 probes, S6 evaluates and `slm replay` answers."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from slm_pipeline.answers import answer_schema
from slm_pipeline.lake import Artefact, digest
from slm_pipeline.prompting import fit_messages, render_prompt
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion, Engine, Model, Sampling
from slm_pipeline.resources.slm_server import ServedModel, served_name, server_of
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune.configuration import COLUMN, Form
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import Tool, tools_of


def task_schemas(tasks: dict[str, Json]) -> dict[str, Json | None]:
    """The schema that constrains decoding, by task: from the task's tools and the forms of its training answers."""
    return {key: answer_schema(task["tools"], task["forms"], task["response_format"]) for key, task in tasks.items()}


def prompt_form(training: Json) -> Form:
    """The form of prompt that an adapter was trained with, by its training.json; older ones do not say it."""
    return training.get("params", {}).get("prompt", "factored")


def granted_tools(training: Json) -> dict[str, tuple[Tool, ...]]:
    """The tools that each task was granted when an adapter was trained, by its training.json."""
    return {task: tools_of(tools) for task, tools in training.get("tools", {}).items()}


@dataclass(frozen=True)
class Adapter:
    """A trained adapter as it is asked: the folder of its files, the form of prompt, and the tools that each task was granted."""

    folder: Path
    form: Form = "factored"
    tools: Mapping[str, Collection[Tool]] = field(default_factory=dict)


def adapter_of(files: Artefact) -> Adapter:
    """The adapter in the lake, asked as it was trained."""
    training = files.json("training")
    return Adapter(files.local(), prompt_form(training), granted_tools(training))


def adapter_prompt(messages: list[Json], folder: Path, settings: Settings) -> str:
    """What an adapter reads: the factored messages, shortened to `max_prompt_tokens` from their beginning."""
    return render_prompt(fit_messages(messages, folder, settings.max_prompt_tokens)[0], folder)


def serving_model(group: str, adapter: str, folder: Path, base: BaseFiles, settings: Settings) -> Model:
    """What answers for a group: the embedded engine, or the server that the settings name. `adapter`: digest of the files in `folder`."""
    from slm_pipeline.s5_finetune.fit import served

    if server := server_of(group, settings):
        return ServedModel(server, served_name(group, adapter), folder)
    return Engine(*served(base, folder), settings.context_tokens)


def asking(
    model: Model, example: Mapping, adapter: Adapter, base: BaseFiles, schemas: Mapping[str, Json | None], settings: Settings
) -> Callable[[Sampling], Completion]:
    """What the model that serves `adapter` answers to an example, sampled as it is then told."""
    prompt, task = adapter_prompt(json.loads(example[COLUMN[adapter.form]]), base.folder, settings), example["task"]
    return partial(model.answer, prompt, schemas.get(task), settings.max_answer_tokens, adapter.tools.get(task, ()))


def ask_adapter(
    examples: pd.DataFrame,
    schemas: dict[str, Json | None],
    base: BaseFiles,
    adapter: Adapter,
    settings: Settings,
    on_done: Callable[[], None] = lambda: None,
) -> list[Completion]:
    """The adapter's answers to `examples` (columns task, and messages or full_messages by its form of prompt), in their order."""
    from slm_pipeline.s5_finetune.fit import served

    prompts = [adapter_prompt(json.loads(messages), base.folder, settings) for messages in examples[COLUMN[adapter.form]]]
    wanted, granted = [schemas.get(task) for task in examples["task"]], [adapter.tools.get(task, ()) for task in examples["task"]]
    return _ask(prompts, wanted, *served(base, adapter.folder), settings.max_prompt_tokens, settings, on_done, granted)


def ask_base(
    examples: pd.DataFrame,
    training: pd.DataFrame,
    schemas: dict[str, Json | None],
    base: BaseFiles,
    form: Form,
    settings: Settings,
    on_done: Callable[[], None] = lambda: None,
    known: dict[str, Completion] | None = None,
) -> list[Completion]:
    """The untuned base's answers to `examples`, shown `few_shot` training examples of the same task (else group) first.

    `known` holds answers by what was asked: these are not asked again, and new ones are added to it.
    """
    prompts = base_prompts(examples, training, base, form, settings)
    wanted, known = [schemas.get(task) for task in examples["task"]], {} if known is None else known
    keys = [digest(base.name, prompt, schema, settings.max_answer_tokens) for prompt, schema in zip(prompts, wanted, strict=True)]
    fresh = [i for i, key in enumerate(keys) if key not in known]
    for _ in range(len(keys) - len(fresh)):
        on_done()
    if fresh:
        unknown = [prompts[i] for i in fresh], [wanted[i] for i in fresh]
        said = _ask(*unknown, base.gguf, None, settings.base_prompt_tokens, settings, on_done)
        known |= {keys[i]: completion for i, completion in zip(fresh, said, strict=True)}
    return [known[key] for key in keys]


def base_prompts(examples: pd.DataFrame, training: pd.DataFrame, base: BaseFiles, form: Form, settings: Settings) -> list[str]:
    """The untuned base's prompts. Which training examples it is shown depends on their content alone, not on how many there are
    or whether an SLM failed on them, so that most prompts stay as they are when examples are added."""
    rank = [digest(settings.seed, messages, answer) for messages, answer in zip(training["messages"], training["answer"], strict=True)]
    shots = training.assign(rank=rank).sort_values("rank", kind="stable").drop_duplicates("rank")
    by_task = dict(tuple(shots.groupby("task")))
    prompts = []
    for example in examples.itertuples():
        same = by_task.get(example.task, shots)
        shown = same[same["id"] != example.id].head(settings.few_shot)
        messages = few_shot_messages(json.loads(getattr(example, COLUMN[form])), shown, form)
        prompts.append(render_prompt(fit_messages(messages, base.folder, settings.base_prompt_tokens)[0], base.folder))
    return prompts


def few_shot_messages(messages: list[Json], shown: pd.DataFrame, form: Form) -> list[Json]:
    """`messages` with the last turn of each shown example, and its answer, between system message and conversation."""
    turns = []
    for shot in shown.itertuples():
        turns += [json.loads(getattr(shot, COLUMN[form]))[-1], {"role": "assistant", "content": shot.answer}]
    head = messages[:1] if messages[0]["role"] == "system" else []
    return head + turns + messages[len(head) :]


def _ask(
    prompts: list[str],
    schemas: list[Json | None],
    model: Path,
    adapter: Path | None,
    prompt_tokens: int,
    settings: Settings,
    on_done: Callable[[], None],
    tools: Sequence[Collection[Tool]] | None = None,
) -> list[Completion]:
    context = prompt_tokens + settings.max_answer_tokens + 64
    with Engine(model, adapter, context) as engine:
        return engine.complete(prompts, schemas, settings.max_answer_tokens, on_done, tools)
