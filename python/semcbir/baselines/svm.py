# SPDX-License-Identifier: MIT
"""Ranking by the classes that an SVM has learnt."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._columns import as_array
from semcbir.baselines.aggregator import MOST
from semcbir.baselines.libraries import library
from semcbir.baselines.normalising import Doubles, unit
from semcbir.baselines.vectors import checked_vectors
from semcbir.features.parameters import integers, reals


@dataclass(frozen=True)
class SvmRanking:
    """Linear SVMs over a network's vectors (Fu, Li, Gao, Wang 2016), one class against the rest.

    The paper ranks by the distance of features to a trained hyperplane. Read so: the query is of the class
    whose decision value is largest, and images are ranked by their decision values for that class. Vectors
    get the length 1 first. Unlike every other baseline it learns labels: say of which images, which must not
    be among the queries.

    ``c``: scikit-learn's C, what an error costs; ``max_iter``: its iterations at most; ``seed`` of their
    order. The same vectors, labels and seed give the same bits on one computer.
    """

    c: float = 1.0
    max_iter: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        reals(self, c=(1e-9, inf))
        integers(self, max_iter=(1, MOST), seed=(0, 2**32 - 1))

    def fit(self, vectors: npt.ArrayLike, labels: npt.ArrayLike) -> FittedSvm:
        """Learn from vectors (n, D), real and finite, and labels (n,), integers of two classes or more.

        Raises:
            TypeError, ValueError: they are not such arrays.
            SemcbirError: scikit-learn is not installed.
        """
        rows = unit(checked_vectors("vectors", vectors))
        classes = as_array("labels", labels, "iu", "an array of integers")
        if classes.shape != (len(rows),):
            raise ValueError(
                f"labels: expected shape ({len(rows)},), one for each vector, got {classes.shape}"
            )
        known = np.unique(classes)
        if len(known) < 2:
            raise ValueError(f"labels: expected at least two classes, got {len(known)}")
        svm = library("sklearn.svm").LinearSVC(
            C=self.c, dual="auto", max_iter=self.max_iter, random_state=self.seed
        )
        svm.fit(rows, classes)
        weights, bias = np.asarray(svm.coef_, np.float64), np.asarray(svm.intercept_, np.float64)
        if len(known) == 2:  # one plane for both
            weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
        return FittedSvm(known, weights, bias)


@dataclass(frozen=True, eq=False)
class FittedSvm:
    """What was learnt: ``classes``, the labels (k,), ascending; ``weights`` (k, D) and ``bias`` (k,)."""

    classes: npt.NDArray[Any]
    weights: Doubles
    bias: Doubles

    def decisions(self, vectors: npt.ArrayLike) -> Doubles:
        """Return each vector's decision values, above 0 for a class it seems to be of: float64 (n, k)."""
        rows = unit(checked_vectors("vectors", vectors, self.weights.shape[1]))
        decisions: Doubles = rows @ self.weights.T + self.bias
        return decisions

    def predicted(self, vectors: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return each vector's class, that of the largest decision value, the first of equal ones: (n,)."""
        classes: npt.NDArray[Any] = self.classes[self.decisions(vectors).argmax(axis=1)]
        return classes

    def distances(self, queries: npt.ArrayLike, images: npt.ArrayLike) -> Doubles:
        """Return, by query, minus the images' decision values for its predicted class: float64 (q, n).

        From vectors (q, D) and (n, D). They may be negative, and a query is not at 0 from itself. TypeError
        or ValueError for anything but such vectors.
        """
        chosen = self.decisions(queries).argmax(axis=1)
        distances: Doubles = -self.decisions(images).T[chosen]
        return distances
