# SPDX-License-Identifier: MIT
"""Protocols against figures worked out by hand, and against the definitions written out in fractions."""

from __future__ import annotations

import math
import re
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcbir.evaluation.metrics import (
    MEASURES,
    ap,
    ap_at,
    kept_share,
    paper,
    penalised_relevant,
    precision_at_recall,
    precision_in,
    precision_out,
)
from semcbir.evaluation.rankings import DISTRACTOR, NOWHERE, Rankings, Truth, judge

RELEVANT = (10, 11, 12, 13)
IMAGES = 14


def ranked(*ids, kept=None, relevant=RELEVANT, query=10):
    """Judge the ranking ``ids`` of the query 10, whose class is 10..13; other images are of another class."""
    kept = sum(key >= 0 for key in ids) if kept is None else kept
    classes = np.isin(np.arange(IMAGES), relevant).astype(np.int64)
    asked = NOWHERE if query is None else query
    return judge(np.array([ids]), np.array([kept]), Truth(classes, np.array([asked]), np.array([1])))


def one(hits, query, n_relevant, kept=None):
    """A ranking of one query by whether each image is relevant."""
    kept = len(hits) if kept is None else kept
    at = NOWHERE if query is None else query
    return Rankings(np.array([hits], bool), np.array([at]), np.array([n_relevant]), np.array([kept]))


# The query, a hit, a miss, two hits, a miss: query out, hits at 1, 3 and 4; query in, at 1, 2, 4 and 5.
EXAMPLE = (10, 11, 1, 12, 13, 2)


def test_the_query_is_out_of_ap():
    assert ap(ranked(*EXAMPLE)) == pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3)


def test_ap_counts_a_relevant_image_that_was_dropped_as_zero():
    assert ap(ranked(10, 11, 1, 12, -1, -1)) == pytest.approx((1 / 1 + 2 / 3) / 3)


def test_the_query_is_in_paper_and_hits_found_are_its_divisor():
    # The class has 4 images, so the list ends after 4: hits at 1, 2 and 4.
    assert paper(ranked(*EXAMPLE)) == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)
    assert paper(ranked(10, 11, -1, -1, -1, -1)) == 1.0


def test_precision_with_the_query_out_and_in():
    ranking = ranked(*EXAMPLE)
    assert precision_out(ranking, 2) == pytest.approx(1 / 2)
    assert precision_in(ranking, 2) == 1.0
    assert precision_in(ranking, 3) == pytest.approx(2 / 3)


def test_precision_is_never_over_more_ranks_than_there_are_relevant_images():
    ranking = ranked(*EXAMPLE)
    assert MEASURES["p@20 out"](ranking) == pytest.approx(2 / 3)
    assert MEASURES["p@20 in"](ranking) == pytest.approx(3 / 4)


def test_precision_counts_missing_ranks_as_misses():
    assert precision_out(ranked(10, 11, -1, -1, -1, -1), 3) == pytest.approx(1 / 3)


def test_the_query_may_be_anywhere_in_its_ranking():
    # Another image with the same signature and a lower id comes first.
    ranking = ranked(1, 10, 11, 12, 13)
    assert ap(ranking) == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert precision_in(ranking, 2) == 1 / 2
    assert precision_out(ranking, 2) == 1 / 2


def test_a_query_from_outside_the_database_has_nothing_to_take_out():
    ranking = ranked(10, 1, 11, 12, 13, query=None)
    assert ap(ranking) == pytest.approx((1 / 1 + 2 / 3 + 3 / 4 + 4 / 5) / 4)
    assert precision_in(ranking, 4) == precision_out(ranking, 4) == 3 / 4
    assert paper(ranking) == pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3)


def wang_like(first):
    """A query of a class of 100 in 1000 images: ``first`` of the other 99 at the top, the rest at the end."""
    hits = np.zeros(1000, bool)
    hits[: 1 + first] = True
    hits[1000 - (99 - first) :] = True
    return one(hits, 0, 99)


def test_the_cuts_on_a_class_of_a_hundred():
    ranking = wang_like(10)
    assert MEASURES["p@20 out"](ranking) == 10 / 20
    assert MEASURES["p@20 in"](ranking) == 11 / 20
    assert MEASURES["p@100 out"](ranking) == pytest.approx(10 / 99)
    assert MEASURES["p@100 in"](ranking) == 11 / 100
    assert ap_at(ranking, 100) == pytest.approx(10 / 99)
    assert ap(ranking) == pytest.approx((10 + sum((11 + i) / (911 + i) for i in range(89))) / 99)
    assert paper(ranking) == 1.0


