# SPDX-License-Identifier: MIT
"""Searcher: exact top-k search with semantic filter and signature distance in one call (Sect. 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._validate import check_choice, check_integer
from semcbir.recipe import require_same
from semcbir.signatures import Signatures
from semcbir.threads import check_threads

Penalized = Literal["last", "drop"]
MAX_K = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Neighbors:
    """What ``Searcher.search`` found for q queries, nearest first.

    - ``ids``: int64 (q, k); -1 where fewer than k images remain
    - ``distances``: float32 (q, k), L2 between signatures; inf where ids is -1
    - ``histogram_distances``: float32 (q, k), eq. 1, in [0, 2]; inf where ids is -1
    - ``kept``: int64 (q,), how many of all images pass the filter; hits from column ``kept`` on are penalised
    """

    ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    histogram_distances: npt.NDArray[np.float32]
    kept: npt.NDArray[np.int64]


class Searcher:
    """Searches a batch of signatures, or several batches as one, exactly.

    Order: kept images by (squared distance in double, id), then the penalised ones likewise. The ids, order
    and bits are the same for any batch of queries, number of threads, instruction set and number of batches.
    The arrays are used where they are, without a copy.

    Raises ValueError if batches differ in classes or descriptor length or share an id, RecipeMismatchError
    if they were made in different ways.
    """

    def __init__(self, signatures: Signatures | Sequence[Signatures]) -> None:
        batches = [signatures] if isinstance(signatures, Signatures) else list(signatures)
        if not batches or not all(isinstance(batch, Signatures) for batch in batches):
            raise TypeError("signatures must be a Signatures or a sequence of at least one of them")
        ids = np.concatenate([batch.ids for batch in batches])
        if len(batches) > 1 and len(np.unique(ids)) != len(ids):
            raise ValueError("ids must be unique over all batches, got the same id more than once")
        self._setup(batches, [batch.ids for batch in batches])

    @classmethod
    def _over_segments(cls, batches: Sequence[Signatures], ids: Sequence[npt.NDArray[np.int64]]) -> Searcher:
        """Search stored segments under ``ids``, in which -1 marks an image that was removed."""
        searcher = cls.__new__(cls)
        searcher._setup(batches, ids)
        return searcher

    def _setup(self, batches: Sequence[Signatures], ids: Sequence[npt.NDArray[np.int64]]) -> None:
        first = batches[0]
        self.n_classes, self.dim, self.recipe = first.n_classes, first.dim, first.recipe
        for batch in batches[1:]:
            self._check_alike(batch, "batches")
        self._length = sum(int(np.count_nonzero(column >= 0)) for column in ids)
        self._core = _core.Searcher(
            [
                (batch.offsets, batch.classes, batch.proportions, batch.centroids, column)
                for batch, column in zip(batches, ids, strict=True)
            ],
            self.dim,
        )

    def __len__(self) -> int:
        """Return how many images can be found."""
        return self._length

    def search(
        self,
        queries: Signatures,
        k: int = 20,
        epsilon: float | None = 0.9,
        penalized: Penalized = "last",
        threads: int | None = None,
    ) -> Neighbors:
        """Find the ``k`` nearest images of each query.

        Images whose histogram distance to the query (eq. 1) is above ``epsilon`` are penalised: ranked
        after all others, or left out with ``penalized="drop"``. An epsilon of 2 or more keeps every image;
        None switches the filter off. ``k`` may exceed the number of images: the rest is padded.

        Raises TypeError or ValueError for a wrong argument, RecipeMismatchError if the queries' recipe is not
        the images'.
        """
        if not isinstance(queries, Signatures):
            raise TypeError(f"queries must be a Signatures, got {type(queries).__name__}")
        self._check_alike(queries, "queries")
        drop = check_penalized(penalized) == "drop"
        return Neighbors(
            *self._core.search(
                queries.offsets,
                queries.classes,
                queries.proportions,
                queries.centroids,
                check_k(k),
                check_epsilon(epsilon),
                drop,
                check_threads(threads),
            )
        )

    def _check_alike(self, batch: Signatures, what: str) -> None:
        if (batch.n_classes, batch.dim) != (self.n_classes, self.dim):
            raise ValueError(
                f"{what} must have n_classes={self.n_classes} and dim={self.dim}, "
                f"got {batch.n_classes} and {batch.dim}"
            )
        if batch.recipe and self.recipe:
            require_same(self.recipe, batch.recipe, what)


def histogram_distances(
    queries: Signatures, signatures: Signatures, threads: int | None = None
) -> npt.NDArray[np.float64]:
    """Return eq. 1 between every query and every image: float64 (q, n), in [0, 2].

    Raises ValueError if the two differ in their number of classes, or ``threads`` is below 1.
    """
    if queries.n_classes != signatures.n_classes:
        raise ValueError(
            "queries and signatures must have the same n_classes, "
            f"got {queries.n_classes} and {signatures.n_classes}"
        )
    return _core.histogram_distances(
        (queries.offsets, queries.classes, queries.proportions),
        (signatures.offsets, signatures.classes, signatures.proportions),
        check_threads(threads),
    )


def check_k(k: int) -> int:
    """Return ``k`` as an int. Raises TypeError or ValueError unless it is an integer of at least 1."""
    return check_integer("k", k, 1, MAX_K)


def check_epsilon(epsilon: float | None) -> float | None:
    """Return ``epsilon`` as a float or None. Raises TypeError or ValueError unless it is 0 or more."""
    if epsilon is None:
        return None
    if isinstance(epsilon, (bool, str)):
        raise TypeError(f"epsilon must be a number or None, got {type(epsilon).__name__}")
    try:
        value = float(epsilon)
    except TypeError:
        raise TypeError(f"epsilon must be a number or None, got {type(epsilon).__name__}") from None
    if math.isnan(value) or value < 0:
        raise ValueError(f"epsilon must be 0 or more (or None for no filter), got {value}")
    return value


def check_penalized(penalized: str) -> str:
    """Return ``penalized``. Raises ValueError unless it is "last" or "drop"."""
    return check_choice("penalized", penalized, get_args(Penalized))
