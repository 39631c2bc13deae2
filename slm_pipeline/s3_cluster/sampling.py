"""The bounded sample of training calls that clustering reads: kept from one time to the next, so that a new day costs only itself.

The sample is the calls of lowest seeded rank (a bottom-k sketch, Cohen and Kaplan 2007): it is the same whether days come one by
one or all at once, and it does not depend on the order in which they come.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from slm_pipeline.lake import Artefact, digest
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

COLUMNS = ["id", "agent", "request", "answer", "split", "day", "rank"]
READ = ["id", "agent", "request", "answer", "split", "day", "drop_reason"]


def usable_calls(calls: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """A curated day's training calls (COLUMNS) that passed the funnel, each with its rank."""
    usable = calls.loc[(calls["split"] == "train") & calls["drop_reason"].isna() & calls["answer"].notna(), COLUMNS[:-1]]
    return usable.assign(rank=[digest(settings.seed, id_) for id_ in usable["id"]]).astype("str")


def sample_training(days: Iterable[pd.DataFrame], settings: Settings) -> pd.DataFrame:
    """The sample of curated `days`, read one by one: at most `cluster_sample` usable training calls (COLUMNS), sorted by id."""
    return _lowest((usable_calls(day, settings) for day in days), settings)


def _lowest(parts: Iterable[pd.DataFrame], settings: Settings) -> pd.DataFrame:
    """The `cluster_sample` rows of lowest rank, sorted by id; holds one part and the sample at a time."""
    sample = pd.DataFrame(columns=COLUMNS, dtype="str")
    for part in parts:
        sample = pd.concat([sample, part]).sort_values(["rank", "id"], kind="stable").head(settings.cluster_sample)
    return sample.sort_values("id", ignore_index=True)


def update_sample(sample: pd.DataFrame | None, seen: Json, days: Mapping[str, Artefact], settings: Settings) -> pd.DataFrame:
    """The sample over all curated `days`. `sample` was made when they had the digests in `seen`; None: there is none yet.

    Only days that changed are read, unless calls left and others have to take their place.
    """

    def read(chosen: Iterable[str]) -> Iterable[pd.DataFrame]:
        return (days[day].table("calls", READ) for day in sorted(chosen))

    if sample is None:
        return sample_training(read(days), settings)
    stale = {day for day in {*days, *seen} if day not in days or seen.get(day) != days[day].digest}
    fresh = sample_training(read(stale & set(days)), settings)
    grown = _lowest([sample[~sample["day"].isin(stale)], fresh], settings)
    nothing_was_left_out = len(sample) < settings.cluster_sample
    if nothing_was_left_out or (len(grown) == len(sample) and grown["rank"].max() <= sample["rank"].max()):
        return grown
    return sample_training(read(days), settings)
