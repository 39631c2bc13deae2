"""Tasks are looked for anew when something asks for it, and only then."""

import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.refresh import CLUSTERS, refresh_clusters
from slm_pipeline.settings import Settings
from slm_pipeline.tasks import take
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(own_group_calls=24, min_group_calls=20)


def book(lake, day, calls):
    calls = calls.assign(day=day, id=calls["id"] + day)
    lake.write(CURATED, day, {"calls": calls})


@pytest.fixture
def lake(tmp_path):
    lake = Lake(str(tmp_path))
    book(lake, "2026-10-01", made.traffic())
    refresh_clusters(lake, SETTINGS)
    return lake


def test_nothing_new_is_nothing_to_do(lake):
    before = lake.read(CLUSTERS).digest
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert reason is None
    assert artefact.digest == before


def test_a_few_calls_of_known_tasks_join_the_sample_and_leave_the_tasks_alone(lake):
    before = lake.read(CLUSTERS)
    clusters, clustered, ids = before.json("clusters"), before.table("clustered"), set(before.table("sample")["id"])
    book(lake, "2026-10-02", made.table(made.template_rows(8, start=100)))
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert reason is None
    assert artefact.json("clusters") == clusters
    assert artefact.table("clustered").equals(clustered)
    members, sample = artefact.table("members"), artefact.table("sample")
    new = set(sample["id"]) - ids
    assert len(new) > 0
    assert new <= set(members["id"]), "they are members of the task that they are assigned to"


def test_calls_that_belong_to_no_task_become_one_when_enough_have_gathered(lake):
    keys = {task["key"] for task in lake.read(CLUSTERS).json("clusters")["tasks"]}
    book(lake, "2026-10-02", made.table(made.tool_rows("garden", 12)))
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert "belong to no task" in reason
    tasks = artefact.json("clusters")["tasks"]
    assert keys < {task["key"] for task in tasks}, "the old ones keep their keys"
    assert any("garden" in task["key"] for task in tasks)


def test_a_fifth_more_calls_are_reason_enough(lake):
    book(lake, "2026-10-02", made.table(made.template_rows(80, start=100)))
    assert "new calls beside" in refresh_clusters(lake, SETTINGS)[1]


def test_other_settings_and_peoples_decisions_are_reasons(lake):
    assert "settings" in refresh_clusters(lake, SETTINGS.model_copy(update={"min_task_calls": 5}))[1]
    refresh_clusters(lake, SETTINGS)
    task = lake.read(CLUSTERS).json("clusters")["tasks"][0]
    take("rename", task["key"], lake, name="my own name")
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert "decisions" in reason
    assert {t["key"]: t["name"] for t in artefact.json("clusters")["tasks"]}[task["key"]] == "my own name"


def test_after_an_erasure_tasks_are_found_in_what_is_left_and_keep_their_keys(lake):
    before = lake.read(CLUSTERS).json("clusters")
    calls = made.traffic()
    book(lake, "2026-10-01", calls[calls["agent"] != "sorter"])
    lake.write(CLUSTERS, None, {"clusters": before})
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert "erased" in reason
    assert not artefact.table("sample")["id"].str.startswith("sorter").any()
    assert {task["key"] for task in artefact.json("clusters")["tasks"]} < {task["key"] for task in before["tasks"]}


def test_tasks_of_an_older_form_do_not_stand_in_the_way(lake):
    old = lake.read(CLUSTERS).json("clusters") | {"version": 1}
    for task in old["tasks"]:
        task.pop("identity", None)
    lake.write(CLUSTERS, None, {"clusters": old})
    artefact, reason = refresh_clusters(lake, SETTINGS)
    assert reason == "first clustering"
    assert len(artefact.json("clusters")["tasks"]) == len(old["tasks"])
