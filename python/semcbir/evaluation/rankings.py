# SPDX-License-Identifier: MIT
"""What searches returned, judged against the ground truth: many queries at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bools: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

NOWHERE = -1
"""The rank, and the id, of a query that is not in the database."""

DISTRACTOR = -1
"""The class of an image that is relevant to nothing and is never a query."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The relevant images in the rankings of ``n`` queries.

    For each, query by query and by rank: int64 ``rows``, whose query's it is; ``ranks``, from 0; ``places``,
    how many of the query's come before it.
    """

    rows: Integers
    ranks: Integers
    places: Integers
    n: int

    @classmethod
    def of(cls, rows: Integers, ranks: Integers, n: int) -> Hits:
        """Return the hits at ``ranks`` of the queries ``rows``, sorted by query, then rank."""
        first = np.searchsorted(rows, np.arange(n))
        return cls(rows, ranks, np.arange(len(rows)) - first[rows], n)

    def sum(self, values: Floats, depth: Integers | None) -> Floats:
        """Return, for each query, the sum of its hits' ``values`` within its first ``depth`` ranks."""
        if depth is None:
            return np.bincount(self.rows, values, self.n).astype(np.float64)
        near = self.ranks < depth[self.rows]
        return np.bincount(self.rows[near], values[near], self.n).astype(np.float64)

    def count(self, depth: Integers) -> Integers:
        """Return how many hits each query has within its first ``depth`` ranks."""
        return np.bincount(self.rows[self.ranks < depth[self.rows]], minlength=self.n)


@dataclass(frozen=True, eq=False)
class Rankings:
    """What searches returned for q queries, judged.

    - ``relevant``: bool (q, m), by rank: whether that image is of the query's class (true for the query
      itself); false behind the end of a list, where the semantic filter drops images
    - ``query``: int64 (q,), the rank of the query itself, from 0; NOWHERE if it is not in the database
    - ``n_relevant``: int64 (q,), R: images of the query's class in the database, without the query; 1 or more
    - ``kept``: int64 (q,), how many images, always the first ones, passed the filter, the query included
    """

    relevant: Bools
    query: Integers
    n_relevant: Integers
    kept: Integers

    def __len__(self) -> int:
        return len(self.relevant)

    @property
    def has_query(self) -> Bools:
        """Whether the query is in the database: bool (q,)."""
        return np.asarray(self.query != NOWHERE)

    @property
    def class_size(self) -> Integers:
        """Images of the query's class in the database, the query included if it is one of them: (q,)."""
        return self.n_relevant + self.has_query

    @property
    def kept_without_query(self) -> Integers:
        """How many images passed the semantic filter, not counting the query, which always passes: (q,)."""
        return self.kept - self.has_query

    @cached_property
    def hits_with_query(self) -> Hits:
        """The relevant images, each query itself among its own."""
        rows, ranks = np.nonzero(self.relevant)
        return Hits.of(rows, ranks, len(self))

    @cached_property
    def hits(self) -> Hits:
        """The relevant images without the queries, ranks being those in lists without them."""
        found = self.hits_with_query
        at = self.query[found.rows]
        others = found.ranks != at
        behind = (at != NOWHERE) & (found.ranks > at)
        return Hits.of(found.rows[others], (found.ranks - behind)[others], len(self))


@dataclass(frozen=True, eq=False)
class Truth:
    """Which images are searched, with which, and the class of each; a class is a number from 0.

    - ``classes``: int64 (n,), of the images that are searched, by id; DISTRACTOR for what is relevant to
      nothing
    - ``queries``: int64 (q,), the queries' ids, from 0 to n - 1; NOWHERE for those that are not searched
    - ``wanted``: int64 (q,), the queries' classes
    """

    classes: Integers
    queries: Integers
    wanted: Integers

    def __getitem__(self, chosen: slice | Bools | Integers) -> Truth:
        """Return what is left if only some queries are asked."""
        return replace(self, queries=self.queries[chosen], wanted=self.wanted[chosen])

    @cached_property
    def n_relevant(self) -> Integers:
        """R of each query: the images of its class that are searched, without itself: int64 (q,)."""
        real = self.classes[self.classes >= 0]
        sizes = np.bincount(real, minlength=int(self.wanted.max(initial=0)) + 1)
        return np.asarray(sizes[self.wanted] - (self.queries != NOWHERE), np.int64)


def judge(ids: Integers, kept: Integers, truth: Truth) -> Rankings:
    """Judge what searches returned for the q queries of ``truth``.

    ``ids`` int64 (q, k), nearest first and padded with -1 at the end, and ``kept`` int64 (q,) are as in
    ``Neighbors``.

    Raises ValueError if no other image is of a query's class (such a query has no average precision), or if a
    query is searched but not once in its ``ids``.
    """
    if len(ids) and truth.n_relevant.min() < 1:
        lonely = truth.wanted[np.argmin(truth.n_relevant)]
        raise ValueError(f"truth: expected an image besides the query of class {lonely}, got none")
    inside = truth.queries != NOWHERE
    at = ids == np.where(inside, truth.queries, -2)[:, None]
    times = np.count_nonzero(at, axis=1)
    if (wrong := times != inside).any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"ids: expected the query's id {truth.queries[first]} once, got it {times[first]} times"
        )
    # Behind the images stands what an id of -1 is taken for: an image of no class.
    classes = np.append(truth.classes, DISTRACTOR)
    relevant = classes[ids] == truth.wanted[:, None]
    query = np.where(inside, at.argmax(axis=1), NOWHERE)
    length = np.count_nonzero(ids >= 0, axis=1)
    return Rankings(relevant, query, truth.n_relevant, np.minimum(kept, length))
