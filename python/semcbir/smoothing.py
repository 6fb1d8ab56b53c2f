# SPDX-License-Identifier: MIT
"""smoothed(): images averaged with their nearest (database-side augmentation).

After Turcot and Lowe (2009), "Better matching with fewer features", and Arandjelović and Zisserman (2012),
"Three things everyone should know to improve object retrieval".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._validate import check_instance, check_integer
from semcbir.searcher import (
    Epsilon,
    Neighbors,
    Penalized,
    Searcher,
    check_epsilon,
    check_k,
    check_penalized,
)
from semcbir.signatures import Signatures
from semcbir.terms import Terms
from semcbir.threads import check_threads

MAX_SMOOTH = 1000
"""The most neighbours that an image is averaged with, which bounds the memory for each."""
_FOUND_AT_ONCE = 2**20
"""How many neighbours are searched for in one go, in images times neighbours."""

_Positions = npt.NDArray[np.int64]
_Columns = tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.uint16],
    npt.NDArray[np.float32],
    npt.NDArray[np.uint32],
    npt.NDArray[np.float32],
]


def smoothed(signatures: Signatures, k: int = 10, *, threads: int | None = None) -> Signatures:
    """Return the images of ``signatures``, each averaged with its ``k`` nearest among them.

    Nearest is by the order of ``Searcher.search`` without a filter. The image itself comes first and weighs
    1, its r-th neighbour 1 - r / (k + 1); sums are divided by the sum of the weights of those that are there.
    An image gets the classes of all of them: a class that one lacks has proportion 0 and the null vector
    there. Proportions and centroids are averaged, in double and rounded once to float32; counts are summed,
    up to 2^32 - 1. ``k`` 0 changes nothing. The bits are the same for any ``threads``.

    Ids and recipe stay, so nothing tells smoothed signatures from others: smoothing them again, here or with
    ``search(..., smooth=k)``, averages averages, and no error says so. ``weighted`` comes first, if at all.

    Every image is compared with every other. Raises TypeError or ValueError for a wrong argument: ``k`` is
    from 0 to 1000, and an id that ``signatures`` holds twice is refused.
    """
    check_instance("signatures", signatures, Signatures)
    k, threads = check_smooth("k", k), check_threads(threads)
    nearest = _nearest_of_each(signatures, k, threads)
    return _blended(signatures, signatures, nearest, k, threads)


def smoothed_queries(
    queries: Signatures, signatures: Signatures, k: int = 10, *, threads: int | None = None
) -> Signatures:
    """Return ``queries``, each averaged with its ``k`` nearest of ``signatures``, which are not smoothed.

    As ``smoothed`` does it, so that smoothed queries are searched for among ``smoothed(signatures, k)``. A
    query that is in ``signatures`` itself (at distance and histogram distance 0; of several such images the
    first) is not counted twice: it becomes what that image becomes. Errors as above; ids of queries may
    repeat.
    """
    check_instance("queries", queries, Signatures)
    check_instance("signatures", signatures, Signatures)
    k, threads = check_smooth("k", k), check_threads(threads)
    ids = _nearest_of_queries(Searcher(signatures), queries, k, threads)
    return _blended(queries, signatures, _positions(signatures.ids, ids), k, threads)


class SmoothedSearcher(Searcher):
    """Searches smoothed signatures for queries that it smooths first.

    The semantic filter is that of ``searcher``: histogram distances are those between the images themselves,
    since epsilon is a promise about their contents.
    """

    def __init__(
        self,
        searcher: Searcher,
        signatures: Signatures,
        k: int,
        fetch: Callable[[npt.NDArray[np.int64]], Signatures],
    ) -> None:
        """Smooth ``signatures``, all that ``searcher`` can find; ``fetch`` gives those with the given ids."""
        self.k = check_smooth("k", k)
        threads = check_threads(None)
        nearest = _nearest_of_each(signatures, self.k, threads, searcher)
        blended = _blended(signatures, signatures, nearest, self.k, threads, own_proportions=True)
        self._setup([blended], [blended.ids])
        self._unsmoothed, self._fetch, self._smoothed = searcher, fetch, blended

    def among(self, ids: npt.NDArray[np.int64]) -> SmoothedSearcher:
        """Return one that finds the images with these ids alone, smoothed as they are here."""
        chosen = SmoothedSearcher.__new__(SmoothedSearcher)
        chosen.k, chosen._unsmoothed, chosen._fetch = self.k, self._unsmoothed, self._fetch
        chosen._smoothed, own = self._smoothed, self._smoothed.ids
        chosen._setup([self._smoothed], [np.where(np.isin(own, ids), own, -1)], self._core.screens)
        return chosen

    def search(
        self,
        queries: Signatures,
        k: int = 20,
        epsilon: Epsilon = "auto",
        penalized: Penalized = "last",
        threads: int | None = None,
        *,
        terms: Terms | None = None,
        keep: int | None = None,
    ) -> Neighbors:
        """Find the ``k`` images nearest to each query, as ``Searcher.search`` does, errors included.

        ``queries`` are not smoothed; they are averaged as ``smoothed_queries`` does it.
        """
        check_instance("queries", queries, Signatures)
        self._check_alike(queries, "queries")
        check_k(k)
        check_epsilon(epsilon)
        check_penalized(penalized)
        threads = check_threads(threads)
        ids = _nearest_of_queries(self._unsmoothed, queries, self.k, threads)
        near = self._fetch(np.unique(ids[ids >= 0]))
        at = _positions(near.ids, ids)
        blended = _blended(queries, near, at, self.k, threads, own_proportions=True)
        return super().search(blended, k, epsilon, penalized, threads, terms=terms, keep=keep)


def check_smooth(name: str, value: SupportsIndex) -> int:
    """Return a number of neighbours as an int. Raises TypeError or ValueError unless it is from 0 to 1000."""
    return check_integer(name, value, 0, MAX_SMOOTH)


def _nearest_of_each(
    signatures: Signatures, k: int, threads: int, searcher: Searcher | None = None
) -> _Positions:
    """Return (n, up to k) positions of each image's nearest others, from a ``searcher`` over just these."""
    searcher = searcher or Searcher(signatures)
    ids, width = signatures.ids, min(k, max(0, len(signatures) - 1))
    nearest = np.empty((len(ids), width), np.int64)
    for part in _parts(len(ids), width):
        found = searcher.search(signatures[part], width + 1, None, threads=threads).ids
        nearest[part] = _without(found, found == ids[part, None])
    return _positions(ids, nearest)


