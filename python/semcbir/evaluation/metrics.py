# SPDX-License-Identifier: MIT
"""How good a ranking is, by every protocol that published figures use (eq. 2-4).

Definitions of precision and mAP disagree on whether the query counts and on the divisor, and the paper does
not say what happens to the images that its semantic filter penalises. So every figure names its protocol:

================  =====  =============================================  ============================
name              query  list                                           divisor
================  =====  =============================================  ============================
``ap``            out    the whole ranking                              R
``ap@100``        out    first 100                                      min(R, 100)
``p@K out``       out    first K, at most R                             as many
``p@K in``        in     first K, at most the class size                as many
``paper``         in     first 100, at most the class size              hits found
================  =====  =============================================  ============================

R is the number of images of the query's class in the database, without the query. The class size is R + 1 if
the query is in the database, else R. Each function below judges one query; a data set's figure is the mean
over its queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a search returned for one query, judged against the ground truth.

    - ``relevant``: bool (m,), by rank: whether that image is of the query's class (true for the query itself)
    - ``query``: rank of the query itself, from 0; None if it is not in the database
    - ``n_relevant``: R, images of the query's class in the database, the query not counted; at least 1
    - ``kept``: how many images, always the first ones, passed the semantic filter, the query included

    Images that the filter drops are not in the list, so ``m`` may be less than the database's size.
    """

    relevant: npt.NDArray[np.bool_]
    query: int | None
    n_relevant: int
    kept: int

    @property
    def without_query(self) -> npt.NDArray[np.bool_]:
        """``relevant`` without the query's own rank: bool (m - 1,), or (m,) if the query is not in it."""
        return self.relevant if self.query is None else np.delete(self.relevant, self.query)

    @property
    def kept_without_query(self) -> int:
        """How many images passed the semantic filter, not counting the query, which always passes."""
        return self.kept - (self.query is not None)

    @property
    def class_size(self) -> int:
        """Images of the query's class in the database, the query included if it is one of them."""
        return self.n_relevant + (self.query is not None)


def judge(
    ids: npt.NDArray[np.int64],
    kept: int,
    relevant_ids: npt.NDArray[np.int64],
    query_id: int | None,
) -> Ranking:
    """Judge one row of ``Neighbors``.

    ``ids`` int64 (k,), nearest first and padded with -1 at the end; ``kept`` as in ``Neighbors``;
    ``relevant_ids`` int64, the images of the query's class in the database; ``query_id`` the query's own id,
    None if it is not in the database.

    Raises ValueError if the query is in the database but not in ``ids`` or ``relevant_ids``, or if no other
    image is relevant: such a query has no average precision.
    """
    found = ids[ids >= 0]
    n_relevant = len(relevant_ids) - (query_id is not None)
    if n_relevant < 1:
        raise ValueError("relevant_ids must name an image besides the query, got none")
    rank = None
    if query_id is not None:
        (places,) = np.nonzero(found == query_id)
        if len(places) != 1:
            raise ValueError(f"ids must hold the query's id {query_id} once, got it {len(places)} times")
        if query_id not in relevant_ids:
            raise ValueError(f"relevant_ids must hold the query's id {query_id}")
        rank = int(places[0])
    return Ranking(np.isin(found, relevant_ids), rank, n_relevant, min(kept, len(found)))


def average_precision(relevant: npt.NDArray[np.bool_], divisor: int) -> float:
    """Sum the precision at every hit of ``relevant`` (bool (m,), by rank) and divide; 0 without a hit."""
    (hits,) = np.nonzero(relevant)
    if not len(hits):
        return 0.0
    return float((np.arange(1, len(hits) + 1) / (hits + 1)).sum() / divisor)


def precision(relevant: npt.NDArray[np.bool_], k: int) -> float:
    """Share of hits in the first ``k`` of ``relevant`` (bool (m,), by rank); ranks beyond m miss (eq. 2)."""
    return float(np.count_nonzero(relevant[:k]) / k)


def ap(ranking: Ranking) -> float:
    """Average precision over the whole ranking, query out, divided by R: images not found count as 0."""
    return average_precision(ranking.without_query, ranking.n_relevant)


def ap_at_100(ranking: Ranking) -> float:
    """Average precision of the first 100, query out, divided by the most hits they can hold."""
    return average_precision(ranking.without_query[:100], min(ranking.n_relevant, 100))


def precision_out(ranking: Ranking, k: int) -> float:
    """Precision of the first ``k``, query out; never over more ranks than there are relevant images.

    So p@100 on Wang covers 99 ranks, and a perfect ranking scores 1.
    """
    return precision(ranking.without_query, min(k, ranking.n_relevant))


def precision_in(ranking: Ranking, k: int) -> float:
    """Precision of the first ``k``, query in and a hit; never over more ranks than the class has images."""
    return precision(ranking.relevant, min(k, ranking.class_size))


def paper(ranking: Ranking) -> float:
    """Reproduce the paper's figures: query in, first min(100, class size), divided by the hits found.

    Beware: with a filter that drops images, this divisor rewards losing relevant ones.
    """
    head = ranking.relevant[: min(100, ranking.class_size)]
    return average_precision(head, max(1, int(np.count_nonzero(head))))


PROTOCOLS: dict[str, Callable[[Ranking], float]] = {
    "ap": ap,
    "ap@100": ap_at_100,
    "p@20 out": lambda ranking: precision_out(ranking, 20),
    "p@20 in": lambda ranking: precision_in(ranking, 20),
    "p@100 out": lambda ranking: precision_out(ranking, 100),
    "p@100 in": lambda ranking: precision_in(ranking, 100),
    "paper": paper,
}
"""The protocols by name."""


def penalised_relevant(ranking: Ranking) -> float:
    """Share of the R relevant images, query out, that the semantic filter penalised or dropped."""
    passed = np.count_nonzero(ranking.without_query[: ranking.kept_without_query])
    return 1.0 - float(passed) / ranking.n_relevant


def kept_pairs(ranking: Ranking, n_images: int) -> float:
    """Share of the database's ``n_images``, the query not counted, that the semantic filter kept."""
    return ranking.kept_without_query / (n_images - (ranking.query is not None))
