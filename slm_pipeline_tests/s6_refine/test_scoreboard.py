"""The scoreboard repeats the reports' figures, pools by calls, and its plots are small pictures."""

import json

import pandas as pd
import pytest

from slm_pipeline.plots import as_markdown_image, groups_png, loss_curves_png, scores_png
from slm_pipeline.s6_refine.evaluation import build_report, score_answers, score_majority, score_teacher
from slm_pipeline.s6_refine.gate import judge, non_inferiority
from slm_pipeline.s6_refine.scoreboard import as_markdown, build_scoreboard
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import TASKS, Said, example, examples, right

SETTINGS = Settings(bootstrap_samples=400)


def group(name: str, table: pd.DataFrame, adapter: list, base: list) -> tuple[dict, pd.DataFrame]:
    test = table[table["split"] == "test"].reset_index(drop=True)
    frames = [score_answers("base", "full", test, base, TASKS), score_answers("adapter", "factored", test, adapter, TASKS)]
    frames += [score_teacher(test, TASKS), score_majority(test, table[table["split"] == "train"])]
    predictions = pd.concat(frames, ignore_index=True)
    facts = {"group": name, "base": {"name": "tiny", "forms": {}}, "adapter": {"digest": "a", "version": "1"}, "champion": None}
    report = build_report(test, predictions, SETTINGS, facts)
    report["gate"] = vars(judge(report, SETTINGS, "a"))
    report["noninferiority"] = vars(non_inferiority(report, SETTINGS))
    return report, predictions.assign(group=name, id=name + predictions["id"], session_id=name + predictions["session_id"])


@pytest.fixture(scope="module")
def reports():
    large, small = examples(40), examples(10)
    texts = pd.DataFrame([example(i, "test", f"line {i}", form="text") for i in range(6)])
    return {
        "large-1": group("large-1", large, right(large[large["split"] == "test"], 0.8), right(large[large["split"] == "test"], 0.3)),
        "small-2": group("small-2", small, right(small[small["split"] == "test"], 0.2), right(small[small["split"] == "test"], 0.2)),
        "text-3": group("text-3", texts, [Said(f"line {i}") for i in range(6)], [Said("else") for _ in range(6)]),
    }


@pytest.fixture(scope="module")
def board(reports):
    predictions = pd.concat([predictions for _, predictions in reports.values()])
    return build_scoreboard({g: r for g, (r, _) in reports.items()}, predictions, {"large-1": "1"}, {"large-1": {"total": 3}}, SETTINGS)


def test_groups_are_pooled_by_calls_and_text_apart(board):
    pooled = board["pooled"]["call"]
    assert pooled["n"] == 50
    assert pooled["adapter"]["mean"] == pytest.approx((0.8 * 40 + 0.2 * 10) / 50)
    assert pooled["gain"]["low"] > 0
    assert pooled["tool_gain"]["mean"] > 0
    assert board["pooled"]["similarity"]["n"] == 6
    assert json.dumps(board, allow_nan=False)


def test_rows_are_the_reports_figures(board, reports):
    row = board["groups"][0]
    assert row["gain"] == reports["large-1"][0]["gain"]["base"]["accuracy"]
    assert (row["champion"], row["failures"]) == ("v1", 3)
    assert board["groups"][1]["champion"] is None


def test_the_table_reads_well(board):
    table = as_markdown(board)
    assert "Against the teacher not testable: neither gold nor a checker says what is right." in table
    assert "| large-1 | 40 | 30.0% | 80.0% | +50.0 [" in table
    assert "- small-2: too few test calls: 10, 20 needed. Score: whole calls right; " in table
    assert "| **all: 2 groups, whole calls right** | 50 |" in table
    assert max(map(len, table.splitlines()[:6])) <= 120, "a terminal would break it"
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_plots_are_small_pictures(reports):
    curves = [{"step": i, "epoch": i / 10, "train_loss": 1 / (i + 1), "val_loss": 0.5 if i % 10 == 9 else None} for i in range(30)]
    for png in (loss_curves_png(curves), scores_png(reports["large-1"][0]), groups_png({g: r for g, (r, _) in reports.items()})):
        assert png.startswith(b"\x89PNG")
        assert len(png) < 60_000
        assert as_markdown_image(png).startswith("![plot](data:image/png;base64,")
    assert loss_curves_png(curves) == loss_curves_png(curves)
    assert loss_curves_png([]).startswith(b"\x89PNG")
