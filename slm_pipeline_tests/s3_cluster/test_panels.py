import base64
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from slm_pipeline.plots import growth_png, map_png, shares_png
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.panels import clusters_panel, example_prompts, map_panel, traffic_panel
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.s3_cluster.task_map import OF_EACH, map_points
from slm_pipeline.s3_cluster.traffic import by_day, by_task, traffic
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=6, own_group_calls=24, min_group_calls=20)


@pytest.fixture(scope="module")
def sample():
    return sample_training([pd.concat([made.traffic(), made.table(made.tool_rows("garden", 3))], ignore_index=True)], SETTINGS)


@pytest.fixture(scope="module")
def clustered(sample):
    return find_clusters(sample, None, SETTINGS)


def counts(tasks, days=30):
    rng = np.random.default_rng(7)
    rows = [
        {"task": task, "day": f"2026-10-{day + 1:02}", "calls": int(rng.integers(1, 9)), "tokens": 10.0, "cost": None}
        for task in [*tasks, None]
        for day in range(days)
    ]
    return traffic([pd.DataFrame(rows).astype({"task": "str", "cost": "float64"})])


def pixels(png):
    return imread(io.BytesIO(png), format="png")[..., :3]


def test_the_map_keeps_calls_of_a_task_together_and_does_not_depend_on_their_order(sample, clustered):
    clusters, found = clustered
    points = map_points(sample, found, seed=7)
    assert points[["x", "y"]].min().min() >= 0
    assert points[["x", "y"]].max().max() <= 1
    assert points["task"].value_counts().max() <= OF_EACH
    assert points["task"].isna().sum() == 3
    assert set(points["task"].dropna()) == {task["key"] for task in clusters["tasks"]}
    own = points[points["task"].isin({task["key"] for task in clusters["tasks"] if task["agents"] in (["sorter"], ["booking"])})]
    places, tasks = own[["x", "y"]].to_numpy(), own["task"].to_numpy()
    distances = np.hypot(*(places[:, None] - places[None]).T) + np.eye(len(places)) * 9
    assert (tasks[distances.argmin(axis=1)] == tasks).mean() > 0.9
    shuffled = map_points(sample.sample(frac=1, random_state=1), found, seed=7)
    assert sorted(map(tuple, shuffled.fillna("").to_numpy())) == sorted(map(tuple, points.fillna("").to_numpy()))


def test_too_few_calls_have_no_map(sample, clustered):
    assert map_points(sample.head(3), clustered[1], seed=7).empty
    assert map_panel(map_points(sample.head(0), {}, seed=7), clustered[0])["map"].value == "none"


@pytest.mark.parametrize("tasks", [1, 5, 80])
def test_pictures_of_few_and_many_tasks_fit(tasks):
    names = {f"task-{i}": f"write letters about thing number {i}" for i in range(tasks)}
    rng = np.random.default_rng(7)
    points = pd.DataFrame({"x": rng.random(600), "y": rng.random(600), "task": [f"task-{i % tasks}" for i in range(599)] + [None]})
    table = counts(names)
    for png in (map_png(points, names), shares_png(by_task(table), names), growth_png(by_day(table), names)):
        image = pixels(png)
        assert max(image.shape) < 1000
        ink = image.min(axis=2) < 0.9
        assert 0.01 < ink.mean() < 0.7
        assert not ink[[0, -1]].any()
        assert not ink[:, [0, -1]].any()


def test_the_panel_of_traffic_names_tasks_and_says_what_is_not_recorded(clustered):
    clusters, _ = clustered
    panel = traffic_panel(counts([task["key"] for task in clusters["tasks"]]), clusters)
    for picture in ("shares", "growth"):
        assert base64.b64decode(panel[picture].value.partition("base64,")[2].rstrip(")")).startswith(b"\x89PNG")
    lines = panel["traffic"].value.splitlines()
    assert len(lines) == 2 + len(clusters["tasks"]) + 1
    assert all(line.endswith("| - | - |") for line in lines[2:])
    assert sum("no task" in line for line in lines) == 1


def test_the_panel_of_clusters_shows_examples_without_template_and_what_changed(sample, clustered):
    clusters, found = clustered
    panel = clusters_panel(clusters, example_prompts(sample, found, clusters))
    assert "Example" not in panel["example_prompts"].value
    assert all(task["about"] in panel["tasks"].value for task in clusters["tasks"])
    assert panel["changes"].value.count("| new |") == len(clusters["tasks"])
    again, found = find_clusters(sample, clusters, SETTINGS)
    assert clusters_panel(again, example_prompts(sample, found, again))["changes"].value == "none"
