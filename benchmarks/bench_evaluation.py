# SPDX-License-Identifier: MIT
"""Measures of rankings beside scikit-learn, which takes one query after the other.

pytest benchmarks/bench_evaluation.py -s
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pairs import compare
from semcbir.evaluation.metrics import MEASURES, ap
from semcbir.evaluation.rankings import Rankings, Truth, judge

CLASSES = 10


def rankings(n: int, queries: int) -> tuple[np.ndarray, Truth]:
    """Random rankings of ``n`` images in ten classes, for some of them as queries."""
    rng = np.random.default_rng(0)
    classes = np.arange(n) % CLASSES
    asked = np.arange(queries)
    ids = np.array([rng.permutation(n) for _ in range(queries)])
    return ids, Truth(classes, asked, classes[asked])


def judged(ids: np.ndarray, truth: Truth) -> Rankings:
    return judge(ids, np.full(len(ids), ids.shape[1]), truth)


@pytest.mark.parametrize(("n", "queries"), [(1_000, 1_000), (100_000, 100)])
@pytest.mark.parametrize("what", ["ap", "all measures"])
def test_measures(benchmark: Any, n: int, queries: int, what: str) -> None:
    """From ids to average precision, or to every measure."""
    metrics = pytest.importorskip("sklearn.metrics")
    ids, truth = rankings(n, queries)
    scores = -np.arange(n - 1, dtype=float)

    def ours() -> np.ndarray:
        found = judged(ids, truth)
        return np.array([measure(found) for measure in (MEASURES.values() if what != "ap" else [ap])])

    def theirs() -> list[float]:
        return [
            metrics.average_precision_score(truth.classes[row[row != query]] == label, scores)
            for row, query, label in zip(ids, truth.queries, truth.wanted, strict=True)
        ]

    np.testing.assert_allclose(ap(judged(ids, truth)), theirs())
    compare(
        benchmark,
        f"{what} of {queries:,} queries over {n:,} images",
        ours,
        "scikit-learn, average_precision_score",
        theirs,
        rounds=5,
    )
