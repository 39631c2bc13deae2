"""What a release says, and what differs between two."""

from slm_pipeline.s6_refine.release import differences, told


def release(adapter="a1", version="1", promise="at most 10% wrong", gold=(), clusters="c"):
    certificates = {"group": {"told": promise, "label": "correctness", "sessions": 40}}
    group = {"adapter": adapter, "version": version, "base": "base", "certificates": certificates, "gold": list(gold)}
    return {"clusters": clusters, "groups": {"weather": group}}


def test_every_promise_has_a_line():
    lines = told(release(gold=["task"]))
    assert any("checker" in line for line in lines)
    assert "weather: at most 10% wrong (correctness)" in lines


def test_the_same_release_differs_in_nothing():
    assert differences(release(), release()) == []


def test_what_changed_is_named():
    other = release("a2", "2", "cannot certify", ["task"], "d")
    lines = "\n".join(differences(release(), other))
    for said in ("v1 on base, then v2", "at most 10% wrong; then cannot certify", "0 tasks", "other tasks"):
        assert said in lines
    gone = {"clusters": "c", "groups": {}}
    assert differences(release(), gone) == ["weather: gone"]
    assert differences(gone, release()) == ["weather: added"]
