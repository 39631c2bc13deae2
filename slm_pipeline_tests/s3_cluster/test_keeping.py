import json

from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.keeping import reclustering_due
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

SETTINGS = Settings(min_task_calls=6, own_group_calls=24, min_group_calls=20, min_text_calls=12)


def sample(*tables):
    return sample_training(tables, SETTINGS)


def renamed(rows, mark):
    return [row | {"id": f"{mark}-{row['id']}", "session_id": f"{mark}-{row['session_id']}"} for row in rows]


def test_tasks_that_are_found_again_are_recognised_as_before():
    first = find_clusters(sample(made.traffic()), None, SETTINGS)[0]
    more = made.table(renamed(made.template_rows(20, start=900) + made.agent_rows(9), "more"))
    again = find_clusters(sample(made.traffic(), more), first, SETTINGS)[0]
    assert again["fingerprint"] == first["fingerprint"]
    assert again["tasks"] != first["tasks"]  # they have more calls


def test_a_template_that_no_longer_fits_is_replaced():
    rows = made.template_rows(40, start=100)
    first = find_clusters(sample(made.table(made.template_rows(40))), None, SETTINGS)[0]
    changed = [row | {"request": row["request"].replace("Answer with the sorted words only", "Sorted")} for row in rows]
    (task,) = find_clusters(sample(made.table(changed)), first, SETTINGS)[0]["tasks"]
    assert "Sorted" in task["text_suffix"]


def test_when_tasks_are_looked_for_again():
    old = sample(made.traffic())
    clusters, _ = find_clusters(old, None, SETTINGS)
    before = set(old["id"])
    assert reclustering_due(old, before, None, SETTINGS) == "first clustering"
    assert reclustering_due(old, before, clusters, SETTINGS) is None
    few = made.table(renamed(made.template_rows(15, start=900), "few"))
    assert reclustering_due(sample(made.traffic(), few), before, clusters, SETTINGS) is None
    many = made.table(renamed(made.template_rows(60, start=900), "many"))
    assert "new calls" in reclustering_due(sample(made.traffic(), many), before, clusters, SETTINGS)
    unknown = made.table(renamed(made.tool_rows("garden", 12), "new"))
    assert "belong to no task" in reclustering_due(sample(made.traffic(), unknown), before, clusters, SETTINGS)


def test_the_template_version_changes_with_one_byte():
    def version(rows):
        return find_clusters(sample(made.table(rows)), None, SETTINGS)[0]["tasks"][0]["template_version"]

    rows = made.tool_rows("heat", 20)
    other = [json.loads(row["request"]) for row in rows]
    for request in other:
        request["tools"][0]["function"]["description"] += "!"
    changed = [row | {"request": json.dumps(request)} for row, request in zip(rows, other, strict=True)]
    assert version(rows) == version(made.tool_rows("heat", 30))
    assert version(rows) != version(changed)
