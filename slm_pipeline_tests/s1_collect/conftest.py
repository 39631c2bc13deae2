import pytest

from slm_pipeline.settings import get_settings


@pytest.fixture(params=["sqlite", "postgresql"])
def log_settings(request, home, monkeypatch):
    """Settings of an empty log: the same tests hold on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        monkeypatch.setenv("SLM_LOG_URL", request.getfixturevalue("postgresql"))
    return get_settings()
