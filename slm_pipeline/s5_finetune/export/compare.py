"""Proof that an export says what the adapter says: loaded back, and asked the group's validation prompts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slm_pipeline.prompting import token_ids, tokenizer
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Engine

if TYPE_CHECKING:
    import torch

MAX_LOGIT_DIFFERENCE = 1e-3
MIN_AGREEMENT = 0.95
LOGITS, GREEDY = "largest logit difference", "same greedy answers"
LAST = 16  # positions of a prompt whose logits are compared: the last ones see all of it


@dataclass(frozen=True)
class Comparison:
    """`value` of an exported `form` against PEFT over `n` prompts; `bar` is what it must reach, None for what is only reported.

    `measure` is LOGITS, at most the bar, or GREEDY, a share that is at least the bar.
    """

    form: str
    measure: str
    value: float
    bar: float | None
    n: int

    @property
    def passed(self) -> bool:
        return self.bar is None or (self.value <= self.bar if self.measure == LOGITS else self.value >= self.bar)

    def json(self) -> Json:
        return asdict(self) | {"passed": self.passed}


class ComparisonFailed(RuntimeError):
    """An export does not say what the adapter says; gives the numbers."""


def compare_logits(form: str, model, expected: Sequence["torch.Tensor"], prompts: Sequence[str], folder: Path) -> Comparison:
    """`model` against logits that `last_logits` gave of another for the same prompts."""
    found = last_logits(model, prompts, folder)
    largest = max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))
    return Comparison(form, LOGITS, largest, MAX_LOGIT_DIFFERENCE, len(prompts))


def compare_answers(form: str, said: Sequence[str], expected: Sequence[str], bar: float | None) -> Comparison:
    """Greedy answers of llama.cpp against those of PEFT, word for word."""
    same = sum(one == other for one, other in zip(said, expected, strict=True)) / len(expected)
    return Comparison(form, GREEDY, same, bar, len(expected))


def last_logits(model, prompts: Sequence[str], folder: Path) -> list["torch.Tensor"]:
    """Logits (positions, vocabulary) at the last positions of each prompt; tokens are those of the tokenizer in `folder`."""
    import torch

    with torch.inference_mode():
        return [model(input_ids=torch.tensor([token_ids(prompt, folder)])).logits[0, -LAST:].float() for prompt in prompts]


def greedy_answers(model, prompts: Sequence[str], folder: Path, tokens: int, on_done: Callable[[], None] = lambda: None) -> list[str]:
    """What `model`, in transformers, answers with at most `tokens` tokens, always taking the likeliest."""
    import torch

    answers = []
    for prompt in prompts:
        ids = torch.tensor([token_ids(prompt, folder)])
        with torch.inference_mode():
            said = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
            )
        answers.append(tokenizer(folder).decode(said[0, ids.shape[1] :].tolist()))
        on_done()
    return answers


def llama_cpp_answers(
    gguf: Path, adapter: Path | None, prompts: Sequence[str], context: int, tokens: int, on_done: Callable[[], None] = lambda: None
) -> list[str]:
    """What llama.cpp answers, greedily and unconstrained."""
    with Engine(gguf, adapter, context) as engine:
        return [completion.text for completion in engine.complete(prompts, [None] * len(prompts), tokens, on_done)]


def require(comparisons: Sequence[Comparison]) -> None:
    """Raises ComparisonFailed if any of them missed its bar."""
    if missed := [c for c in comparisons if not c.passed]:
        said = "; ".join(f"{c.form}: {c.measure} {c.value:.4g} over {c.n} prompts, bar {c.bar:g}" for c in missed)
        raise ComparisonFailed(f"not exported, for it does not say what the adapter says. {said}")
