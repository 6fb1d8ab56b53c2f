# SPDX-License-Identifier: MIT
"""Intervals and tests over queries: against exact distributions, enumeration and known coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from semcbir.evaluation.statistics import difference, intervals


def test_an_interval_of_ones_and_zeros_is_that_of_the_binomial():
    values = (np.arange(100) < 30).astype(float)[:, None]
    low, high = intervals(values)[:, 0]
    # The middle 95 % of a binomial of 100 trials with p = 0.3 is 21 to 39.
    assert low == pytest.approx(0.21, abs=0.011)
    assert high == pytest.approx(0.39, abs=0.011)


def test_intervals_shrink_with_the_root_of_the_queries():
    rng = np.random.default_rng(1)
    values = rng.random(1600)
    small, large = (intervals(values[:n, None]) for n in (100, 1600))
    ratio = (small[1] - small[0]) / (large[1] - large[0])
    assert ratio[0] == pytest.approx(4, rel=0.15)
    # A uniform number's standard deviation is the root of 1/12.
    assert (large[1] - large[0])[0] == pytest.approx(2 * 1.96 * np.sqrt(1 / 12 / 1600), rel=0.05)


def test_columns_have_the_intervals_they_would_have_alone():
    values = np.random.default_rng(2).random((50, 3))
    together = intervals(values)
    for column in range(3):
        np.testing.assert_allclose(intervals(values[:, column : column + 1])[:, 0], together[:, column])
    np.testing.assert_array_equal(intervals(np.ones((7, 2))), np.ones((2, 2)))


def test_a_wider_confidence_is_a_wider_interval():
    values = np.random.default_rng(3).random((80, 1))
    narrow, wide = intervals(values, confidence=0.5), intervals(values, confidence=0.99)
    assert wide[0, 0] < narrow[0, 0] < values.mean() < narrow[1, 0] < wide[1, 0]


def test_the_paired_test_counts_signs():
    ours, theirs = np.array([0.9, 0.8, 0.7, 0.4, 0.6]), np.array([0.5, 0.7, 0.75, 0.3, 0.2])
    differences = ours - theirs
    observed = abs(differences.mean())
    as_far = [abs(np.mean(signs * differences)) >= observed - 1e-12 for signs in product((-1, 1), repeat=5)]
    mean, low, high, p = difference(ours, theirs)
    assert mean == pytest.approx(differences.mean())
    assert low < mean < high
    assert p == pytest.approx(np.mean(as_far), abs=0.015)
    assert difference(theirs, ours)[3] == p


def test_runs_that_are_the_same_do_not_differ():
    values = np.random.default_rng(4).random(100)
    assert difference(values, values) == (0, 0, 0, 1)


def test_a_clear_difference_is_no_chance():
    values = np.random.default_rng(5).random(200)
    mean, low, high, p = difference(values + 0.1, values)
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))
    assert p == pytest.approx(1 / 10_001)


def test_a_difference_that_is_none_is_seldom_found():
    rng = np.random.default_rng(6)
    found = [difference(rng.random(40), rng.random(40), 1000)[3] < 0.05 for _ in range(200)]
    assert 0.01 < np.mean(found) < 0.1
