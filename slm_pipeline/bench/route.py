"""`slm bench route`: how well routers and verifiers tell calls that the small model answers rightly, and whether certificates hold."""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from slm_pipeline.bench._rows import read_rows
from slm_pipeline.records import Json
from slm_pipeline.router.certificate import Calls, certify
from slm_pipeline.router.drift import OutcomeDrift, PromptDrift
from slm_pipeline.router.evidence import evidence
from slm_pipeline.router.outcomes import OutcomeModel, fit
from slm_pipeline.router.strangeness import Strangeness
from slm_pipeline.settings import Settings

TRAINED, DRAWS = 1_500, 5
"""Labels that a router learns from, and how often they are drawn; the rest is routed."""
FOLDS = 5
ALPHAS, DELTA = (0.05, 0.10, 0.15, 0.20), 0.10
CALIBRATION, RESAMPLES = 6_000, 1_000
LENGTHS = {"": 300, "_long": 8_000}  # characters of the prompts that are timed
TIMED = 1_000
CHANGE, RUNS, QUIET = 1_000, 200, 10_000
"""Calls before a change, runs with one, and calls of a run without one."""
AUDITED_RISK = 0.2  # which doubles
REFERENCE = 1_000  # calls that the strangeness of others is taken from; of 500, changes are found in twice the time


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `route`. `data`: a file of {id, group, prompt, slm_ok, llm_ok}, with `slm_answer` for the verifier's figures.

    `apgr` and `cpt50` (Ong et al. 2024, RouteLLM, section 4) of a router that learned 1,500 labels, the mean of five draws, each on all
    other calls; `*_five_fold`, `ece` (probability that the small model is right, ten bins) and `auroc` of five folds. With answers, `auroc`
    is the verifier's, which sees the answer too, and `auroc_gain` its difference to the router's. `violation_rate`: how often, of 1,000
    calibrations of 6,000 calls, the risk on all calls is beyond alpha, `slm_share` the mean share served. `drift_delay`: calls until
    traffic is found changed of which half is another agent's, and audits until a doubled risk is (medians, and 95 % of runs).
    """
    if data is None:
        raise ValueError("`slm bench route` needs --data: a file of {id, group, prompt, slm_ok, llm_ok}")
    rows = list(read_rows(data))
    texts = np.array([row["prompt"] for row in rows], dtype=object)
    right = {model: np.array([row[f"{model}_ok"] for row in rows], float) for model in ("slm", "llm")}
    figures: Json = {"n": len(rows), "seed": settings.seed}
    if len(rows) >= 2 * TRAINED:
        figures |= _few_labels(texts, right, settings.seed)
    router, outcomes = _five_folds(texts, right, settings.seed)
    gain = _trade(outcomes["slm"] - outcomes["llm"], right)
    figures |= {"apgr_five_fold": gain[0], "cpt50_five_fold": gain[1], "ece": calibration_error(outcomes["slm"], right["slm"])}
    figures |= _discrimination(rows, texts, right, outcomes["slm"], settings)
    figures |= _times(router, texts)
    if len(rows) >= 2 * CALIBRATION:
        figures |= _promise(-outcomes["harm"], (1 - right["slm"]) * right["llm"], settings.seed)
    if len({row["group"] for row in rows}) > 1:
        figures |= _drift(texts, np.array([row["group"] for row in rows]), settings.seed)
    return figures


def trade_off(score: np.ndarray, small: np.ndarray, large: np.ndarray) -> tuple[float, float]:
    """APGR and CPT(50 %): the area under the share of the large model's gain that is kept, by the share of calls that it answers, the
    lowest `score` first; and the smallest such share that keeps half. `small`, `large`: who is right, by call."""
    gains = (large - small)[np.argsort(score, kind="stable")]
    kept = np.append(0.0, np.cumsum(gains) / gains.sum())
    share = np.arange(len(kept)) / len(gains)
    return float(np.trapezoid(kept, share)), float(share[int(np.argmax(kept >= 0.5))])


def calibration_error(probability: np.ndarray, happened: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error in bins of equal width (Naeini et al. 2015)."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [abs(probability[place == i].mean() - happened[place == i].mean()) * (place == i).mean() for i in set(place)]
    return float(sum(gaps))


def _trade(score: np.ndarray, right: dict[str, np.ndarray]) -> tuple[float, float]:
    apgr, cpt = trade_off(score, right["slm"], right["llm"])
    return round(apgr, 4), round(cpt, 4)


def _few_labels(texts: np.ndarray, right: dict[str, np.ndarray], seed: int) -> Json:
    found = []
    for draw in range(DRAWS):
        order = np.random.default_rng([seed, draw]).permutation(len(texts))
        known, rest = order[:TRAINED], order[TRAINED:]
        router = fit(texts[known], {model: of[known] for model, of in right.items()}, known, seed)
        told = router.right_of(router.outcomes(texts[rest]))
        found.append(_trade(told["slm"] - told["llm"], {model: of[rest] for model, of in right.items()}))
        _say(f"router of {TRAINED:,} labels, draw {draw + 1}: APGR {found[-1][0]:.3f}, CPT(50 %) {found[-1][1]:.3f}")
    apgr, cpt = np.array(found).T
    return {"labels": TRAINED, **_spread("apgr", apgr), **_spread("cpt50", cpt)}


def _spread(name: str, draws: np.ndarray) -> Json:
    return {name: round(float(draws.mean()), 4), f"{name}_low": float(draws.min()), f"{name}_high": float(draws.max())}


def _five_folds(
    texts: np.ndarray, right: dict[str, np.ndarray], seed: int, numbers: np.ndarray | None = None
) -> tuple[OutcomeModel, dict[str, np.ndarray]]:
    """The last fold's router; and for all calls, by routers that did not learn from them, how likely each model is right,
    and that the LLM is where the SLM is not (`harm`)."""
    folds = np.random.default_rng(seed).permutation(len(texts)) % FOLDS
    told = {name: np.zeros(len(texts)) for name in (*right, "harm")}
    for fold in range(FOLDS):
        known, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        given = (numbers[known], numbers[asked]) if numbers is not None else (None, None)
        router = fit(texts[known], {model: of[known] for model, of in right.items()}, known, seed, given[0])
        outcomes = router.outcomes(texts[asked], given[1])
        for name, of in router.right_of(outcomes).items():
            told[name][asked] = of
        if "llm" in right:
            told["harm"][asked] = router.harm(outcomes, "slm", "llm")
        _say(f"fold {fold + 1} of {FOLDS}")
    return router, told


def _discrimination(rows: list[Json], texts: np.ndarray, right: dict[str, np.ndarray], routed: np.ndarray, settings: Settings) -> Json:
    from sklearn.metrics import roc_auc_score

    ok, prompt_only = right["slm"], roc_auc_score(right["slm"], routed)
    if "slm_answer" not in rows[0]:
        return {"auroc": round(float(prompt_only), 4)}
    answers = np.array([row["slm_answer"] for row in rows], dtype=object)
    numbers = np.array([evidence(*pair) for pair in zip(texts, answers, strict=True)])
    _, verified = _five_folds(answers, {"slm": ok}, settings.seed, numbers)
    draws = np.random.default_rng(settings.seed).integers(0, len(ok), (settings.bootstrap_samples, len(ok)))
    gains = [roc_auc_score(ok[i], verified["slm"][i]) - roc_auc_score(ok[i], routed[i]) for i in draws if 0 < ok[i].sum() < len(ok)]
    auroc = roc_auc_score(ok, verified["slm"])
    low, high = np.quantile(gains, [0.025, 0.975])
    gain = {"auroc_gain": auroc - prompt_only, "auroc_gain_low": low, "auroc_gain_high": high}
    return {key: round(float(value), 4) for key, value in ({"auroc": auroc, "auroc_prompt_only": prompt_only} | gain).items()}


def _times(router: OutcomeModel, texts: np.ndarray) -> Json:
    """Milliseconds of one decision, by prompt length."""
    whole, figures = "\n".join(texts), {}
    for name, length in LENGTHS.items():
        milliseconds = []
        for i in range(TIMED):
            start = i * 97 % max(1, len(whole) - length)
            text, began = whole[start : start + length], perf_counter()
            router.outcomes([text])
            milliseconds.append((perf_counter() - began) * 1000)
        p50, p99 = np.quantile(milliseconds[TIMED // 10 :], [0.5, 0.99])
        figures |= {f"p50_ms{name}": round(float(p50), 3), f"p99_ms{name}": round(float(p99), 3)}
    return figures


def _promise(scores: np.ndarray, losses: np.ndarray, seed: int) -> Json:
    """Each resample has its own validation split, of as many calls as are left up to those of the calibration."""
    broken, shares = {}, {}
    ids = np.arange(len(scores))
    for alpha in ALPHAS:
        risks = []
        for draw in range(RESAMPLES):
            order = np.random.default_rng([seed, draw]).permutation(len(scores))
            calibration, validation = order[:CALIBRATION], order[CALIBRATION : 2 * CALIBRATION]
            certificate = certify(*(Calls(scores[i], losses[i], ids[i]) for i in (validation, calibration)), alpha, DELTA)
            served = scores >= (np.inf if certificate.threshold is None else certificate.threshold)
            risks.append((losses[served].mean() if served.any() else 0.0, served.mean()))
        risk, share = np.array(risks).T
        broken[str(alpha)], shares[str(alpha)] = round(float((risk > alpha).mean()), 4), round(float(share.mean()), 4)
        _say(f"alpha {alpha}: beyond it in {broken[str(alpha)]:.1%} of calibrations, {shares[str(alpha)]:.1%} of calls served")
    return {"violation_rate": broken, "slm_share": shares, "resamples": RESAMPLES, "calibration_calls": CALIBRATION, "delta": DELTA}


def _drift(texts: np.ndarray, groups: np.ndarray, seed: int) -> Json:
    """Half of the groups, drawn by seed, are one agent's; after CHANGE calls, every second call is of the others."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(groups))
    own = np.isin(groups, names[: len(names) // 2])
    mine, others = rng.permutation(np.flatnonzero(own)), rng.permutation(np.flatnonzero(~own))
    strange = Strangeness.to(texts[mine[:REFERENCE]]).of(texts)
    known, mine = strange[mine[REFERENCE : 2 * REFERENCE]], mine[2 * REFERENCE :]
    delays, false = [], 0
    for run in range(RUNS):
        draws = np.random.default_rng([seed, run])
        quiet, foreign = strange[draws.choice(mine, 2 * QUIET)], strange[draws.choice(others, QUIET)]
        drift = PromptDrift(known, seed=run)
        false += any(drift.see(value) for value in quiet[:QUIET])
        drift = PromptDrift(known, seed=run)
        for value in quiet[:CHANGE]:
            drift.see(value)
        mixed = np.where(draws.random(QUIET) < 0.5, quiet[QUIET:], foreign)
        delays.append(next((i for i, value in enumerate(mixed, 1) if drift.see(value)), QUIET))
    audits = [_audits(np.random.default_rng([seed, run])) for run in range(RUNS)]
    found = {"drift_delay": delays, "drift_delay_audits": [delay for delay, _ in audits]}
    figures = {name: float(np.median(of)) for name, of in found.items()} | {
        f"{name}_p95": float(np.quantile(of, 0.95)) for name, of in found.items()
    }
    return figures | {
        "false_alarms": false / RUNS,
        "false_alarms_audits": float(np.mean([alarm for _, alarm in audits])),
        "drift_runs": RUNS,
    }


def _audits(draws: np.random.Generator) -> tuple[int, bool]:
    """Audits of a doubled risk until it is found; and whether QUIET calls without one, 2 % of them audited, give a false alarm."""
    quiet, audited = OutcomeDrift(AUDITED_RISK), int(QUIET * 0.02)
    alarm = any(quiet.see(loss) for loss in draws.random(audited) < AUDITED_RISK)
    drift = OutcomeDrift(AUDITED_RISK)
    for loss in draws.random(audited) < AUDITED_RISK:
        drift.see(loss)
    return next(i for i in range(1, QUIET) if drift.see(draws.random() < 2 * AUDITED_RISK)), alarm


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
