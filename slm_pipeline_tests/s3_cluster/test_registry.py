import json
import re

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_model_name

from slm_pipeline.lake import digest
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.s3_cluster.registry import keep_group_keys, keep_keys, retired, retired_groups
from slm_pipeline.s3_cluster.sampling import sample_training
from slm_pipeline.s3_cluster.structure import structure_of
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s3_cluster import traffic as made

LEAST = 0.5
TOPICS = ["Sort", "Count", "Name", "Weigh", "Paint"]


def prompt(head, number):
    return {"messages": [{"role": "user", "content": f"{head} these {number} things now please."}]}


def task(head, name=None, **more):
    """A task recognised by its first four words, as clustering finds it."""
    structure = structure_of(prompt(head, 1)).exact
    found = {
        "structure": structure,
        "variants": [structure],
        "kind": "prefix",
        "prefix": None,
        "tail": None,
        "centroid": None,
        "radius": None,
    }
    found |= {
        "prefix": " ".join(f"{head} these".split()[:4]),
        "system": None,
        "text_prefix": f"{head} these ",
        "text_suffix": " now please.",
    }
    found |= {"name": name or head.lower(), "tools": None, "response_format": None, "train_calls": 10, "identity": digest(head)[:8]}
    return found | more


def cluster(heads, previous=None, calls=10):
    """Tasks with their keys, from prompts that begin with each head; the previous clusters' sample is not seen again."""
    requests = {f"{head}-{i}": prompt(head, i) for head in heads for i in range(calls)}
    tasks = [task(head) for head in heads]
    members = [{id_ for id_ in requests if id_.rpartition("-")[0] == head} for head in heads]
    changes = keep_keys(tasks, members, previous, requests, LEAST)
    gone = retired(tasks, previous)
    return {"tasks": [one | {"group": None} for one in tasks], "groups": [], "changes": changes, "retired": gone, "retired_groups": []}


def keys(clusters):
    return {one["prefix"]: one["key"] for one in clusters["tasks"]}


heads = st.lists(
    st.builds(lambda topic, color: f"{topic} all {color}", st.sampled_from(TOPICS), st.sampled_from(["red", "blue", "été", "数"])),
    unique=True,
    min_size=1,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(heads, min_size=1, max_size=4))
def test_keys_are_unique_legal_and_never_get_another_meaning(rounds):
    meaning, clusters = {}, None
    for found in rounds:
        clusters = cluster(found, clusters)
        used = [one["key"] for one in clusters["tasks"]]
        assert len(set(used)) == len(used)
        assert not set(used) & {one["key"] for one in clusters["retired"]}
        for prefix, key in keys(clusters).items():
            assert meaning.setdefault(key, prefix) == prefix
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("group", list(meaning))
    for key in meaning:
        _validate_model_name(key)
        assert re.fullmatch(r"[a-z0-9-]{1,49}", key)


@settings(max_examples=30, deadline=None)
@given(heads, heads, st.randoms(use_true_random=False))
def test_matching_is_one_to_one_whatever_the_order(before, after, rng):
    old = cluster(before)
    new = cluster(after, old)
    kept = [change["key"] for change in new["changes"] if change["kind"] == "keep"]
    assert len(kept) == len(set(kept)) == len(set(before) & set(after))
    shuffled = rng.sample(after, len(after))
    again = cluster(shuffled, {**old, "tasks": rng.sample(old["tasks"], len(old["tasks"]))})
    assert keys(again) == keys(new)
    assert again["changes"] == new["changes"]


@settings(max_examples=20, deadline=None)
@given(heads)
def test_the_same_sample_changes_nothing(found):
    old = cluster(found)
    new = cluster(found, old)
    assert keys(new) == keys(old)
    assert {change["kind"] for change in new["changes"]} == {"keep"}


def test_clustering_the_same_calls_again_changes_nothing():
    calls = made.traffic()
    config = Settings(min_task_calls=6, own_group_calls=24, min_group_calls=20)
    first, found = find_clusters(sample_training([calls], config), None, config)
    again, found_again = find_clusters(sample_training([calls], config), first, config)
    assert found_again == found
    assert {c["kind"] for c in again["changes"]} == {"keep", "keep group"}
    assert again | {"changes": []} == first | {"changes": []}


def test_a_retired_task_that_comes_back_gets_its_key_back():
    first = cluster(["Sort all red", "Count all red"])
    second = cluster(["Sort all red"], first)
    assert [c for c in second["changes"] if c["kind"] == "retire"] == [
        {"kind": "retire", "key": keys(first)["Count all red these"], "from": [keys(first)["Count all red these"]]}
    ]
    third = cluster(["Sort all red", "Count all red"], cluster(["Sort all red"], second))
    assert keys(third) == keys(first)
    assert {c["kind"] for c in third["changes"]} == {"keep", "return"}
    assert third["retired"] == []


def test_a_key_that_a_changed_task_goes_on_with_is_not_made_again():
    old = cluster(["Sort all red"])
    (kept,) = old["tasks"]
    kept["identity"] = "another recogniser by now"
    requests = {f"{head}-{i}": prompt(head, i) for head in ("Sort all red", "Count all blue") for i in range(10)}
    same, other = (
        task("Sort all red", identity=kept["identity"]),
        task("Count all blue", name="sort all red", identity=digest("Sort all red")[:8]),
    )
    members = [{id_ for id_ in requests if id_.startswith(head)} for head in ("Sort", "Count")]
    keep_keys([same, other], members, old, requests, LEAST)
    assert same["key"] == kept["key"]
    assert other["key"] != kept["key"]


def clusters_of(*tasks):
    return {"tasks": [{"group": None, "key": one["name"], "slug": one["name"]} | one for one in tasks], "groups": []}


