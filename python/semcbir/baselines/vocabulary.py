# SPDX-License-Identifier: MIT
"""Visual words: the centres that k-means finds among descriptors, and which are nearest to others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcbir.baselines.libraries import library, one_thread
from semcbir.baselines.normalising import Doubles

_AT_ONCE = 2**22
"""The most distances that are held at a time: 32 MiB."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The ``words``, float64 (K, D)."""

    words: Doubles

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def learnt(cls, descriptors: Doubles, count: int, seed: int) -> Vocabulary:
        """Find ``count`` words among at least as many descriptors (m, D): scikit-learn's MiniBatchKMeans."""
        with one_thread():
            kmeans = library("sklearn.cluster").MiniBatchKMeans(
                n_clusters=count, batch_size=max(1024, 4 * count), n_init=3, random_state=seed
            )
            kmeans.fit(descriptors.astype(np.float32))  # half of the time
        return cls(np.asarray(kmeans.cluster_centers_, np.float64))

    @cached_property
    def _lengths(self) -> Doubles:
        lengths: Doubles = (self.words**2).sum(axis=1)
        return lengths

    def nearest(self, descriptors: Doubles, count: int = 1) -> NDArray[np.int64]:
        """Return the ``count`` nearest words of each descriptor (n, D): int64 (n, count), nearest first.

        By L2 in double; of equally near words the one of the lowest number comes first.
        """
        rows = max(1, _AT_ONCE // len(self))
        parts = [
            # Without the descriptor's own length, which is the same for all words.
            smallest(self._lengths - 2 * (descriptors[start : start + rows] @ self.words.T), count)
            for start in range(0, len(descriptors), rows)
        ]
        return np.concatenate(parts) if parts else np.empty((0, count), np.int64)


def smallest(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return where the ``count`` smallest of each row are, smallest first, ties by position.

    Overwrites ``values`` (n, m), m >= ``count``.
    """
    found = np.empty((len(values), count), np.int64)
    rows = np.arange(len(values))
    for place in range(count):
        found[:, place] = values.argmin(axis=1)
        values[rows, found[:, place]] = np.inf
    return found
