"""Fixtures for all tests."""

import pytest
from hypothesis import settings

# `make soak` asks for it; a machine with other load on it is no reason to fail, so nothing is timed
settings.register_profile("soak", max_examples=1000, deadline=None)
settings.register_profile("default", deadline=None, parent=settings.get_profile("default"))
settings.load_profile("default")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty state folder: log, lake and models under `home`, Dagster's storage under `home/dagster`."""
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("SLM_DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))  # monkeypatch puts it back after a test whose code sets it
    return tmp_path
