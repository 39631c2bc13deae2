"""Where the tasks lie: a bounded sample of prompts in two dimensions, the closer the more alike in their words."""

import json
from collections import defaultdict

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.structure import system_of
from slm_pipeline.s3_cluster.templates import opening

POINTS = 1_000
OF_EACH = 40  # so that a large task does not cover the small ones
STATIC_WORDS, OPENING_WORDS = 100, 200


def map_points(sample: pd.DataFrame, found: dict[str, str], seed: int) -> pd.DataFrame:
    """Columns x, y (from 0 to 1) and task (None: unassigned) of at most POINTS sampled calls, at most OF_EACH of a task.

    Static embeddings, then t-SNE (van der Maaten and Hinton 2008) from a PCA start, in one thread: the same sample gives the same map.
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    from slm_pipeline.s3_cluster.embedding import embed

    chosen = _chosen(sample, found, seed)
    empty = pd.DataFrame({"x": [], "y": [], "task": []}).astype({"x": "float64", "y": "float64", "task": "str"})
    if len(chosen) < 4:
        return empty
    with threadpool_limits(1):
        vectors = embed([_said(json.loads(request)) for request in chosen["request"]])
        start = PCA(2, svd_solver="full").fit_transform(vectors.astype(np.float64))
        start = (start / max(float(np.abs(start).max()), 1e-12) * 1e-2).astype(np.float32)
        near = min(30.0, (len(chosen) - 1) / 3)
        places = TSNE(perplexity=near, init=start, metric="euclidean", max_iter=500, random_state=seed, n_jobs=1).fit_transform(vectors)
    low, high = places.min(axis=0), places.max(axis=0)
    x, y = np.round((places - low) / np.maximum(high - low, 1e-12), 3).astype(np.float64).T
    tasks = [found.get(id_) for id_ in chosen["id"]]
    return pd.DataFrame({"x": x, "y": y, "task": tasks}).astype(empty.dtypes.to_dict())


def _chosen(sample: pd.DataFrame, found: dict[str, str], seed: int) -> pd.DataFrame:
    order = sorted(range(len(sample)), key=lambda i: digest(seed, sample["id"].iloc[i]))
    taken: dict[str | None, int] = defaultdict(int)
    kept = []
    for i in order:
        task = found.get(sample["id"].iloc[i])
        taken[task] += 1
        if taken[task] <= OF_EACH:
            kept.append((taken[task], i))
    # every task has its first point before any has its second
    return sample.iloc[[i for _, i in sorted(kept)[:POINTS]]].sort_values("id")


def _said(request: Json) -> str:
    static = system_of(request)
    return " ".join([*(static or "").split()[:STATIC_WORDS], *opening(request, static).split()[:OPENING_WORDS]])
