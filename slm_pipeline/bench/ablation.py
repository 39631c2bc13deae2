"""`slm bench ablation`: what each part of an SLM's way to an answer adds, and what it costs, on calls that nothing was learned from."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from slm_pipeline.answering import KNOWN, Asked, Proposal, propose, sampling
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._step_lines import is_step_traffic
from slm_pipeline.bench._traffic import GOLD_STEPS, calls_of, collected, files_of
from slm_pipeline.checkers import Checker, checkers_of
from slm_pipeline.inference import COLUMN, asking, serving_model, task_schemas
from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.lake import Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
CALLS = 80
"""Calls at most that are asked to learn from, and as many to judge by."""
SIGNALS = {
    "log_probabilities": ("log_prob", "least_log_prob"),
    "self_consistency": ("agreement", "samples"),
    "verifier_model": ("verified",),
    "checker": ("checked",),
}
"""By part: the numbers of `answering.KNOWN` that it adds. What the answer's text says of itself is known from the first verifier on."""
PARTS = ("slm", "router", *SIGNALS, "tools")
TOOLS = ("calculator", "dates")


def measure(settings: Settings, data: Path | None) -> Json:
    """For every one of PARTS, each with all before it: `<part>_right`, the share of test calls that the SLM's answer is right on;
    `<part>_half`, the share right among the surest half; `<part>_served`, the share served if at most alpha of the served may be wrong
    where the LLM is right, by a threshold from other calls, and `<part>_wrong` of these; `<part>_tokens` and `<part>_ms` of a call; and
    `<part>_adds`, the paired difference of `half` to the part before, with its 95 % interval. Says the table on standard error.
    `verifier_auroc`: how well the verifier model alone tells right from wrong.

    `slm` answers greedily and is believed blindly; the surest half is then any. The largest group of the traffic, or of the sample, is
    measured. Traffic of arithmetic steps has a checker that knows what is right, which judges all parts and is used by the last two; other
    traffic has what is in `<home>/checkers`, or none. With tools, the SLM is another one, trained with calculator and dates.
    """
    from slm_pipeline.s1_collect.sample import sample_traffic

    data = data or sample_traffic(settings)
    with temporary_home(settings) as fresh:
        figures = _measure(fresh.model_copy(update={"verifier_examples": settings.verifier_examples or 2 * CALLS}), data)
    return figures | {"seed": settings.seed, "alpha": settings.alpha, "most_samples": settings.max_samples}


def _measure(settings: Settings, data: Path) -> Json:
    lake = collected(settings, data)
    group = max(lake.partitions(EXAMPLES), key=lambda of: (len(lake.read(EXAMPLES, of).table("examples", ["id"])), of))
    checkers = _checkers(lake, group, data, settings)
    plain = _System(lake, group, settings, checkers)
    equipped = _System(lake, group, settings.model_copy(update={"granted_tools": {"*": TOOLS}}), checkers, plain)
    seen = {part: (equipped if part == "tools" else plain).answered(part) for part in PARTS}
    return _figures(seen, settings) | {"verifier_auroc": _auroc(seen["verifier_model"])}


def _checkers(lake: Lake, group: str, data: Path, settings: Settings) -> Mapping[str, Checker]:
    tasks = lake.read(EXAMPLES, group).json("tasks")
    if is_step_traffic(calls_of(files_of(data))):
        return dict.fromkeys(tasks, Checker(GOLD_STEPS, GOLD_STEPS.read_text()))
    return checkers_of(tasks, group, settings)


