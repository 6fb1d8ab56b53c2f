# SPDX-License-Identifier: MIT
"""Principal axes of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semcbir.baselines.libraries import one_thread
from semcbir.baselines.normalising import Doubles


@dataclass(frozen=True, eq=False)
class Axes:
    """The first c principal axes of vectors, those along which they vary most, by falling variance.

    ``mean``, float64 (D,); ``directions``, (c, D), orthonormal, the largest number of each positive;
    ``variances``, (c,), of the vectors along them (divided by their number).
    """

    mean: Doubles
    directions: Doubles
    variances: Doubles

    @classmethod
    def of(cls, vectors: Doubles, count: int) -> Axes:
        """Return the first ``count`` axes of vectors (n, D), ``count`` at most n and D."""
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        with one_thread():
            if len(vectors) < vectors.shape[1]:  # a covariance would be larger than the vectors
                _, values, right = np.linalg.svd(centred, full_matrices=False)
                variances, directions = values**2 / len(vectors), right
            else:
                values, columns = np.linalg.eigh(centred.T @ centred / len(vectors))
                variances, directions = np.maximum(0, values[::-1]), columns.T[::-1]
        directions = directions[:count]
        largest = np.abs(directions).argmax(axis=1)
        signs = np.sign(directions[np.arange(len(directions)), largest])
        return cls(mean, directions * signs[:, None], variances[:count])

    def projected(self, vectors: Doubles) -> Doubles:
        """Return vectors (n, D) along the axes: (n, c)."""
        projected: Doubles = (vectors - self.mean) @ self.directions.T
        return projected