def test_ap_at_100_of_a_large_class_divides_by_a_hundred():
    hits = np.zeros(1000, bool)
    hits[:51] = True
    assert ap_at(one(hits, 0, 400), 100) == 50 / 100


def test_paper_ends_after_a_hundred_of_a_larger_class():
    hits = np.zeros(1000, bool)
    hits[[0, 99, 100]] = True
    assert paper(one(hits, 0, 399)) == pytest.approx((1 / 1 + 2 / 100) / 2)


def test_padding_is_no_hit():
    # An id of -1 is not the last image, which is relevant here.
    ranking = ranked(10, 11, 1, -1, -1, -1, kept=6)
    assert ranking.relevant.tolist() == [[True, True, False, False, False, False]]
    assert ranking.kept.tolist() == [3]


def test_what_the_filter_does_is_counted_without_the_query():
    # Kept: the query, a hit and a miss; penalised: two hits, a miss.
    ranking = ranked(*EXAMPLE, kept=3)
    assert penalised_relevant(ranking) == pytest.approx(2 / 3)
    assert kept_share(ranking, 6) == 2 / 5


def test_the_filter_counts_alike_whether_penalised_images_are_last_or_dropped():
    last, drop = ranked(*EXAMPLE, kept=3), ranked(10, 11, 1, -1, -1, -1, kept=3)
    assert penalised_relevant(last) == penalised_relevant(drop)
    assert kept_share(last, 6) == kept_share(drop, 6)


def test_the_filter_counts_for_a_query_from_outside():
    ranking = ranked(10, 1, 11, 12, 13, query=None, kept=3)
    assert penalised_relevant(ranking) == 2 / 4
    assert kept_share(ranking, 5) == 3 / 5


def test_no_hit_is_zero_and_not_an_error():
    nothing = ranked(1, 2, 3, query=None)
    assert {name: float(measure(nothing)[0]) for name, measure in MEASURES.items()} == dict.fromkeys(
        MEASURES, 0.0
    )
    assert not precision_at_recall(nothing).any()


@pytest.mark.parametrize(
    ("ids", "relevant", "query", "message"),
    [
        ([10, 1, 2], [10], 10, "besides the query of class 1, got none"),
        ([1, 2], [], None, "besides the query of class 1, got none"),
        ([11, 1, 2], [10, 11], 10, "query's id 10 once, got it 0 times"),
        ([10, 11, 10], [10, 11], 10, "query's id 10 once, got it 2 times"),
    ],
)
def test_what_cannot_be_judged(ids, relevant, query, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ranked(*ids, relevant=relevant, query=query)


def test_images_of_no_class_are_relevant_to_nothing():
    classes = np.array([0, DISTRACTOR, 0, DISTRACTOR])
    truth = Truth(classes, np.array([0, 2]), np.array([0, 0]))
    found = judge(np.array([[0, 1, 2, 3], [2, 0, 1, 3]]), np.array([4, 4]), truth)
    assert found.n_relevant.tolist() == [1, 1]
    assert ap(found).tolist() == [1 / 2, 1]


def test_some_queries_of_a_truth():
    truth = Truth(np.array([0, 0, 1, 1, 1]), np.array([4, 0, NOWHERE]), np.array([1, 0, 1]))
    assert truth.n_relevant.tolist() == [2, 1, 3]
    assert truth[1:].n_relevant.tolist() == [1, 3]
    assert truth[np.array([2, 0])].queries.tolist() == [NOWHERE, 4]


def precisions(listed):
    """Precision at each hit of a list, in fractions."""
    return [
        Fraction(sum(h != "-" for h in listed[: i + 1]), i + 1) for i, hit in enumerate(listed) if hit != "-"
    ]


def by_definition(hits, query_in, cut, divisor):
    """Average precision in fractions. ``hits``: "q" the query, "+" relevant, "-" not; by rank."""
    found = precisions([hit for hit in hits if query_in or hit != "q"][:cut])
    return sum(found, Fraction(0)) / (divisor or max(1, len(found)))


def share(hits, query_in, cut, divisor=None):
    listed = [hit for hit in hits if query_in or hit != "q"][:cut]
    return Fraction(sum(hit != "-" for hit in listed), divisor or cut)


def interpolated(hits, n_relevant, recall):
    """The highest precision at any rank with at least this recall."""
    found = precisions([hit for hit in hits if hit != "q"])
    return max((p for i, p in enumerate(found, 1) if Fraction(i, n_relevant) >= recall), default=Fraction(0))


def gain(hits, n_relevant):
    listed = [hit for hit in hits if hit != "q"]
    gained = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(listed, 1) if hit == "+")
    return gained / sum(1 / math.log2(rank + 1) for rank in range(1, n_relevant + 1))


