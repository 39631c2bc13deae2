"""A home of its own for a measurement, which nothing of the user's is written to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from slm_pipeline.settings import Settings


@contextmanager
def temporary_home(settings: Settings) -> Iterator[Settings]:
    """Settings with an empty log, lake and Dagster storage; only the base models are shared.

    The assets read their settings themselves, so the environment says the same as long as it lasts.
    """
    with TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "data").mkdir()
        settings.models.mkdir(parents=True, exist_ok=True)
        (home / "data" / "models").symlink_to(settings.models.resolve())
        fresh = settings.model_copy(
            update={"home": home / "data", "dagster_home": home / "dagster", "lake_url": None, "log_url": None, "keys": home / "keys"}
        )
        names = {"SLM_HOME": str(fresh.home), "SLM_DAGSTER_HOME": str(fresh.dagster_home)}
        names |= {"SLM_KEYS": str(fresh.keys), "SLM_LOG_URL": ""}
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        try:
            yield fresh
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
