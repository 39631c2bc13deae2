"""Fixtures for all tests."""

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty state folder: log, lake and models under `home`, Dagster's storage under `home/dagster`."""
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("SLM_DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))  # monkeypatch puts it back after a test whose code sets it
    return tmp_path
