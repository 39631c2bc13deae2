"""How long a group's calls are, in tokens: what memory and latency are predicted for."""

import json
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.s4_select.base_models import base_files, is_present
from slm_pipeline.settings import Settings

SAMPLE = 300  # examples at most whose tokens are counted, drawn by seed
CHARACTERS = 4  # a token, where no base is here whose tokenizer could count


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompts and answers at the 50th and 95th percentile; `n` calls were counted."""

    prompt_p50: int
    prompt_p95: int
    answer_p50: int
    answer_p95: int
    n: int


def longest_lengths(settings: Settings) -> Lengths:
    """The longest calls that an adapter can be asked."""
    prompt, answer = settings.max_prompt_tokens, settings.max_answer_tokens
    return Lengths(prompt, prompt, answer, answer, 0)


def group_lengths(examples: pd.DataFrame, settings: Settings) -> Lengths:
    """Lengths of a group's calls with the factored prompt (columns messages, answer of `task_examples`), cut off as settings say."""
    if examples.empty:
        return longest_lengths(settings)
    drawn = examples.sample(min(SAMPLE, len(examples)), random_state=settings.seed)
    count = _counter(settings)
    prompts = pd.Series([sum(count(m["content"] or "") + 4 for m in json.loads(text)) for text in drawn["messages"]])
    answers = pd.Series([count(text) for text in drawn["answer"]])
    prompts, answers = prompts.clip(upper=settings.max_prompt_tokens), answers.clip(upper=settings.max_answer_tokens)
    return Lengths(*(round(s.quantile(q)) for s in (prompts, answers) for q in (0.5, 0.95)), len(drawn))


def _counter(settings: Settings):
    here = next((name for name in settings.base_models if is_present(name, settings)), None)
    if here is None:
        return lambda text: -(-len(text) // CHARACTERS)
    from slm_pipeline.prompting import token_ids

    folder = base_files(here, settings).folder
    return lambda text: len(token_ids(text, folder)) if (folder / "tokenizer.json").exists() else -(-len(text) // CHARACTERS)
