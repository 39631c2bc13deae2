import random

import numpy as np
import pytest

from slm_pipeline.s3_cluster.density import clusters_of_number, density_clusters
from slm_pipeline.s3_cluster.embedding import embed
from slm_pipeline.settings import Settings

TOPICS = {
    "weather": "sunny rain forecast tomorrow snow wind temperature storm cloud",
    "music": "song album guitar singer concert melody band chorus drummer",
    "money": "invoice payment refund balance account transfer bank loan fee",
}


def texts(count=40):
    rng = random.Random(3)
    return [(topic, " ".join(rng.sample(words.split(), 5))) for topic, words in TOPICS.items() for _ in range(count)]


@pytest.mark.parametrize("name", ["static", "tfidf"])
def test_a_vector_depends_on_its_text_only(name):
    said = [text for _, text in texts(5)] + [""]
    together = embed(said, name)
    alone = np.vstack([embed([text], name) for text in said])
    assert np.allclose(together, alone, atol=1e-6)
    assert np.allclose(np.linalg.norm(together[:-1], axis=1), 1, atol=1e-5)
    assert not together[-1].any()


@pytest.mark.parametrize("name", ["static", "tfidf"])
def test_dense_wording_is_found_with_a_radius_that_holds_its_members(name):
    settings = Settings(min_text_calls=20, embedding=name)
    topics, said = zip(*texts(), strict=True)
    found = density_clusters(said, settings)
    assert sorted({topics[i] for i in its} for _, _, its in found) == [{"music"}, {"money"}, {"weather"}] or len(found) == 3
    for centroid, radius, its in found:
        distances = 1 - embed([said[i] for i in its], name) @ np.array(centroid, dtype=np.float32)
        assert distances.max() <= radius + 1e-5
        assert len({topics[i] for i in its}) == 1


def test_too_few_texts_are_no_task():
    assert density_clusters([text for _, text in texts(5)], Settings(min_text_calls=20)) == []


def test_a_given_number_of_clusters():
    topics, said = zip(*texts(), strict=True)
    labels = clusters_of_number(said, 3, Settings())
    assert len({(topic, label) for topic, label in zip(topics, labels.tolist(), strict=True)}) == 3
    assert (clusters_of_number(said, 3, Settings()) == labels).all()
