"""Tasks in what no structure and no template tells apart: density clusters of embedded texts."""

from collections.abc import Sequence

from slm_pipeline.settings import Settings

COMPARED = 2_000  # texts at most whose density is estimated; all others join the cluster that claims them
INLIERS = 0.95  # share of a cluster's calls within its radius
ROUNDS = 3
WORDS_SHARE = 2.0  # of the word vectors beside the n-grams when texts change clusters


def density_clusters(
    texts: Sequence[str], settings: Settings, known: Sequence[tuple[list[float], float]] = ()
) -> list[tuple[list[float], float, list[int]]]:
    """(centroid, radius, indices of the members) of each dense region, after HDBSCAN (Campello et al. 2013).

    Members are those that the nearest centroid within its radius claims, so that run time agrees. `known`: centroid and radius of regions
    found before; they claim first. Of what is left, the first `COMPARED` texts are clustered; the caller gives them in an order that is
    drawn.
    """
    if len(texts) < settings.min_text_calls:
        return []
    import numpy as np

    from slm_pipeline.s3_cluster.embedding import embed

    vectors = embed(texts, settings.embedding)
    old = [(centroid, radius) for centroid, radius, its in _claimed(vectors, known) if len(its) >= settings.min_text_calls]
    taken = np.zeros(len(texts), dtype=bool)
    for _, _, its in _claimed(vectors, old):
        taken[its] = True
    regions = old + _dense(vectors[~taken], settings)
    return [region for region in _claimed(vectors, regions) if len(region[2]) >= settings.min_text_calls]


def _dense(vectors, settings: Settings) -> list[tuple[list[float], float]]:
    """Centroid and radius of each dense region."""
    if len(vectors) < settings.min_text_calls:
        return []
    import numpy as np
    from sklearn.cluster import HDBSCAN

    part = vectors[:COMPARED]
    labels = HDBSCAN(min_cluster_size=max(2, round(settings.min_text_calls * len(part) / len(vectors))), copy=True).fit_predict(part)
    regions = []
    for label in range(labels.max() + 1):
        its = part[labels == label]
        mean = its.mean(axis=0)
        centroid = np.round(mean / np.linalg.norm(mean), 6)
        regions.append((centroid.tolist(), round(float(np.quantile(1 - its @ centroid, INLIERS)), 6)))
    return regions


def _claimed(vectors, regions: Sequence[tuple[list[float], float]]) -> list[tuple[list[float], float, list[int]]]:
    import numpy as np

    if not regions:
        return []
    distances = 1 - vectors @ np.array([centroid for centroid, _ in regions], dtype=np.float32).T
    nearest = distances.argmin(axis=1)
    within = distances[np.arange(len(vectors)), nearest].round(6) <= np.array([radius for _, radius in regions])[nearest]
    return [(*region, np.flatnonzero((nearest == i) & within).tolist()) for i, region in enumerate(regions)]


def clusters_of_number(texts: Sequence[str], number: int, settings: Settings):
    """Cluster of each text, int array of shape (len(texts),), with values 0 to `number` - 1.

    Ward's method on `fitted_vectors`, then a few rounds in which every text joins the cluster whose mean is nearest in word vectors and in
    n-grams together: self-training with a nearest-centroid classifier (Rocchio), after which the clusters have the outlines of their
    words, not those that merging left.
    """
    import numpy as np
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.preprocessing import normalize

    from slm_pipeline.s3_cluster.embedding import embed, fitted_vectors, ngrams

    vectors, grams = embed(texts, settings.embedding), ngrams(texts)
    labels = AgglomerativeClustering(number).fit_predict(fitted_vectors(texts, settings.embedding, settings.seed))
    for _ in range(ROUNDS):
        chosen = np.eye(number, dtype=np.float32)[labels]
        near = WORDS_SHARE * (vectors @ normalize(chosen.T @ vectors).T) + np.asarray(grams @ normalize(grams.T @ chosen, axis=0))
        labels = near.argmax(axis=1)
    return labels
