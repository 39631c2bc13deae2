"""Fixtures for all tests."""

import os
import uuid
import warnings

# a tiny model's products are not worth a second thread, and threads that wait for each other beside other processes take ten times as long
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# `make soak` asks for it; a machine with other load on it is no reason to fail, so nothing is timed
settings.register_profile("soak", max_examples=1000, deadline=None)
settings.register_profile("default", deadline=None, parent=settings.get_profile("default"))
settings.load_profile("default")

POSTGRESQL = os.environ.get("SLM_TEST_POSTGRESQL", "postgresql+psycopg://root@127.0.0.1:5432/postgres")
"""A login that may create databases and roles."""


@pytest.fixture(scope="session", autouse=True)
def _keys(tmp_path_factory):
    """No test leaves a master key in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLM_KEYS", str(tmp_path_factory.mktemp("keys")))
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty state folder: log, lake and models under `home`, Dagster's storage under `home/dagster`."""
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("SLM_DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))  # monkeypatch puts it back after a test whose code sets it
    return tmp_path


@pytest.fixture
def postgresql():
    """The URL of an empty PostgreSQL database; skips where no server answers."""
    import sqlalchemy as sa

    server = sa.create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    name = f"slm_test_{uuid.uuid4().hex[:12]}"
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except sa.exc.OperationalError as error:
        reason = f"NOT TESTED ON POSTGRESQL: no server at {sa.make_url(POSTGRESQL)!r}; set SLM_TEST_POSTGRESQL"
        warnings.warn(f"{reason} ({str(error.orig).splitlines()[0]})", stacklevel=1)
        pytest.skip(reason)
    yield sa.make_url(POSTGRESQL).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture(scope="session")
def soak(request):
    """Whether the long form of a test is wanted, as `make soak` asks for it."""
    return request.config.getoption("--hypothesis-profile") == "soak"


@pytest.fixture(scope="module")
def browser():
    """The Chromium of this machine, without a window; skips where there is none. Until it is closed no other event loop can run."""
    import shutil

    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        warnings.warn("no Chromium is installed: tests that look at pages are SKIPPED", stacklevel=1)
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