@st.composite
def rankings(draw):
    """Rankings of up to 260 images, the query's at any place or nowhere, their tail possibly dropped."""
    others = draw(st.lists(st.sampled_from("+-"), min_size=1, max_size=260).filter(lambda h: "+" in h))
    hits = list(others)
    if draw(st.booleans()):
        hits.insert(draw(st.integers(0, len(hits))), "q")
    shortest = hits.index("q") + 1 if "q" in hits else 0
    return hits[: draw(st.integers(shortest, len(hits)))], others.count("+")


def together(drawn):
    """Rankings of several queries at once, the shorter ones padded."""
    longest = max(len(hits) for hits, _ in drawn)
    relevant = np.array([[hit != "-" for hit in hits] + [False] * (longest - len(hits)) for hits, _ in drawn])
    query = [hits.index("q") if "q" in hits else NOWHERE for hits, _ in drawn]
    counts = [n_relevant for _, n_relevant in drawn]
    kept = [len(hits) for hits, _ in drawn]
    return Rankings(relevant.reshape(len(drawn), longest).astype(bool), *map(np.array, (query, counts, kept)))


@given(st.lists(rankings(), min_size=1, max_size=4))
def test_measures_are_their_definitions(drawn):
    expected = []
    for hits, n_relevant in drawn:
        class_size = n_relevant + ("q" in hits)
        figures = {
            "ap": by_definition(hits, False, None, n_relevant),
            "paper": by_definition(hits, True, min(100, class_size), None),
            "r-precision": share(hits, False, n_relevant),
            "ndcg": gain(hits, n_relevant),
            "11-point": sum(interpolated(hits, n_relevant, Fraction(i, 10)) for i in range(11)) / 11,
        }
        for k in (20, 100):
            figures |= {
                f"ap@{k}": by_definition(hits, False, k, min(n_relevant, k)),
                f"p@{k} out": share(hits, False, min(k, n_relevant)),
                f"p@{k} in": share(hits, True, min(k, class_size)),
                f"recall@{k}": share(hits, False, k, n_relevant),
            }
        expected.append({name: float(value) for name, value in figures.items()})
    found = together(drawn)
    got = {name: measure(found) for name, measure in MEASURES.items()}
    for query, figures in enumerate(expected):
        assert {name: values[query] for name, values in got.items()} == pytest.approx(figures, abs=1e-12)
    curve = precision_at_recall(found, 101)
    for query, (hits, n_relevant) in enumerate(drawn):
        points = [float(interpolated(hits, n_relevant, Fraction(i, 100))) for i in range(101)]
        assert curve[query] == pytest.approx(points, abs=1e-12)


@given(st.integers(1, 150), st.integers(0, 150))
def test_a_perfect_ranking_scores_one_by_every_measure(n_relevant, misses):
    hits = np.repeat([True, False], [1 + n_relevant, misses])
    for kept in (1, 1 + n_relevant, len(hits)):
        ranking = one(hits, 0, n_relevant, kept)
        got = {name: float(measure(ranking)[0]) for name, measure in MEASURES.items()}
        recalls = {f"recall@{k}": min(k, n_relevant) / n_relevant for k in (20, 100)}
        assert got == pytest.approx(dict.fromkeys(MEASURES, 1.0) | recalls)


def test_scikit_learn_agrees():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    for length in (2, 3, 10, 60):
        hits = rng.random(length) < 0.3
        hits[rng.integers(length)] = True
        scores = -np.arange(length, dtype=float)
        ranking = one(hits, None, int(hits.sum()))
        assert ap(ranking)[0] == pytest.approx(metrics.average_precision_score(hits, scores))
        assert MEASURES["ndcg"](ranking)[0] == pytest.approx(metrics.ndcg_score([hits], [scores]))


def test_many_queries_over_many_images_take_bounded_memory():
    # Hits alone are numbered: 20,000 images of which ten are relevant cost ten numbers.
    relevant = np.zeros((300, 20_000), bool)
    relevant[:, ::2000] = True
    found = Rankings(relevant, np.full(300, NOWHERE), np.full(300, 10), np.full(300, 20_000))
    tracemalloc.start()
    values = {name: measure(found) for name, measure in MEASURES.items()}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values["recall@100"][0] == 1 / 10
    assert peak < relevant.nbytes / 2