def test_a_task_that_falls_apart_is_split():
    shared = clusters_of(task("Sort all my", name="whole") | {"text_prefix": "Sort all my these "})
    requests = {f"{i}": prompt("Sort all my these red" if i % 3 else "Sort all my these blue", i) for i in range(30)}
    parts = [task("Sort all my these red", prefix="Sort all my these red"), task("Sort all my these blue", prefix="Sort all my these blue")]
    members = [{i for i in requests if int(i) % 3}, {i for i in requests if not int(i) % 3}]
    changes = keep_keys(parts, members, shared, requests, LEAST)
    assert changes == [
        {"kind": "keep", "key": "whole", "from": ["whole"]},
        {"kind": "split", "key": parts[1]["key"], "from": ["whole"]},
    ]
    assert parts[0]["key"] == "whole"


def test_tasks_that_become_one_are_merged():
    old = cluster(["Sort all my red", "Sort all my blue"])
    requests = {f"{i}": prompt("Sort all my red" if i % 3 else "Sort all my blue", i) for i in range(30)}
    one = task("Sort all my", prefix="Sort all my", text_prefix="Sort all my ")
    changes = keep_keys([one], [set(requests)], old, requests, LEAST)
    red, blue = keys(old)["Sort all my red"], keys(old)["Sort all my blue"]
    assert changes == [{"kind": "merge", "key": red, "from": sorted([red, blue])}]
    assert [gone["key"] for gone in retired([one], old)] == [blue]


def test_an_edited_prompt_is_the_same_task_and_another_prompt_is_not():
    text = (
        "{} the words that stand below in the order of the alphabet, one on each line, and write nothing else at all. Words that begin "
        "with a capital come first, numbers last; what stands there twice is written twice. These are the words: "
    )
    old = clusters_of(task("Sort", name="sort", text_prefix=text.format("Sort"), prefix="Sort the words that"))
    edited = task("Please sort", text_prefix=text.format("Please sort"), prefix="Please sort the words")
    other = task(
        "Tell", text_prefix="Tell me how warm it will be tomorrow in the place that is named here. " * 4, prefix="Tell me how warm"
    )
    for new, kind in ((edited, "keep"), (other, "new")):
        requests = {str(i): {"messages": [{"role": "user", "content": f"{new['text_prefix']}{i}"}]} for i in range(5)}
        changes = keep_keys([new], [set(requests)], old, requests, LEAST)
        assert kind in {c["kind"] for c in changes}
        assert (new["key"] == "sort") == (kind == "keep")


def group(key, *tasks):
    return {"key": key, "name": key, "tasks": sorted(tasks), "train_calls": 20 * len(tasks)}


def grouped(previous, *groups, calls=20):
    tasks = [{"key": key, "train_calls": calls} for one in groups for key in one["tasks"]]
    found, changes = keep_group_keys(list(groups), tasks, previous, LEAST)
    return {"tasks": tasks, "groups": found, "changes": changes, "retired_groups": retired_groups(found, previous)}


def test_a_group_keeps_its_key_when_the_form_of_its_answers_changes():
    first = grouped(None, group("texts-1", "a", "b", "c"))
    second = grouped(first, group("mixed-2", "a", "b", "c"))
    assert [one["key"] for one in second["groups"]] == ["texts-1"]
    assert {task["group"] for task in second["tasks"]} == {"texts-1"}
    third = grouped(second, group("mixed-2", "a", "b", "c"), group("texts-1", "x", "y"))
    found = {tuple(one["tasks"]): one["key"] for one in third["groups"]}
    assert found[("a", "b", "c")] == "texts-1"
    assert found[("x", "y")] not in {"texts-1", "mixed-2"}
    assert grouped(third, group("mixed-2", "a", "b", "c"), group("texts-1", "x", "y"))["groups"] == third["groups"]


def test_a_task_that_grows_leaves_its_group_and_comes_back():
    first = grouped(None, group("texts-1", "a", "b", "c"))
    apart = grouped(first, group("texts-1", "b", "c"), group("a", "a"))
    assert {(c["kind"], c["key"]): c["from"] for c in apart["changes"]} == {
        ("keep group", "texts-1"): ["texts-1"],
        ("split group", "a"): ["texts-1"],
    }
    together = grouped(apart, group("texts-1", "a", "b", "c"))
    assert together["changes"] == [{"kind": "merge group", "key": "texts-1", "from": ["a", "texts-1"]}]
    assert [one["key"] for one in together["retired_groups"]] == ["a"]
    again = grouped(together, group("texts-1", "b", "c"), group("a", "a"))
    assert {c["kind"] for c in again["changes"]} == {"keep group", "return group"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=4), min_size=1, max_size=4))
def test_group_keys_are_unique_in_every_round(rounds):
    clusters = None
    for sets in rounds:
        free, groups = set("abcdefgh"), []
        for number, wanted in enumerate(sets):
            its = wanted & free
            free -= its
            if its:
                groups.append(group(f"kind-{number}", *its) if len(its) > 1 else group(*its, *its))
        clusters = grouped(clusters, *groups)
        used = [one["key"] for one in clusters["groups"]]
        assert len(used) == len(set(used))
        assert not set(used) & {one["key"] for one in clusters["retired_groups"]}
        assert json.dumps(clusters["groups"]) == json.dumps(grouped(clusters, *groups)["groups"])


@pytest.mark.parametrize("number", range(3))
def test_a_group_of_nothing_known_is_new(number):
    names = "xyz"[: number + 1]
    made = grouped(grouped(None, group("texts-1", "a", "b")), group("calls-2", *names, "w"))
    assert {(c["kind"], c["key"]) for c in made["changes"]} == {("new group", "calls-2"), ("retire group", "texts-1")}
