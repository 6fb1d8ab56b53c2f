# SPDX-License-Identifier: MIT
"""Exact search: against the same search as vectorised float64 NumPy over dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from made_signatures import made_signatures
from pairs import compare
from semcbir import Searcher, Signatures

K, EPSILON = 20, 0.9


def numpy_search(dense: np.ndarray, shares: np.ndarray, ids: np.ndarray, queries: Signatures) -> np.ndarray:
    """The definitions on dense arrays: float64 (n, C * D) and (n, C)."""
    found = []
    for query, share in zip(queries.dense(), queries.histograms(), strict=True):
        squared = ((dense - query.ravel().astype(np.float64)) ** 2).sum(axis=1)
        penalised = np.abs(shares - share).sum(axis=1) > EPSILON
        found.append(ids[np.lexsort((ids, squared, penalised))[:K]])
    return np.array(found)


@pytest.mark.parametrize("threads", [1, 2])
def test_search(benchmark: Any, threads: int) -> None:
    images = made_signatures(2000, n_classes=150, dim=64, seed=1)
    queries = images[:5]
    dense = images.dense().reshape(len(images), -1).astype(np.float64)
    shares = images.histograms().astype(np.float64)
    searcher = Searcher(images)

    def ours() -> np.ndarray:
        return searcher.search(queries, K, EPSILON, threads=threads).ids

    def peer() -> np.ndarray:
        return numpy_search(dense, shares, images.ids, queries)

    np.testing.assert_array_equal(ours(), peer())
    what = f"5 queries over 2,000 images of 150 x 64, {threads} thread{'s' * (threads > 1)}"
    compare(benchmark, what, ours, "dense NumPy, float64", peer, rounds=7)
