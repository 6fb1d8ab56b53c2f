# SPDX-License-Identifier: MIT
"""How good rankings are, by every measure that published figures use (eq. 2-4).

Definitions of precision and mAP disagree on whether the query counts and on the divisor, and the paper does
not say what happens to the images that its semantic filter penalises. So every figure names its measure:

================  =====  =============================================  ============================
name              query  list                                           divisor
================  =====  =============================================  ============================
``ap``            out    the whole ranking                              R
``ap@K``          out    first K                                        min(R, K)
``p@K out``       out    first K, at most R                             as many
``p@K in``        in     first K, at most the class size                as many
``paper``         in     first 100, at most the class size              hits found
``recall@K``      out    first K                                        R
``r-precision``   out    first R                                        R
``ndcg``          out    the whole ranking, a hit at rank i counts      the same sum of R hits at
                         1 / log2(i + 1)                                ranks 1 to R
``11-point``      out    the whole ranking: the highest precision at    11
                         a recall of 0, 0.1, ..., 1 or more, summed
================  =====  =============================================  ============================

R is the number of images of the query's class in the database, without the query. The class size is R + 1 if
the query is in the database, else R. Each measure gives a number in [0, 1] for every query; a data set's
figure is the mean over its queries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from semcbir.evaluation.rankings import Floats, Hits, Integers, Rankings

Measure = Callable[[Rankings], Floats]


def average_precision(hits: Hits, depth: Integers | None, divisor: Integers) -> Floats:
    """Sum the precision at every hit of the first ``depth`` ranks (None: all) and divide; 0 without a hit."""
    precisions = (hits.places + 1) / (hits.ranks + 1)
    return hits.sum(precisions, depth) / divisor


def precision(hits: Hits, depth: Integers) -> Floats:
    """Share of hits in the first ``depth`` ranks; ranks beyond the end of a list miss (eq. 2)."""
    return hits.count(depth) / depth


def ap(rankings: Rankings) -> Floats:
    """Average precision over the whole ranking, query out, divided by R: images not found count as 0."""
    return average_precision(rankings.hits, None, rankings.n_relevant)


def ap_at(rankings: Rankings, k: int) -> Floats:
    """Average precision of the first ``k``, query out, divided by the most hits they can hold."""
    depth = np.full(len(rankings), k)
    return average_precision(rankings.hits, depth, np.minimum(rankings.n_relevant, k))


def precision_out(rankings: Rankings, k: int) -> Floats:
    """Precision of the first ``k``, query out; never over more ranks than there are relevant images.

    So p@100 on Wang covers 99 ranks, and a perfect ranking scores 1.
    """
    return precision(rankings.hits, np.minimum(rankings.n_relevant, k))


def precision_in(rankings: Rankings, k: int) -> Floats:
    """Precision of the first ``k``, query in and a hit; never over more ranks than the class has images."""
    return precision(rankings.hits_with_query, np.minimum(rankings.class_size, k))


def paper(rankings: Rankings) -> Floats:
    """Reproduce the paper's figures: query in, first min(100, class size), divided by the hits found.

    Beware: with a filter that drops images, this divisor rewards losing relevant ones.
    """
    depth = np.minimum(rankings.class_size, 100)
    hits = rankings.hits_with_query
    return average_precision(hits, depth, np.maximum(hits.count(depth), 1))


def recall_at(rankings: Rankings, k: int) -> Floats:
    """Share of the R relevant images that are among the first ``k``, query out."""
    return rankings.hits.count(np.full(len(rankings), k)) / rankings.n_relevant


def r_precision(rankings: Rankings) -> Floats:
    """Precision of the first R, query out: there it equals recall."""
    return precision(rankings.hits, rankings.n_relevant)


def ndcg(rankings: Rankings) -> Floats:
    """Normalised discounted cumulative gain of the whole ranking, query out (Järvelin, Kekäläinen 2002)."""
    most = int(rankings.n_relevant.max(initial=0))
    ideal = np.cumsum(1 / np.log2(np.arange(most) + 2))
    gained = rankings.hits.sum(1 / np.log2(rankings.hits.ranks + 2), None)
    return np.asarray(gained / ideal[rankings.n_relevant - 1], np.float64)


def eleven_point(rankings: Rankings) -> Floats:
    """Mean of the interpolated precision at a recall of 0, 0.1, ..., 1, query out."""
    return np.asarray(precision_at_recall(rankings, 11).mean(axis=1), np.float64)


def precision_at_recall(rankings: Rankings, points: int = 101) -> Floats:
    """Return the interpolated precision at ``points`` recalls spread evenly from 0 to 1: (q, points).

    At a recall r it is the highest precision at any rank where recall is at least r, and 0 if the ranking
    never comes to r (Manning, Raghavan and Schütze 2008, sect. 8.4); query out.
    """
    hits = rankings.hits
    most = int(rankings.n_relevant.max(initial=0))
    at_hit = np.zeros((len(rankings), most))
    at_hit[hits.rows, hits.places] = (hits.places + 1) / (hits.ranks + 1)
    best = np.maximum.accumulate(at_hit[:, ::-1], axis=1)[:, ::-1]
    # Recall is at least i / (points - 1) from the ceil(R i / (points - 1))-th hit on, in whole numbers.
    needed = -(-rankings.n_relevant[:, None] * np.arange(points) // (points - 1))
    return np.take_along_axis(best, np.maximum(needed - 1, 0), axis=1)


def penalised_relevant(rankings: Rankings) -> Floats:
    """Share of the R relevant images, query out, that the semantic filter penalised or dropped."""
    return 1 - rankings.hits.count(rankings.kept_without_query) / rankings.n_relevant


def kept_share(rankings: Rankings, n_images: int) -> Floats:
    """Share of the database's ``n_images``, the query not counted, that the semantic filter kept."""
    return np.asarray(rankings.kept_without_query / (n_images - rankings.has_query), np.float64)


def measures(cuts: tuple[int, ...] = (20, 100)) -> dict[str, Measure]:
    """Return the measures by name; ``cuts`` are the K, ascending, of those that have one."""
    found: dict[str, Measure] = {"ap": ap, "paper": paper}
    for k in cuts:
        found[f"ap@{k}"] = partial(ap_at, k=k)
        found[f"p@{k} out"] = partial(precision_out, k=k)
        found[f"p@{k} in"] = partial(precision_in, k=k)
        found[f"recall@{k}"] = partial(recall_at, k=k)
    found |= {"r-precision": r_precision, "ndcg": ndcg, "11-point": eleven_point}
    return found


MEASURES = measures()
"""The measures of every evaluation, by name."""