def _nearest_of_queries(searcher: Searcher, queries: Signatures, k: int, threads: int) -> _Positions:
    """Return (q, up to k) ids of each query's nearest images, -1 where there are no more."""
    width = min(k, len(searcher))
    nearest = np.empty((len(queries), width), np.int64)
    for part in _parts(len(queries), width):
        found = searcher.search(queries[part], width + 1, None, threads=threads)
        itself = (found.distances == 0) & (found.histogram_distances == 0)
        nearest[part] = _without(found.ids, itself)
    return nearest


def _parts(length: int, width: int) -> list[slice]:
    size = max(1, _FOUND_AT_ONCE // (width + 1))
    return [slice(start, start + size) for start in range(0, length, size)]


def _without(found: _Positions, itself: npt.NDArray[np.bool_]) -> _Positions:
    """Return each row without its first entry marked in ``itself``, or without the last if none is."""
    last = found.shape[1] - 1
    out = np.where(itself.any(axis=1), itself.argmax(axis=1), last)
    rest: _Positions = found[np.arange(last + 1) != out[:, None]]
    return rest.reshape(len(found), last)


def _positions(ids: npt.NDArray[np.int64], wanted: _Positions) -> _Positions:
    """Return where ``ids`` holds what is ``wanted``; -1 stays."""
    if not len(ids):
        return np.full_like(wanted, -1)
    order = np.argsort(ids)
    at = np.searchsorted(ids, wanted, sorter=order)
    return np.where(wanted < 0, -1, order[np.minimum(at, len(ids) - 1)])


def _blended(
    images: Signatures,
    collection: Signatures,
    nearest: _Positions,
    k: int,
    threads: int,
    own_proportions: bool = False,
) -> Signatures:
    offsets, classes, proportions, counts, centroids = _core.blend(
        _columns(images),
        _columns(collection),
        np.ascontiguousarray(nearest),
        images.dim,
        k,
        own_proportions,
        threads,
    )
    made = {"offsets": offsets, "classes": classes, "proportions": proportions}
    return Signatures._unchecked(**{**vars(images), **made, "counts": counts, "centroids": centroids})


def _columns(batch: Signatures) -> _Columns:
    return batch.offsets, batch.classes, batch.proportions, batch.counts, batch.centroids
