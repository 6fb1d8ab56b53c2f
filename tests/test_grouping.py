# SPDX-License-Identifier: MIT
"""Groups of images within a distance, against a plain NumPy reference over all pairs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grouping_reference import components, distances
from made_signatures import made_signatures, with_whole_rows
from semcbir import Searcher, Signatures
from semcbir.grouping import near_groups


def fetching(images: Signatures) -> Callable[[np.ndarray], Signatures]:
    at = {int(key): position for position, key in enumerate(images.ids)}
    return lambda ids: images[[at[int(key)] for key in ids]]


def grouped(searcher: Searcher, images: Signatures, distance: float, threads: int = 2) -> list[list[int]]:
    found = near_groups(searcher, np.sort(images.ids), fetching(images), distance, threads)
    return [group.tolist() for group in found]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 40),
    duplicates=st.booleans(),
    whole=st.booleans(),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    quantile=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 0.3)),
    first_k=st.integers(1, 4),
    growth=st.integers(2, 4),
    queries_at_once=st.integers(1, 50),
    found_at_once=st.integers(1, 100),
    threads=st.sampled_from([1, 2, 7]),
)
def test_groups_are_those_of_all_pairs(
    seed, n, duplicates, whole, cuts, quantile, first_k, growth, queries_at_once, found_at_once, threads
):
    images = made_signatures(n, seed=seed, duplicates=duplicates)
    images = with_whole_rows(images, seed=seed) if whole else images
    between = distances(images)
    pairs = np.sort(between[np.triu_indices(n, 1)])
    # Exactly the distance of a pair, which is then within it.
    distance = float(pairs[round(quantile * (len(pairs) - 1))]) if len(pairs) else 1.0
    ends = [0, *sorted(min(cut, n) for cut in cuts), n]
    searcher = Searcher([images[a:b] for a, b in pairwise(ends)])
    small = {
        "_FIRST_K": first_k,
        "_GROWTH": growth,
        "_QUERIES_AT_ONCE": queries_at_once,
        "_FOUND_AT_ONCE": found_at_once,
    }
    with mock.patch.multiple("semcbir.grouping", **small):
        found = grouped(searcher, images, distance, threads)
    assert found == components(between <= distance, images.ids)
    assert grouped(searcher, images, distance, threads) == found


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 63, 64, 65, 200])
def test_any_number_of_identical_images_is_one_group(n: int) -> None:
    images = made_signatures(5)[np.zeros(n, int)]
    images = Signatures(**{**vars(images), "ids": np.arange(n)[::-1]})
    assert grouped(Searcher(images), images, 0) == ([list(range(n))] if n > 1 else [])


def on_a_line(*places: float) -> Signatures:
    """An image at each place of a line."""
    n = len(places)
    ones = np.ones(n, int)
    return Signatures(
        offsets=np.arange(n + 1),
        classes=np.zeros(n, int),
        proportions=ones,
        counts=ones,
        centroids=np.array(places)[:, None],
        n_classes=1,
    )


def test_a_chain_is_one_group() -> None:
    images = on_a_line(0, 1, 2, 3, 10, 11.5, 20)
    searcher = Searcher(images)
    assert grouped(searcher, images, 0.5) == []
    assert grouped(searcher, images, 1) == [[0, 1, 2, 3]]
    assert grouped(searcher, images, 1.5) == [[0, 1, 2, 3], [4, 5]]
    assert grouped(searcher, images, np.inf) == [[0, 1, 2, 3, 4, 5, 6]]


def test_no_image_within_the_distance_is_missed_where_there_are_many() -> None:
    """The eight nearest of every image are its own cluster's, the bridge between clusters is no one's."""
    rng = np.random.default_rng(0)
    clusters = np.concatenate([rng.uniform(0, 0.1, 100), rng.uniform(0.9, 1, 100)])
    images = on_a_line(*clusters)
    assert grouped(Searcher(images), images, 0.7) == [list(range(100)), list(range(100, 200))]
    assert grouped(Searcher(images), images, 0.95) == [list(range(200))]


def test_identical_images_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    search = Searcher.search

    def noted(self, queries, k, *rest, **more):
        asked.append((len(queries), k))
        return search(self, queries, k, *rest, **more)

    monkeypatch.setattr(Searcher, "search", noted)
    images = on_a_line(*[1.0] * 300, *[3.0] * 300)
    assert len(grouped(Searcher(images), images, 0.5)) == 2
    assert asked == [(600, 8), (2, 64), (2, 512)]