class _System:
    """An SLM with its verifier model, and what it said to the calls that are measured: each is asked once, for all parts. One that turns
    out to be the same as `other`, since no answer has a use for its tools, has said the same."""

    def __init__(self, lake: Lake, group: str, settings: Settings, checkers: Mapping[str, Checker], other: "_System | None" = None):
        from slm_pipeline.inference import adapter_of
        from slm_pipeline.resources import tracking
        from slm_pipeline.s4_select.base_models import ensure_base
        from slm_pipeline.s5_finetune.attempt import fine_tune
        from slm_pipeline.s5_finetune.trial import drawn
        from slm_pipeline.s6_refine.verifier_model import train_verifier

        self.settings, self.checkers, self.tasks = settings, checkers, lake.read(EXAMPLES, group).json("tasks")
        examples = lake.read(EXAMPLES, group).table("examples")
        parts = {"learn": examples["split"].isin(["validation", "calibration"]), "test": examples["split"] == "test"}
        calls = [drawn(examples[of], CALLS, settings.seed).assign(part=part) for part, of in parts.items()]
        self.calls = pd.concat(calls, ignore_index=True).to_dict("records")
        lake.write("s4_select/selected_base", group, {"selection": {"base": settings.base_models[0]}})
        trained, _ = fine_tune(group, settings, "", _say_step)
        self.adapter, self.digest = adapter_of(trained), trained.digest
        if other and other.digest == trained.digest:
            self.base, self.said, self.verified = other.base, other.said, other.verified
            return
        tracking.promote(settings, group, tracking.challenger(settings, group).version)
        champion = tracking.champion(settings, group)
        self.base = ensure_base(champion.base, settings)
        self.said = self._asked(group, champion.lake_digest)
        judge, _ = train_verifier(group, champion, settings, lambda line: print(line, file=sys.stderr, flush=True))
        self.verified = self._verified(judge.local()) if judge else {}

    def answered(self, part: str) -> pd.DataFrame:
        """A row for each call: part, session, whether SLM and LLM are right, the score of the answer, tokens and time."""
        from slm_pipeline.router.models import Outcomes, learn
        from slm_pipeline.router.text import router_text
        from slm_pipeline.s6_refine.outcomes import judged
        from slm_pipeline.s6_refine.replaceability import PASSED

        place = PARTS.index(part)
        hidden = [KNOWN.index(name) for later in list(SIGNALS)[max(0, place - 1) :] for name in SIGNALS[later]]
        rows, known, answers = [], [], []
        for i, (call, proposal) in enumerate(zip(self.calls, self._proposals(part), strict=True)):
            asked = self._as_asked(call, with_checker=True)
            slm, llm, _ = judged(call, proposal.answer, asked, self.settings)
            verified = self.verified.get((i, proposal.text), np.nan)
            numbers = replace(proposal, verified=verified).known(asked)
            numbers[hidden] = np.nan
            known.append(numbers)
            answers.append(proposal.text)
            of = {"part": call["part"], "session_id": call["session_id"], "slm": float(slm), "llm": float(llm)}
            rows.append(of | {"tokens": proposal.tokens, "ms": proposal.latency_ms, "passed": proposal.passed, "verified": verified})
        table, texts = pd.DataFrame(rows), [router_text(json.loads(call["messages"])) for call in self.calls]
        seen = Outcomes(texts, answers, np.array(known), table["slm"].to_numpy(), table["llm"].to_numpy(), table["session_id"].tolist())
        learned, test = (np.flatnonzero(table["part"] == name) for name in ("learn", "test"))
        keeper, own, _ = learn(seen.some(learned), self.settings.seed)
        if part == "slm":
            score = np.array([int(digest(self.settings.seed, call["id"]), 16) / 16**16 for call in self.calls])
        elif part == "router":
            score = keeper.chance(texts)
        else:
            rest, score = seen.some(test), np.zeros(len(table))
            score[learned], score[test] = own, keeper.scores(rest.texts, rest.answers, rest.known)
        if place >= PARTS.index("checker") and self.checkers:
            score = np.where(table["passed"], PASSED, score)
        return table.assign(score=score)

    def _proposals(self, part: str) -> list[Proposal]:
        place = PARTS.index(part)
        most = self.settings.max_samples if place >= PARTS.index("self_consistency") else 1
        found = []
        for call, said in zip(self.calls, self.said, strict=True):
            asked = self._as_asked(call, with_checker=place >= PARTS.index("checker"))
            ask = lambda how, said=said: said[how.seed - self.settings.seed]  # noqa: E731
            found.append(propose(ask, asked, most, self.settings.leeway, self.settings.seed))
        return found

    def _as_asked(self, call: Mapping, with_checker: bool) -> Asked:
        checker = self.checkers.get(call["task"]) if with_checker else None
        return Asked(json.loads(call["full_messages"]), self.tasks[call["task"]].get("tools") or [], checker)

    def _messages(self, call: Mapping) -> list[Json]:
        return json.loads(call[COLUMN[self.adapter.form]])

    def _asked(self, group: str, digest: str) -> list[list[Completion]]:
        """Every call's greedy answer, and samples behind it."""
        settings, schemas, said = self.settings, task_schemas(self.tasks), []
        with serving_model(group, digest, self.adapter.folder, self.base, settings) as model:
            for number, call in enumerate(self.calls, 1):
                ask = asking(model, call, self.adapter, self.base, schemas, settings)
                said.append([ask(sampling(i, settings.seed)) for i in range(settings.max_samples)])
                _say(f"{number} of {len(self.calls)} calls asked", number, len(self.calls))
        return said

    def _verified(self, folder: Path) -> dict[tuple[int, str], float]:
        """What the verifier model says of every answer that some part gives, by the call's place and the answer."""
        from slm_pipeline.s6_refine.verifier_model import says_right, verifier_engine

        wanted = {(i, of.text) for part in ("verifier_model", "checker") for i, of in enumerate(self._proposals(part))}
        with verifier_engine(folder, self.base, self.settings) as engine:
            return {
                (i, text): says_right(engine, self._messages(self.calls[i]), text, self.base, self.settings) for i, text in sorted(wanted)
            }


