# SPDX-License-Identifier: MIT
"""Random signatures as real ones look: few classes of many, some without keypoints, some images all void."""

from __future__ import annotations

import numpy as np

from semcbir import Signatures
from semcbir.signatures import with_ids


def made_signatures(
    n: int, *, n_classes: int = 20, dim: int = 8, seed: int = 0, duplicates: bool = False
) -> Signatures:
    """``n`` images; with ``duplicates`` every third one repeats an earlier one, so that distances tie."""
    rng = np.random.default_rng([seed, n, n_classes, dim])
    histograms = np.zeros((n, n_classes), np.float32)
    counts = np.zeros((n, n_classes), np.uint32)
    dense = np.zeros((n, n_classes, dim), np.float32)
    for i in range(n):
        if duplicates and i % 3 == 2:
            j = rng.integers(i)
            histograms[i], counts[i], dense[i] = histograms[j], counts[j], dense[j]
            continue
        present = rng.choice(n_classes, rng.integers(0, min(6, n_classes) + 1), replace=False)
        histograms[i, present] = rng.dirichlet(np.ones(len(present))) if len(present) else 0
        present = np.flatnonzero(histograms[i])
        counts[i, present] = rng.integers(0, 4, len(present))
        with_keypoints = np.flatnonzero(counts[i])
        dense[i, with_keypoints] = rng.normal(size=(len(with_keypoints), dim))
    ids = rng.permutation(3 * n)[:n]
    return Signatures.from_dense(dense, histograms, counts=counts, ids=ids)


def with_whole_rows(signatures: Signatures, *, dim: int | None = None, seed: int = 0) -> Signatures:
    """The same images, each with a whole row, under the same recipe; random descriptors where ``dim`` is."""
    rng = np.random.default_rng([seed, len(signatures)])
    ends, n = signatures.offsets[1:], len(signatures)
    centroids = signatures.centroids
    if dim is not None:
        centroids = rng.normal(size=(len(centroids), dim)) * (signatures.counts > 0)[:, None]
    return Signatures(
        offsets=signatures.offsets + np.arange(n + 1),
        classes=np.insert(signatures.classes, ends, signatures.n_classes),
        proportions=np.insert(signatures.proportions, ends, 0),
        counts=np.insert(signatures.counts, ends, rng.integers(1, 99, n)),
        centroids=np.insert(centroids, ends, rng.normal(size=(n, centroids.shape[1])), axis=0),
        n_classes=signatures.n_classes,
        ids=signatures.ids,
        recipe=signatures.recipe,
        whole=True,
    )


def assert_same(a: Signatures, b: Signatures) -> None:
    """Every column bit for bit, ids and number of classes included."""
    for name in ("offsets", "classes", "proportions", "counts", "centroids", "ids"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.n_classes, a.whole) == (b.n_classes, b.whole)


def numbered(signatures: Signatures) -> Signatures:
    """The same with ids from 0."""
    return with_ids(signatures, np.arange(len(signatures)))
