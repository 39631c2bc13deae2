"""The dashboard as a person sees it: live figures, promises and reports, in a browser."""

import httpx2
import pytest
from playwright.sync_api import expect

from slm_pipeline.lake import Lake
from slm_pipeline_tests.gateway.conftest import running_gateway
from slm_pipeline_tests.gateway.recorded_upstream import recorded_upstream
from slm_pipeline_tests.gateway.released import newest, post, request
from slm_pipeline_tests.gateway.test_keys import keyed  # noqa: F401

ODD = "<img src=x onerror=\"document.title='run'\"> [x](javascript:alert(1))"


@pytest.fixture
def page(browser):
    """An empty tab; what goes wrong in it fails the test."""
    tab, wrong = browser.new_page(viewport={"width": 1100, "height": 1400}), []
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    yield tab
    tab.close()
    assert not wrong


def test_before_anything_happened_the_page_says_what_to_do(page, tmp_path):
    with running_gateway(tmp_path) as gateway:
        page.goto(f"{gateway.url}/dashboard")
        text = page.inner_text("body")
    assert "No call has come yet." in text
    assert "No release serves" in text
    assert "slm run" in text


def test_figures_follow_the_traffic_without_a_reload(page, served):
    gateway, _, release = served
    page.goto(f"{gateway.url}/dashboard")
    page.evaluate("window.mark = 1")
    calls = page.locator(".card b").first
    before = calls.inner_text()
    answer = post(gateway, request())
    expect(calls).not_to_have_text(before, timeout=15_000)
    assert page.evaluate("window.mark") == 1
    text = page.inner_text("#live")
    assert f"{release} serves." in text
    assert answer.headers["x-slm-route"] == "slm", newest(gateway).route
    assert "certified" in text
    assert "all its calls" in text
    assert page.inner_text("#savings h2") == "Savings, from the log"
    assert "of all calls" in page.inner_text("#replaceability")


def test_nothing_in_a_report_is_run(page, tmp_path):
    Lake(str(tmp_path / "lake")).write("s6_refine/savings", None, {"savings.md": f"| {ODD} |\n|---|\n| {ODD} |\n\n{ODD}"})
    with running_gateway(tmp_path) as gateway:
        page.goto(f"{gateway.url}/dashboard")
        assert page.title() == "SLM gateway"
        assert page.locator("#savings img, #savings a").count() == 0
        assert "onerror" in page.inner_text("#savings")
        policy = httpx2.get(f"{gateway.url}/dashboard").headers["content-security-policy"]
    assert "default-src 'none'" in policy


def test_with_keys_a_browser_asks_for_one(browser, keyed):  # noqa: F811
    url = f"{keyed.url}/dashboard"
    asked = httpx2.get(url)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert httpx2.get(url, auth=("", keyed.keys["agent"])).status_code == 403
    assert httpx2.get(url, auth=("", "slm-wrong")).status_code == 401
    assert httpx2.get(url, headers={"authorization": "Basic no base64"}).status_code == 401
    context = browser.new_context(http_credentials={"username": "me", "password": keyed.keys["monitor"]})
    tab = context.new_page()
    tab.goto(url)
    assert tab.inner_text("h1") == "SLM gateway"
    context.close()


def test_a_gateway_that_is_gone_is_not_shown_as_if_it_were_there(browser, tmp_path):
    tab = browser.new_page()
    with recorded_upstream() as upstream, running_gateway(tmp_path, upstream) as gateway:
        tab.goto(f"{gateway.url}/dashboard")
        assert not tab.is_visible("#away")
    tab.wait_for_selector("#away", state="visible", timeout=15_000)
    tab.close()
