# SPDX-License-Identifier: MIT
"""Protocols against figures worked out by hand, and against the definitions written out in fractions."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcbir.evaluation.metrics import (
    PROTOCOLS,
    Ranking,
    ap,
    ap_at_100,
    average_precision,
    judge,
    kept_pairs,
    paper,
    penalised_relevant,
    precision,
    precision_in,
    precision_out,
)

RELEVANT = np.array([10, 11, 12, 13])


def ranked(*ids, kept=None, relevant=RELEVANT, query=10):
    """Judge the ranking ``ids`` of the query 10, whose class is 10..13; other classes are below 10."""
    kept = sum(key >= 0 for key in ids) if kept is None else kept
    return judge(np.array(ids), kept, np.asarray(relevant), query)


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
    assert PROTOCOLS["p@20 out"](ranking) == pytest.approx(2 / 3)
    assert PROTOCOLS["p@20 in"](ranking) == pytest.approx(3 / 4)


def test_precision_counts_missing_ranks_as_misses():
    assert precision_out(ranked(10, 11, -1, -1, -1, -1), 3) == pytest.approx(1 / 3)
    assert precision(np.array([True]), 4) == 1 / 4


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
    return Ranking(hits, 0, 99, 1000)


def test_the_cuts_on_a_class_of_a_hundred():
    ranking = wang_like(10)
    assert PROTOCOLS["p@20 out"](ranking) == 10 / 20
    assert PROTOCOLS["p@20 in"](ranking) == 11 / 20
    assert PROTOCOLS["p@100 out"](ranking) == pytest.approx(10 / 99)
    assert PROTOCOLS["p@100 in"](ranking) == 11 / 100
    assert ap_at_100(ranking) == pytest.approx(10 / 99)
    assert ap(ranking) == pytest.approx((10 + sum((11 + i) / (911 + i) for i in range(89))) / 99)
    assert paper(ranking) == 1.0


def test_ap_at_100_of_a_large_class_divides_by_a_hundred():
    hits = np.zeros(1000, bool)
    hits[:51] = True
    assert ap_at_100(Ranking(hits, 0, 400, 1000)) == 50 / 100


def test_paper_ends_after_a_hundred_of_a_larger_class():
    hits = np.zeros(1000, bool)
    hits[[0, 99, 100]] = True
    assert paper(Ranking(hits, 0, 399, 1000)) == pytest.approx((1 / 1 + 2 / 100) / 2)


def test_padding_is_no_part_of_the_ranking():
    ranking = ranked(10, 11, 1, -1, -1, -1, kept=3)
    assert ranking.relevant.tolist() == [True, True, False]
    assert ranking.without_query.tolist() == [True, False]


def test_what_the_filter_does_is_counted_without_the_query():
    # Kept: the query, a hit and a miss; penalised: two hits, a miss.
    ranking = ranked(*EXAMPLE, kept=3)
    assert penalised_relevant(ranking) == pytest.approx(2 / 3)
    assert kept_pairs(ranking, 6) == 2 / 5


def test_the_filter_counts_alike_whether_penalised_images_are_last_or_dropped():
    last, drop = ranked(*EXAMPLE, kept=3), ranked(10, 11, 1, -1, -1, -1, kept=3)
    assert penalised_relevant(last) == penalised_relevant(drop)
    assert kept_pairs(last, 6) == kept_pairs(drop, 6)


def test_the_filter_counts_for_a_query_from_outside():
    ranking = ranked(10, 1, 11, 12, 13, query=None, kept=3)
    assert penalised_relevant(ranking) == 2 / 4
    assert kept_pairs(ranking, 5) == 3 / 5


def test_no_hit_is_zero_and_not_an_error():
    assert average_precision(np.zeros(5, bool), 3) == 0.0
    assert average_precision(np.zeros(0, bool), 3) == 0.0
    assert paper(ranked(1, 2, 3, query=None)) == 0.0


@pytest.mark.parametrize(
    ("ids", "relevant", "query", "message"),
    [
        ([10, 1, 2], [10], 10, "besides the query, got none"),
        ([1, 2], [], None, "besides the query, got none"),
        ([11, 1, 2], [10, 11], 10, "query's id 10 once, got it 0 times"),
        ([10, 11, 10], [10, 11], 10, "query's id 10 once, got it 2 times"),
        ([10, 11, 1], [11, 12], 10, "relevant_ids must hold the query's id 10"),
    ],
)
def test_what_cannot_be_judged(ids, relevant, query, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ranked(*ids, relevant=relevant, query=query)


def by_definition(hits, query_in, cut, divisor):
    """Average precision in fractions. ``hits``: "q" the query, "+" relevant, "-" not; by rank."""
    listed = [hit for hit in hits if query_in or hit != "q"][:cut]
    precisions = [
        Fraction(sum(h != "-" for h in listed[: i + 1]), i + 1) for i, hit in enumerate(listed) if hit != "-"
    ]
    return sum(precisions, Fraction(0)) / (divisor or max(1, len(precisions)))


def share(hits, query_in, cut):
    listed = [hit for hit in hits if query_in or hit != "q"][:cut]
    return Fraction(sum(hit != "-" for hit in listed), cut)


@st.composite
def rankings(draw):
    """Rankings of up to 260 images, the query's at any place or nowhere, their tail possibly dropped."""
    others = draw(st.lists(st.sampled_from("+-"), min_size=1, max_size=260).filter(lambda h: "+" in h))
    hits = list(others)
    if draw(st.booleans()):
        hits.insert(draw(st.integers(0, len(hits))), "q")
    shortest = hits.index("q") + 1 if "q" in hits else 0
    return hits[: draw(st.integers(shortest, len(hits)))], others.count("+")


@given(rankings())
def test_protocols_are_their_definitions(drawn):
    hits, n_relevant = drawn
    class_size = n_relevant + ("q" in hits)
    relevant = np.array([hit != "-" for hit in hits], bool)
    ranking = Ranking(relevant, hits.index("q") if "q" in hits else None, n_relevant, len(hits))
    expected = {
        "ap": by_definition(hits, False, None, n_relevant),
        "ap@100": by_definition(hits, False, 100, min(n_relevant, 100)),
        "p@20 out": share(hits, False, min(20, n_relevant)),
        "p@20 in": share(hits, True, min(20, class_size)),
        "p@100 out": share(hits, False, min(100, n_relevant)),
        "p@100 in": share(hits, True, min(100, class_size)),
        "paper": by_definition(hits, True, min(100, class_size), None),
    }
    got = {name: protocol(ranking) for name, protocol in PROTOCOLS.items()}
    assert got == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-12)


@given(st.integers(1, 150), st.integers(0, 150))
def test_a_perfect_ranking_scores_one_by_every_protocol(n_relevant, misses):
    hits = np.repeat([True, False], [1 + n_relevant, misses])
    for kept in (1, 1 + n_relevant, len(hits)):
        ranking = Ranking(hits, 0, n_relevant, kept)
        assert {name: protocol(ranking) for name, protocol in PROTOCOLS.items()} == pytest.approx(
            dict.fromkeys(PROTOCOLS, 1.0)
        )
