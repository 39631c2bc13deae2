"""Where an adapter is good and where it is not: its score on slices of the test split, by length, language and rarity of the tool."""

import json
from collections import Counter

import pandas as pd

from slm_pipeline.answers import target_answer
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.language import language
from slm_pipeline.s6_refine.evaluation import compare, measure
from slm_pipeline.scores import tool_names
from slm_pipeline.settings import Settings

UNCLEAR = "short or mixed"


def slice_scores(test: pd.DataFrame, training: pd.DataFrame, predictions: pd.DataFrame, metric: str, settings: Settings) -> list[Json]:
    """One object for each slice that holds some but not all of the test calls: `by`, `slice`, n, adapter and gain over the base (intervals
    of `metric`), and `few`: whether it has fewer than `min_slice_calls` calls, too few to tell much.

    `test` and `training` are examples of the group, `predictions` those of base and adapter on `test`.
    """
    found = []
    for by, labels in slices_of(test, training, settings).items():
        for name, of in labels.groupby(labels, sort=True):
            if len(of) == len(test):
                continue
            rows = predictions[predictions["id"].isin(test.loc[of.index, "id"])]
            adapter, gain = measure(rows, "adapter", metric, settings), compare(rows, "adapter", "base", metric, settings)
            few = len(of) < settings.min_slice_calls
            found.append({"by": by, "slice": name, "n": len(of), "few": few, "adapter": adapter.json(), "gain": gain.json()})
    return found


def slices_of(test: pd.DataFrame, training: pd.DataFrame, settings: Settings) -> dict[str, pd.Series]:
    """The slice of each test example (index of `test`), by what they are cut by; examples that a cut does not concern are left out.

    Length is that of the factored prompt in characters, in thirds. A tool's rarity is its share of the training calls of tools.
    """
    lengths = test["messages"].map(lambda messages: sum(len(message["content"]) for message in json.loads(messages)))
    return {
        "prompt length": _thirds(lengths),
        "language": test["messages"].map(lambda messages: language(_varying(messages)) or UNCLEAR),
        "tool": _rarity(test, training, settings.rare_tool_share),
    }


def _varying(messages: str) -> str:
    """All that is said after the system message."""
    return "\n".join(message["content"] for message in json.loads(messages) if message["role"] != "system")


def _thirds(lengths: pd.Series) -> pd.Series:
    first, second = lengths.quantile([1 / 3, 2 / 3], interpolation="lower") if len(lengths) else (0, 0)

    def third(length: int) -> str:
        if length <= first:
            return f"1: up to {first} characters"
        return f"2: {first + 1} to {second}" if length <= second else f"3: from {second + 1}"

    return lengths.map(third)


def _rarity(test: pd.DataFrame, training: pd.DataFrame, rare_share: float) -> pd.Series:
    """A call of several tools is as rare as its rarest one."""
    counts = Counter(name for names in _tools(training) for name in names)
    called = _tools(test)
    total = counts.total()

    def rarity(names: tuple[str, ...]) -> str:
        share = min(counts[name] for name in names) / total if total else 0
        return "never trained on" if share == 0 else f"rare, under {rare_share:.0%} of calls" if share < rare_share else "common"

    return called.map(rarity)


def _tools(examples: pd.DataFrame) -> pd.Series:
    called = examples[examples["form"] == "tool_call"]
    return pd.Series([tool_names(target_answer(example)) for example in called.to_dict("records")], called.index, dtype="object")
