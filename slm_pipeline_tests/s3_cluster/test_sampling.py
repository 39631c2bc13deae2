"""The sample that clustering reads: bounded, of training calls only, and the same however the days came."""

import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slm_pipeline.lake import Lake
from slm_pipeline.s3_cluster.sampling import READ, update_sample, usable_calls
from slm_pipeline.settings import Settings

SETTINGS = Settings(cluster_sample=10)
days = st.lists(st.lists(st.integers(0, 400), unique=True, max_size=25), min_size=1, max_size=5)


def curated(day: str, numbers: list[int]) -> pd.DataFrame:
    """A curated day; every third call is a test call, every fifth was dropped."""
    rows = [
        (f"{day}-{n}", "a", "{}", "{}", "test" if n % 3 == 0 else "train", day, "refusal" if n % 5 == 0 else None) for n in sorted(numbers)
    ]
    return pd.DataFrame(rows, columns=READ).astype("str")


def write(lake: Lake, numbers: dict[str, list[int]]) -> dict:
    return {day: lake.write("curated", day, {"calls": curated(day, found)}) for day, found in numbers.items()}


def digests(artefacts: dict) -> dict:
    return {day: artefact.digest for day, artefact in artefacts.items()}


@hypothesis_settings(max_examples=40)
@given(days, st.integers(0, 4), st.lists(st.integers(0, 400), unique=True, max_size=25))
def test_day_by_day_and_with_a_changed_day_it_is_the_sample_of_all_at_once(tmp_path_factory, found, changed, new):
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    numbers, sample, seen = {}, None, {}
    for i, part in enumerate([*found, None]):
        if part is None:
            numbers[f"day-{changed % len(found)}"] = new
        else:
            numbers[f"day-{i}"] = part
        artefacts = write(lake, numbers)
        sample, seen = update_sample(sample, seen, artefacts, SETTINGS), digests(artefacts)
        assert sample.equals(update_sample(None, {}, artefacts, SETTINGS))
    usable = pd.concat([usable_calls(curated(day, part), SETTINGS) for day, part in numbers.items()])
    assert set(sample["split"]) <= {"train"}
    assert len(sample) == min(10, len(usable))
    assert set(sample["id"]) == set(usable.sort_values("rank")["id"].head(10))


def test_only_a_changed_day_is_read(tmp_path, monkeypatch):
    lake = Lake(str(tmp_path))
    artefacts = write(lake, {f"day-{i}": list(range(20)) for i in range(4)})
    sample = update_sample(None, {}, artefacts, SETTINGS)
    grown = artefacts | write(lake, {"day-9": [1, 2]})
    read = []
    table = type(artefacts["day-0"]).table
    monkeypatch.setattr(type(artefacts["day-0"]), "table", lambda self, *args: read.append(self.digest) or table(self, *args))
    update_sample(sample, digests(artefacts), grown, SETTINGS)
    assert read == [grown["day-9"].digest]


def test_a_deleted_day_leaves_the_sample(tmp_path):
    lake = Lake(str(tmp_path))
    artefacts = write(lake, {"day-0": list(range(30)), "day-1": list(range(30))})
    sample = update_sample(None, {}, artefacts, SETTINGS)
    left = {"day-1": artefacts["day-1"]}
    assert set(update_sample(sample, digests(artefacts), left, SETTINGS)["day"]) == {"day-1"}
