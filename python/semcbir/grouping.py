# SPDX-License-Identifier: MIT
"""near_groups(): images that belong together, since a chain of pairs within a distance joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from semcbir.searcher import Searcher
from semcbir.signatures import Signatures

Ids = npt.NDArray[np.int64]

_FIRST_K = 8
"""Neighbours that each image is asked for first, itself included: most have none within the distance."""
_GROWTH = 8
"""How many times as many an image is asked for that has as many within the distance as it was asked for."""
_QUERIES_AT_ONCE = 4096
"""Images whose signatures are in memory as queries at a time."""
_FOUND_AT_ONCE = 2**20
"""Neighbours searched for in one go, in images times neighbours."""


def near_groups(
    searcher: Searcher,
    ids: Ids,
    fetch: Callable[[Ids], Signatures],
    distance: float,
    threads: int | None = None,
) -> list[Ids]:
    """Return the groups of two images and more among ``ids``, all that ``searcher`` can find, ascending.

    Two images are in the same group if they are at most ``distance`` apart, or if others join them: groups
    are the connected components of the pairs within ``distance``. Distances are the float32 ones of
    ``Searcher.search`` without a filter. ``fetch`` gives the signatures with the given ids. A group's ids
    ascend, and groups go by their first.
    """
    forest = _Forest(len(ids))
    for start in range(0, len(ids), _QUERIES_AT_ONCE):
        for a, b in _near_pairs(
            searcher, fetch(ids[start : start + _QUERIES_AT_ONCE]), len(ids), distance, threads
        ):
            forest.join(np.searchsorted(ids, a), np.searchsorted(ids, b))
    return [ids[group] for group in forest.groups()]


def _near_pairs(
    searcher: Searcher, queries: Signatures, images: int, distance: float, threads: int | None
) -> Iterator[tuple[Ids, Ids]]:
    """Yield (ids of queries, ids of images within ``distance`` of them) of ``images`` in all.

    A query as near to as many images as it asked for asks again for more. Of identical images only that with
    the lowest id does, which is the first that each of them finds: the others are joined to it by then, and
    have the same neighbours.
    """
    k = min(_FIRST_K, images)
    while len(queries):
        unfinished = np.zeros(len(queries), bool)
        at_once = max(1, _FOUND_AT_ONCE // k)
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            asked = queries[part]
            found = searcher.search(asked, k, None, threads=threads)
            near = found.distances.astype(np.float64) <= distance
            rows, columns = np.nonzero(near)
            yield asked.ids[rows], found.ids[rows, columns]
            unfinished[part] = near[:, -1] & (found.ids[:, 0] == asked.ids)
        if k == images:
            return
        queries, k = queries[unfinished], min(_GROWTH * k, images)


class _Forest:
    """Union-find over positions 0..n-1; the root of a tree is its lowest position."""

    def __init__(self, n: int) -> None:
        self._parent = np.arange(n)

    def join(self, a: npt.NDArray[np.intp], b: npt.NDArray[np.intp]) -> None:
        """Join the trees of ``a[i]`` and ``b[i]`` for every i."""
        pairs = np.stack([self._roots(a), self._roots(b)], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
        for one, other in pairs.tolist():
            low, high = sorted((self._root(one), self._root(other)))
            self._parent[high] = low

    def groups(self) -> list[npt.NDArray[np.intp]]:
        """Return the trees of two positions and more, ascending, by their lowest."""
        roots = self._roots(np.arange(len(self._parent)))
        joined = np.flatnonzero(np.bincount(roots)[roots] > 1)
        if not len(joined):
            return []
        order = joined[np.argsort(roots[joined], kind="stable")]
        return np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)

    def _root(self, at: int) -> int:
        while (above := int(self._parent[at])) != at:
            self._parent[at] = self._parent[above]
            at = above
        return at

    def _roots(self, at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        roots = self._parent[at]
        while len(roots) and ((above := self._parent[roots]) != roots).any():
            roots = above
        self._parent[at] = roots
        return roots