def _figures(seen: Mapping[str, pd.DataFrame], settings: Settings) -> Json:
    def interval(name: str, of: Interval) -> Json:
        return {name: of.mean, f"{name}_low": of.low, f"{name}_high": of.high}

    rows, before, n = {}, None, 0
    for part, table in seen.items():
        test = table[table["part"] == "test"].reset_index(drop=True)
        drawn, half, n = (test["session_id"], settings.bootstrap_samples, settings.seed), _surest(test, len(test) // 2), len(test)
        served = test["score"] >= _threshold(table[table["part"] == "learn"], settings.alpha)
        rows[part] = interval("right", mean_interval(test["slm"], *drawn)) | interval("half", mean_interval(half, *drawn))
        together = _together(test, half)
        rows[part] |= {} if before is None else interval("adds", paired_interval(together, before, *drawn))
        rows[part] |= {"served": served.mean(), "wrong": ((1 - test["slm"]) * test["llm"])[served].mean() if served.any() else None}
        rows[part] |= {"tokens": test["tokens"].mean(), "ms": test["ms"].mean()}
        before = together
    shown = pd.DataFrame(rows).T.astype(object)
    print(shown.where(shown.notna(), None).to_markdown(floatfmt=".3f", missingval="–"), file=sys.stderr, flush=True)
    told = {f"{part}_{name}": value for part, row in rows.items() for name, value in row.items()}
    return {"n": n} | {name: None if value is None else round(float(value), 4) for name, value in told.items()}


def _auroc(rows: pd.DataFrame) -> float | None:
    """How well the verifier model alone tells right answers to test calls from wrong ones; None without it, or without both kinds."""
    from sklearn.metrics import roc_auc_score

    told = rows[(rows["part"] == "test") & rows["verified"].notna()]
    return round(float(roc_auc_score(told["slm"], told["verified"])), 4) if told["slm"].nunique() == 2 else None


def _surest(test: pd.DataFrame, n: int) -> pd.Series:
    """Whether the SLM is right on the n calls that it is surest of; NaN on the others."""
    chosen = test["score"].sort_values(ascending=False, kind="stable").index[:n]
    return test["slm"].where(test.index.isin(chosen))


def _together(test: pd.DataFrame, half: pd.Series) -> pd.Series:
    """What a client gets if the SLM serves the surest half and the LLM the rest: right or not."""
    return half.fillna(test["llm"])


def _threshold(learned: pd.DataFrame, alpha: float) -> float:
    """The score from which most calls are served with at most alpha of them lost; above all scores if there is none."""
    ordered = learned.sort_values("score", ascending=False, kind="stable")
    lost = ((1 - ordered["slm"]) * ordered["llm"]).to_numpy()
    fine = np.flatnonzero(np.cumsum(lost) <= alpha * np.arange(1, len(lost) + 1) + 1e-9)
    return float(ordered["score"].iloc[fine[-1]]) if len(fine) else np.inf


def _say_step(step: int, steps: int, loss: float) -> None:
    _say(f"step {step} of at most {steps}, loss {loss:.3f}", step, steps)


def _say(line: str, number: int, of: int) -> None:
    if number % 20 == 0 or number == of:
        print(line, file=sys.stderr, flush=True)
