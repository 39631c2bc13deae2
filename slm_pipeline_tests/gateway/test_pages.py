"""The pages that people look at in Dagster and MLflow, in a browser, with a group that was trained, evaluated and released."""

import re

import httpx2
import pytest

from slm_pipeline_tests.test_web_server import read_until, start, stop


@pytest.fixture(scope="module")
def pages(released, browser):
    """The addresses of Dagster and MLflow over the released home, a tab, and the group."""
    gateway, lake, _ = released
    state = {"SLM_DAGSTER_HOME": str(gateway.settings.dagster_home), "SLM_KEYS": str(gateway.settings.keys)}
    process = start(gateway.settings.home, **state)
    _, _, dagster, mlflow = re.findall(r"http://\S+", read_until(process, "Ctrl-C"))
    tab = browser.new_page(viewport={"width": 1500, "height": 1100})
    yield dagster, mlflow, tab, lake.partitions("s6_refine/router_model")[0]
    tab.close()
    stop(process)


def shown(tab, url, *texts):
    """Open a page, and wait until it shows these words."""
    tab.goto(url)
    for text in texts:
        tab.get_by_text(text, exact=False).first.wait_for(timeout=60_000)


ASSETS = {
    "eval_report": ("test/adapter_accuracy", "Show Markdown"),
    "router_model": ("SLM right", "tasks whose checker is gold"),
    "verifier_model": ("no champion",),
    "release": ("What the gateway serves", "promises", "cannot certify 10%"),
    "replaceability": ("What share of all calls, tokens and cost", "of all calls"),
    "savings": ("What SLMs have served since the first release", "No release has been in service yet"),
    "scoreboard": ("All groups at one glance", "champions"),
    "fallback_failures": ("Calls whose SLM answer was not used", "threshold"),
}
"""By asset: words of its panel, and of its description where it has no partitions."""


PARTITIONED = {"eval_report", "router_model", "verifier_model"}


@pytest.mark.parametrize("asset", ASSETS)
def test_dagster_shows_what_an_asset_says(pages, asset):
    dagster, _, tab, group = pages
    shown(tab, f"{dagster}/assets/{asset}{f'?view=partitions&partition={group}' if asset in PARTITIONED else ''}", *ASSETS[asset])


def test_mlflow_shows_the_runs_of_a_group_and_its_champion(pages):
    _, mlflow, tab, _ = pages
    api = f"{mlflow}/api/2.0/mlflow"
    experiments = httpx2.post(f"{api}/experiments/search", json={"max_results": 100}).json()["experiments"]
    (experiment,) = [of["experiment_id"] for of in experiments if of["name"] != "Default"]
    shown(tab, f"{mlflow}/#/experiments/{experiment}/runs", "attempt 1")
    (model,) = httpx2.get(f"{api}/registered-models/search").json()["registered_models"]
    shown(tab, f"{mlflow}/#/models/{model['name']}", "Version 1", "@ champion")
