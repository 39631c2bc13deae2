"""What earlier days hold, as 8-byte hashes in the lake: exact repeats are known across days without reading any call."""

import numpy as np

from slm_pipeline.lake import Artefact, Lake, digest

CURATED = "s2_curate/curated_calls"
FILE = "repeats.parquet"


class EarlierDays:
    """The hashes of the days before a given one; asked day after day, in ascending order."""

    def __init__(self, lake: Lake):
        self._artefacts = {day: lake.read(CURATED, day) for day in lake.partitions(CURATED)}
        self._seen = np.array([], dtype=np.uint64)
        self._through = ""

    def digest(self, day: str) -> str:
        """Changes exactly when an earlier day's hashes do."""
        return digest(*((d, a.files[FILE]) for d, a in sorted(self._artefacts.items()) if d < day))

    def hashes(self, day: str) -> np.ndarray:
        """The sorted hashes (uint64) of all earlier days."""
        new = [a.table("repeats")["hash"].to_numpy() for d, a in sorted(self._artefacts.items()) if self._through <= d < day]
        self._through = day
        self._seen = np.unique(np.concatenate([self._seen, *new]))
        return self._seen

    def add(self, day: str, artefact: Artefact) -> None:
        """Take the new version of a day into account."""
        self._artefacts[day] = artefact
