# SPDX-License-Identifier: MIT
"""Screens lose nothing: a search that looks at them first gives the bits of one that looks at everything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core_reference import Columns, make_columns, with_removed, with_ties
from semcbir import _core

LEVELS = _core.simd_levels()
COLUMNS = ("ids", "distances", "histogram_distances", "kept")
CoreTerms = tuple[list[tuple[int, float]], float, list[int], float, list[int], float, bool]


@pytest.fixture(autouse=True)
def level_before() -> Iterator[None]:
    before = _core.simd_level()
    yield
    _core.set_simd_level(before)


def assert_screens_change_nothing(
    segments: list[Columns],
    queries: Columns,
    k: int,
    epsilon: float | None,
    drop: bool,
    terms: CoreTerms | None = None,
    epsilons: npt.NDArray[np.float64] | None = None,
):
    dim = queries.centroids.shape[1]
    searcher = _core.Searcher([one.segment for one in segments], dim)
    asked = {"terms": terms, "epsilons": epsilons}
    expected = searcher.search(*queries.query, k, epsilon, drop, 1, False, **asked)
    assert searcher.screen_bytes == 0
    for threads in (1, 2, 7):
        found = searcher.search(*queries.query, k, epsilon, drop, threads, True, **asked)
        for name, a, b in zip(COLUMNS, found, expected, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{name}, {threads} threads")
    assert searcher.screen_bytes > 0 or not any(len(one.ids) for one in segments)


def joined(*parts: Columns) -> Columns:
    """The images of all parts as one."""
    offsets, start = [np.zeros(1, np.int64)], 0
    for part in parts:
        offsets.append(part.offsets[1:] + start)
        start += part.offsets[-1]
    names = ("classes", "proportions", "centroids")
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return Columns(np.concatenate(offsets), *columns, np.arange(sum(len(part.ids) for part in parts)))


def scaled(images: Columns, rng: np.random.Generator, kind: str) -> Columns:
    """Images whose descriptors are unlike those of real ones in a certain way."""
    centroids = images.centroids.copy()
    rows = len(centroids)
    if kind == "magnitudes":
        centroids *= (10.0 ** rng.integers(-30, 30, (rows, 1))).astype(np.float32)
    elif kind == "tiny":
        centroids *= np.float32(1e-38)
    elif kind == "huge":
        centroids *= np.float32(1e18)
    elif kind == "coarse" and rows:  # steps of norms are those of the longest row
        centroids[rng.integers(rows)] *= np.float32(10.0 ** rng.integers(3, 6))
    elif kind == "alike":  # nearer to each other than steps of entries are
        base = rng.standard_normal((int(images.classes.max(initial=0)) + 1, centroids.shape[1]))
        centroids = (base[images.classes] + 1e-3 * centroids).astype(np.float32)
    elif kind == "far":
        centroids += np.float32(1000)
    elif kind == "spikes":
        centroids[rng.random(centroids.shape) < 0.9] = 0
    elif kind == "damaged" and rows:
        values = np.array([np.nan, np.inf, -np.inf, 3e38, 1e-45], np.float32)
        at = rng.integers(rows, size=max(1, rows // 20))
        centroids[at, rng.integers(centroids.shape[1], size=len(at))] = rng.choice(values, len(at))
    return Columns(images.offsets, images.classes, images.proportions, centroids, images.ids)


def odd_shares(images: Columns, rng: np.random.Generator) -> Columns:
    """Images of which some have proportions that no histogram has."""
    proportions = images.proportions.copy()
    at = rng.random(len(proportions)) < 0.02
    proportions[at] = rng.choice(np.array([np.nan, -1, 2, 0, np.inf, 1e-45], np.float32), at.sum())
    return Columns(images.offsets, images.classes, proportions, images.centroids, images.ids)


KINDS = ["plain", "magnitudes", "tiny", "huge", "coarse", "alike", "far", "spikes", "damaged"]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 2, 15, 16, 17, 255, 256, 257, 600]),
    n_classes=st.sampled_from([1, 2, 11, 150]),
    dim=st.sampled_from([1, 2, 5, 16, 17, 32, 36, 64, 65, 129]),
    kind=st.sampled_from(KINDS),
    ties=st.booleans(),
    odd=st.booleans(),
    level=st.sampled_from(LEVELS),
    k=st.sampled_from([1, 2, 20, 300]),
    epsilon=st.sampled_from([None, 0.0, 0.5, 0.9, 1.5, 1.999]),
    drop=st.booleans(),
)
# Rows that are much shorter than their class's center.
@example(0, 255, 1, 1, "magnitudes", False, False, "baseline", 1, None, False)
def test_nothing_is_lost(seed, n, n_classes, dim, kind, ties, odd, level, k, epsilon, drop):
    rng = np.random.default_rng(seed)
    share = min(0.4, 6 / n_classes) if n_classes > 2 else 0.7
    images = make_columns(seed % 1000, n, n_classes, dim, 5 if ties else 0, share)
    images = scaled(images, rng, kind)
    if odd:
        images = odd_shares(images, rng)
    queries = joined(
        make_columns(seed % 1000 + 1, 6, n_classes, dim, 5 if ties else 0, share),
        scaled(make_columns(seed % 1000 + 2, 4, n_classes, dim, 0, share), rng, kind),
        images.part(0, min(n, 5)),
    )
    cut = int(rng.integers(0, n + 1))
    segments = [with_removed(one, 7) if odd else one for one in (images.part(0, cut), images.part(cut, n))]
    _core.set_simd_level(level)
    assert_screens_change_nothing(segments, queries, k, epsilon, drop)


@st.composite
def all_terms(draw: st.DrawFn) -> CoreTerms:
    """Terms as the core takes them; classes that the query, or no image, has are among them."""
    labels = st.sets(st.integers(0, 13), max_size=4)
    shares = st.sampled_from([0.0, 1e-6, 0.02, 0.2, 1 / 3, 1.0])
    weights = st.dictionaries(
        st.integers(0, 13), st.sampled_from([0.0, 1e-40, 0.3, 1.0, 2.0, 1e6, 1e30]), max_size=4
    )
    others = draw(st.sampled_from([0.0, 1.0]))
    return (
        sorted(draw(weights).items()),
        others,
        sorted(draw(labels)),
        draw(shares),
        sorted(draw(labels)),
        draw(shares),
        others == 0 and draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(
    terms=all_terms(),
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 16, 255, 600]),
    n_classes=st.sampled_from([1, 11, 40]),
    dim=st.sampled_from([1, 5, 16, 65]),
    kind=st.sampled_from(KINDS),
    ties=st.booleans(),
    odd=st.booleans(),
    level=st.sampled_from(LEVELS),
    k=st.sampled_from([1, 20, 300]),
    thresholds=st.lists(st.sampled_from([0.0, 0.7, 1.5, 2.0, np.inf]), min_size=1, max_size=3),
    drop=st.booleans(),
)
def test_nothing_is_lost_whatever_is_asked_of_classes(
    terms, seed, n, n_classes, dim, kind, ties, odd, level, k, thresholds, drop
):
    rng = np.random.default_rng(seed)
    share = min(0.4, 6 / n_classes) if n_classes > 2 else 0.7
    images = scaled(make_columns(seed % 1000, n, n_classes, dim, 5 if ties else 0, share), rng, kind)
    if odd:
        images = odd_shares(images, rng)
    queries = joined(
        make_columns(seed % 1000 + 1, 4, n_classes, dim, 5 if ties else 0, share),
        scaled(make_columns(seed % 1000 + 2, 2, n_classes, dim, 0, share), rng, kind),
        images.part(0, min(n, 3)),
    )
    cut = int(rng.integers(0, n + 1))
    segments = [with_removed(one, 7) if odd else one for one in (images.part(0, cut), images.part(cut, n))]
    _core.set_simd_level(level)
    epsilons = np.resize(np.array(thresholds), len(queries))
    assert_screens_change_nothing(segments, queries, k, None, drop, terms, epsilons)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "terms",
    [
        ([(1, 1.0)], 0.0, [1], 0.02, [], 1.0, True),
        ([(0, 2.0), (2, 0.5)], 0.0, [], 0.0, [], 1.0, True),
        ([(1, 1.0)], 0.0, [1], 0.02, [], 1.0, False),
        ([(0, 40.0), (2, 0.0)], 1.0, [], 0.0, [], 1.0, False),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "coarse"])
def test_many_images_as_far_as_one_another(kind: str, terms: CoreTerms, level: str):
    """So many that the errors of screens decide: a bound that leaves one out loses some of these."""
    rng = np.random.default_rng(7)
    images = scaled(make_columns(8, 5000, 4, 3, share=0.9), rng, kind)
    _core.set_simd_level(level)
    assert_screens_change_nothing([images], make_columns(9, 120, 4, 3, share=0.9), 3, None, True, terms)


@pytest.mark.parametrize("dim", [1, 7, 64, 1000])
@pytest.mark.parametrize("n_classes", [65535, 3])
def test_many_classes_and_long_descriptors(n_classes: int, dim: int):
    share = 6 / n_classes if n_classes > 3 else 0.5
    images = make_columns(1, 700, n_classes, dim, share=share)
    queries = joined(images.part(0, 5), make_columns(2, 5, n_classes, dim, share=share))
    for epsilon in (None, 0.9, 1.9):
        assert_screens_change_nothing([images], queries, 20, epsilon, False)


@pytest.mark.long
@pytest.mark.slow
def test_ten_million_short_rows():
    rng = np.random.default_rng(1)
    n = 10_000_000
    images = Columns(
        np.arange(n + 1),
        rng.integers(0, 3, n).astype(np.uint16),
        np.ones(n, np.float32),
        rng.standard_normal((n, 1), np.float32),
        rng.permutation(n),
    )
    queries = joined(images.part(0, 2), make_columns(2, 3, 3, 1))
    assert_screens_change_nothing([images], queries, 20, None, False)
    assert_screens_change_nothing([images.part(0, n // 3), images.part(n // 3, n)], queries, 300, 0.5, False)


def test_a_filter_at_the_very_distance_of_an_image():
    """One step of a double below it, the image is penalised; screens must not round that away."""
    images, queries = make_columns(5, 500, 11, 8), make_columns(6, 4, 11, 8)
    everything = _core.Searcher([images.segment], 8).search(*queries.query, 500, None, False, 1, False)
    assert everything[3].min() == 500
    histograms = [(one.offsets, one.classes, one.proportions) for one in (queries, images)]
    exact = _core.histogram_distances(*histograms, 1)
    for distance in exact[:, ::25].ravel():
        for epsilon in (distance, np.nextafter(distance, 0), np.nextafter(distance, 3)):
            assert_screens_change_nothing([images], queries, 20, float(epsilon), True)


def test_equal_images_are_ranked_by_id():
    images = with_ties(make_columns(1, 3, 5, 16), 400)
    assert_screens_change_nothing([images], images.part(0, 3), 900, None, False)
    assert_screens_change_nothing([images], images.part(0, 3), 7, 0.9, True)


def test_screens_are_built_when_they_pay():
    images, queries = make_columns(1, 3000, 11, 8), make_columns(2, 40, 11, 8)
    searcher = _core.Searcher([images.segment], 8)
    searcher.search(*queries.part(0, 1).query, 20, 0.9, False, 1)
    assert searcher.screen_bytes == 0
    searcher.search(*queries.query, 20, 0.9, False, 1)
    assert searcher.screen_bytes > 0
    few = _core.Searcher([images.part(0, 400).segment], 8)
    few.search(*queries.query, 20, 0.9, False, 1)
    assert few.screen_bytes == 0


@pytest.mark.parametrize("n_classes", [150, 65535])
def test_screens_take_less_than_the_signatures(n_classes: int):
    rng = np.random.default_rng(3)
    n = 20000
    classes = np.sort(rng.integers(0, n_classes // 6, (n, 6)) + np.arange(6) * (n_classes // 6), axis=1)
    images = Columns(
        np.arange(n + 1) * 6,
        classes.ravel().astype(np.uint16),
        np.full(6 * n, 1 / 6, np.float32),
        rng.standard_normal((6 * n, 64), np.float32),
        np.arange(n),
    )
    searcher = _core.Searcher([images.segment], 64)
    searcher.search(*images.part(0, 1).query, 20, None, False, 2, True)
    names = ("offsets", "classes", "proportions", "centroids", "ids")
    held = sum(getattr(images, name).nbytes for name in names)
    assert searcher.screen_bytes < 0.6 * held


def test_blocks_without_neighbours_are_not_looked_at():
    """Forty kinds of images, far from each other: a search looks at its own, and computes few distances."""
    rng = np.random.default_rng(1)
    kinds, each, dim = 40, 256, 16
    rows = np.repeat(rng.standard_normal((kinds, dim), np.float32), each, axis=0)
    n = kinds * each
    images = Columns(
        np.arange(n + 1),
        np.repeat(np.arange(kinds) % 4, each).astype(np.uint16),
        np.ones(n, np.float32),
        rows + rng.standard_normal((n, dim), np.float32) / 50,
        rng.permutation(n),
    )
    few = joined(*(images.part(kind * each, kind * each + 1) for kind in range(30)))
    searcher = _core.Searcher([images.segment], dim)
    for epsilon in (None, 0.9):
        blocks, looked, read, distances = searcher.work(*few.query, 20, epsilon, True).mean(axis=0)
        assert blocks >= kinds
        assert looked <= (12 if epsilon is None else blocks / 4 + 2)  # a filter counts all of its class
        assert 20 <= distances < each
        assert 0 < read < searcher.screen_bytes


def test_searchers_of_the_same_rows_share_screens():
    images, more = make_columns(1, 600, 11, 8), make_columns(2, 40, 11, 8)
    queries = joined(make_columns(3, 8, 11, 8), images.part(0, 4))
    first = _core.Searcher([images.segment], 8)
    first.search(*queries.query, 20, 0.9, False, 1, True)
    fewer = with_removed(images, 3)  # the same rows
    segments = [fewer.segment, more.segment]
    second = _core.Searcher(segments, 8, [first.screens[0], None])
    assert second.screen_bytes == first.screen_bytes > 0
    del first
    expected = _core.Searcher(segments, 8).search(*queries.query, 20, 0.9, False, 1, False)
    for found in (second.search(*queries.query, 20, 0.9, False, 2, True) for _ in range(2)):
        for name, a, b in zip(COLUMNS, found, expected, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    again = _core.Searcher(segments, 8, second.screens)
    assert again.screen_bytes == second.screen_bytes


def test_what_was_asked_of_a_segment_is_remembered():
    images, more = make_columns(1, 3000, 11, 8), make_columns(2, 40, 11, 8)
    queries = make_columns(3, 40, 11, 8)
    first = _core.Searcher([images.segment], 8)
    first.search(*queries.query, 20, 0.9, False, 1)
    second = _core.Searcher([images.segment, more.segment], 8, [*first.screens, None])
    before = second.screen_bytes
    second.search(*queries.part(0, 1).query, 20, 0.9, False, 1)
    assert second.screen_bytes > before  # of the new segment alone, as it is small


def test_screens_of_other_segments_are_refused():
    images = make_columns(1, 20, 11, 8)
    screens = _core.Searcher([images.segment], 8).screens
    for segment, dim in ((images.part(0, 19), 8), (make_columns(1, 20, 11, 9), 9)):
        with pytest.raises(ValueError, match=r"^screens: expected that of (19|20) images with dim [89]"):
            _core.Searcher([segment.segment], dim, screens)
    with pytest.raises(ValueError, match="screens: expected one for each of 1 segments, got 2"):
        _core.Searcher([images.segment], 8, [*screens, None])
    with pytest.raises(TypeError):
        _core.SegmentScreen()
