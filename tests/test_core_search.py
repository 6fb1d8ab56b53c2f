# SPDX-License-Identifier: MIT
from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import Columns, Reference, histogram_distances, make_columns, with_removed, with_ties
from semcbir import _core
from semcbir._columns import frozen

DIMS = [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 64, 128]
LEVELS = _core.simd_levels()
C = 11


@pytest.fixture(autouse=True)
def level_before() -> Iterator[None]:
    before = _core.simd_level()
    yield
    _core.set_simd_level(before)


def searcher(*segments: Columns) -> _core.Searcher:
    return _core.Searcher([s.segment for s in segments], segments[0].centroids.shape[1])


def assert_same(got, expected):
    """The same bits, of ids, order, distances and counts."""
    for name, a, b in zip(("ids", "distances", "histogram_distances", "kept"), got, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", DIMS)
def test_every_dimension_and_level(dim, level):
    images, queries = make_columns(dim, 60, C, dim), make_columns(dim + 1000, 4, C, dim)
    _core.set_simd_level(level)
    expected = Reference(images, queries, C).search(60, 0.9, False)
    assert_same(searcher(images).search(*queries.query, 60, 0.9, False, 1), expected)


@pytest.fixture(scope="module")
def library() -> tuple[Columns, Columns, Reference]:
    """1200 images, each four times, a ninth of them removed, and 200 queries, some of them images."""
    images = with_removed(with_ties(make_columns(1, 300, C, 20, values=5), 4), 9)
    queries = make_columns(2, 180, C, 20, values=5)
    own = images.part(0, 20)
    queries = Columns(
        np.concatenate([queries.offsets, own.offsets[1:] + queries.offsets[-1]]),
        np.concatenate([queries.classes, own.classes]),
        np.concatenate([queries.proportions, own.proportions]),
        np.concatenate([queries.centroids, own.centroids]),
        np.arange(200),
    )
    return images, queries, Reference(images, queries, C)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.9, 1.5, 1.999, 2.0, 7.0, None])
def test_filter_and_every_k(library, epsilon, drop):
    images, queries, reference = library
    s = searcher(images)
    for k in (1, 2, 20, 777, 1066, 1200, 1500):
        assert_same(s.search(*queries.query, k, epsilon, drop, 2), reference.search(k, epsilon, drop))


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 3, 200])
@pytest.mark.parametrize("cuts", [[], [1], [0, 0, 400, 401, 1200], list(range(0, 1200, 25))])
def test_batches_threads_and_segments(library, batch, threads, cuts):
    images, queries, reference = library
    s = searcher(*images.cut(cuts))
    assert len(s) == np.count_nonzero(images.ids >= 0)
    expected = reference.search(30, 0.9, False)
    for first in range(0, 200, batch)[:40]:
        part = queries.part(first, min(first + batch, 200))
        got = s.search(*part.query, 30, 0.9, False, threads)
        assert_same(got, [a[first : first + batch] for a in expected])


@pytest.mark.parametrize("level", LEVELS)
def test_ties_are_ordered_by_id(level):
    _core.set_simd_level(level)
    images = with_ties(make_columns(3, 5, C, 16), 40)
    query = images.part(0, 1)
    ids, distances, _, kept = searcher(images).search(*query.query, 40, None, False, 2)
    assert distances.tolist() == [[0.0] * 40]
    assert ids[0].tolist() == sorted(images.ids[::5].tolist())
    assert kept.tolist() == [200]


def test_penalised_images_come_last_however_near():
    images = Columns(
        np.array([0, 1, 2, 3]),
        np.array([0, 0, 1], np.uint16),
        np.ones(3, np.float32),
        np.array([[9.0], [8.0], [0.0]], np.float32),
        np.array([10, 11, 12]),
    )
    query = replace(images.part(0, 1), centroids=np.zeros((1, 1), np.float32))
    s = searcher(images)
    ids, distances, histograms, kept = s.search(*query.query, 4, 0.9, False, 1)
    assert ids.tolist() == [[11, 10, 12, -1]]
    assert distances.tolist() == [[8.0, 9.0, 0.0, np.inf]]
    assert histograms.tolist() == [[0.0, 0.0, 2.0, np.inf]]
    assert kept.tolist() == [2]
    assert s.search(*query.query, 4, 0.9, True, 1)[0].tolist() == [[11, 10, -1, -1]]
    assert s.search(*query.query, 4, None, True, 1)[0].tolist() == [[12, 11, 10, -1]]


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_equals_the_reference(data):
    draw = data.draw
    dim, n_classes = draw(st.integers(1, 40), "dim"), draw(st.integers(1, 12), "n_classes")
    values, share = draw(st.integers(0, 3), "values"), draw(st.sampled_from([0.1, 0.5, 1.0]), "share")
    seed, n = draw(st.integers(0, 2**32 - 1), "seed"), draw(st.integers(0, 40), "n")
    images = make_columns(seed, n, n_classes, dim, values, share)
    if n and draw(st.booleans(), "removed"):
        images = with_removed(images, draw(st.integers(1, 5), "every"))
    queries = make_columns(seed + 1, draw(st.integers(0, 12), "queries"), n_classes, dim, values, share)
    epsilon = draw(st.none() | st.floats(0, 2) | st.sampled_from([0.5, 1.0, 2.0]), "epsilon")
    k, drop = draw(st.integers(1, 60), "k"), draw(st.booleans(), "drop")
    cuts = draw(st.lists(st.integers(0, n), max_size=4), "cuts")
    _core.set_simd_level(draw(st.sampled_from(LEVELS), "level"))
    got = searcher(*images.cut(cuts)).search(
        *queries.query, k, epsilon, drop, draw(st.sampled_from([1, 2, 7]))
    )
    assert_same(got, Reference(images, queries, n_classes).search(k, epsilon, drop))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_histogram_distances(threads):
    images, queries = make_columns(1, 5000, C, 1), make_columns(2, 3, C, 1)
    got = _core.histogram_distances(queries.histograms, images.histograms, threads)
    x, _ = images.dense(C)
    q, _ = queries.dense(C)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [histogram_distances(row, x) for row in q])
    empty = images.part(0, 0)
    assert _core.histogram_distances(queries.histograms, empty.histograms, threads).shape == (3, 0)
    assert _core.histogram_distances(empty.histograms, images.histograms, threads).shape == (0, 5000)


def test_nothing_to_search():
    query = make_columns(1, 2, C, 4)
    for s in (_core.Searcher([], 4), searcher(query.part(0, 0)), searcher(with_removed(query, 1))):
        assert len(s) == 0
        ids, distances, histograms, kept = s.search(*query.query, 3, 0.9, False, 2)
        assert ids.tolist() == [[-1] * 3] * 2
        assert distances.tolist() == histograms.tolist() == [[np.inf] * 3] * 2
        assert kept.tolist() == [0, 0]
    assert searcher(query).search(*query.part(0, 0).query, 3, 0.9, False, 2)[0].shape == (0, 3)


def test_arrays_are_kept_alive_and_may_be_read_only(library):
    images, queries, reference = library
    columns = [np.array(a) for a in images.segment]
    for column in columns:
        column.flags.writeable = False
    s = _core.Searcher([tuple(columns)], 20)
    del column, columns
    gc.collect()
    trash = [np.full(size, 255, np.uint8) for size in (1 << 12, 1 << 16, 1 << 20)] * 5
    assert_same(s.search(*queries.query, 30, 0.9, False, 2), reference.search(30, 0.9, False))
    del trash


def test_arrays_are_not_copied():
    images = make_columns(1, 9, C, 4)
    s = searcher(images)
    images.ids[:] = -1
    assert (s.search(*images.query, 3, None, False, 1)[0] == -1).all()


def test_damaged_values_count_as_infinity():
    images = make_columns(5, 30, C, 7, share=0.9)
    images.centroids[0] = np.nan
    images.proportions[images.offsets[1]] = np.nan
    images.centroids[-1] = np.inf
    query = make_columns(6, 2, C, 7)
    for epsilon in (0.9, None):
        ids, distances, histograms, kept = searcher(images).search(*query.query, 30, epsilon, False, 2)
        assert sorted(ids[0]) == sorted(images.ids)
        assert not np.isnan(distances).any()
        assert not np.isnan(histograms).any()
        assert kept.max() <= 30
    assert {images.ids[0], images.ids[-1]} == set(ids[0, -2:])
    assert np.isinf(distances[0, -2:]).all()


def test_many_callers_at_once(library):
    images, queries, reference = library
    s = searcher(*images.cut([500]))
    expected = reference.search(10, 0.9, False)
    results: list[object] = []
    callers = [
        threading.Thread(target=lambda: results.append(s.search(*queries.query, 10, 0.9, False, 3)))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4
    for result in results:
        assert_same(result, expected)


def test_the_gil_is_released():
    images = make_columns(1, 1500, C, 64)
    s = searcher(images)
    during: list[int] = []
    running, done = threading.Event(), threading.Event()

    def search() -> None:
        running.set()
        s.search(*images.query, 1, None, False, 1, False)
        done.set()

    worker = threading.Thread(target=search)
    worker.start()
    running.wait()
    while not done.is_set():
        during.append(1)
        time.sleep(0.001)
    worker.join()
    assert len(during) > 20


QUERY = make_columns(1, 3, C, 4, share=0.8)
ROWS = len(QUERY.classes)
DESCENDING = QUERY.classes[::-1].copy()
BAD_COLUMNS = [
    ("offsets", QUERY.offsets.astype(np.int32), TypeError, "offsets: expected dtype int64, got int32"),
    ("offsets", QUERY.offsets.tolist(), TypeError, "offsets: expected a NumPy array of int64, got list"),
    ("offsets", np.zeros(0, np.int64), ValueError, "offsets: expected at least one entry"),
    ("offsets", np.zeros((2, 2), np.int64), ValueError, r"offsets: expected shape \(any,\), got \(2, 2\)"),
    ("offsets", np.repeat(QUERY.offsets, 2)[::2], ValueError, "offsets: .*C-contiguous"),
    ("offsets", np.array([1, 2, 3, ROWS]), ValueError, "offsets: expected to start at 0, got 1"),
    ("offsets", np.array([0, 5, 3, ROWS]), ValueError, "offsets: .*decrease, got 5 then 3 for image 1"),
    ("offsets", np.array([0, 1, 2, ROWS + 1]), ValueError, f"offsets: .*rows, {ROWS}, got {ROWS + 1}"),
    ("offsets", np.array([0, -(2**63), 2, ROWS]), ValueError, "offsets: expected not to decrease"),
    ("classes", QUERY.classes.astype(np.int16), TypeError, "classes: expected dtype uint16, got int16"),
    ("classes", DESCENDING, ValueError, "classes: expected to ascend within an image, got .* in image 0"),
    ("proportions", QUERY.proportions[:-1], ValueError, rf"proportions: expected shape \({ROWS},\), got"),
    ("proportions", QUERY.proportions.astype(float), TypeError, "proportions: .*float32, got float64"),
    ("centroids", QUERY.centroids[:-1], ValueError, rf"centroids: .*\({ROWS}, 4\), got \({ROWS - 1}, 4\)"),
    ("centroids", np.ones((ROWS, 5), np.float32), ValueError, rf"centroids: .*got \({ROWS}, 5\)"),
    ("centroids", np.asfortranarray(QUERY.centroids), ValueError, "centroids: .*C-contiguous"),
    ("ids", np.arange(4), ValueError, r"ids: expected shape \(3,\), got \(4,\)"),
    ("ids", np.arange(3.0), TypeError, "ids: expected dtype int64, got float64"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_COLUMNS)
def test_bad_columns(name, value, error, message):
    bad = replace(QUERY, **{name: value})
    with pytest.raises(error, match="segment 1: " + message):
        _core.Searcher([QUERY.segment, bad.segment], 4)
    if name != "ids":
        with pytest.raises(error, match="query_" + message):
            searcher(QUERY).search(*bad.query, 1, None, False, 1)
    if name not in ("ids", "centroids"):
        with pytest.raises(error, match="queries: " + message):
            _core.histogram_distances(bad.histograms, QUERY.histograms, 1)
        with pytest.raises(error, match="segment: " + message):
            _core.histogram_distances(QUERY.histograms, bad.histograms, 1)


@pytest.mark.parametrize(
    ("segments", "dim", "error", "message"),
    [
        ([QUERY.segment], 0, ValueError, "dim: expected at least 1, got 0"),
        ([QUERY.segment], -4, ValueError, "dim: expected at least 1, got -4"),
        ([QUERY.query], 4, TypeError, "segment 0: expected a tuple"),
        ([list(QUERY.segment)], 4, TypeError, "segment 0: expected a tuple .*got list"),
        (None, 4, TypeError, "incompatible"),
    ],
)
def test_bad_segments(segments, dim, error, message):
    with pytest.raises(error, match=message):
        _core.Searcher(segments, dim)


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"k": -1}, ValueError, "k: expected at least 1, got -1"),
        ({"k": 2**62}, (ValueError, MemoryError), "."),
        ({"k": 2**70}, TypeError, "incompatible"),
        ({"k": 1.5}, TypeError, "incompatible"),
        ({"epsilon": -0.5}, ValueError, "epsilon: expected at least 0, got -0.5"),
        ({"epsilon": float("nan")}, ValueError, "epsilon: expected at least 0, got -?nan"),
        ({"epsilon": "0.9"}, TypeError, "incompatible"),
        ({"threads": 0}, ValueError, "threads: expected 1 to 1024, got 0"),
        ({"threads": 5000}, ValueError, "threads: expected 1 to 1024, got 5000"),
    ],
)
def test_bad_search(argument, error, message):
    arguments = {"k": 1, "epsilon": 0.9, "drop": False, "threads": 1, **argument}
    with pytest.raises(error, match=message):
        searcher(QUERY).search(*QUERY.query, **arguments)


def test_bad_histogram_distances():
    with pytest.raises(ValueError, match=r"queries: expected \(offsets, classes, proportions\), got 4"):
        _core.histogram_distances(QUERY.query, QUERY.histograms, 1)
    with pytest.raises(ValueError, match="threads: "):
        _core.histogram_distances(QUERY.histograms, QUERY.histograms, 0)


@pytest.mark.parametrize("screened", [False, True])
def test_squared_distances_are_what_ranks(
    library: tuple[Columns, Columns, Reference], screened: bool
) -> None:
    images, queries, reference = library
    s, k = searcher(images), 40
    squared = np.full((200, k), -1.0)
    found = s.search(*queries.query, k, 0.9, False, 2, screened, squared=squared)
    assert_same(found, reference.search(k, 0.9, False))
    ids, distances, _, kept = found
    np.testing.assert_array_equal(np.sqrt(squared).astype(np.float32), distances)
    assert (ids >= 0).all()
    penalized = np.arange(k) >= kept[:, None]
    for q in range(200):
        keys = list(zip(penalized[q], squared[q], ids[q], strict=True))
        assert keys == sorted(keys)
    few = np.zeros((200, 2000))
    s.search(*queries.query, 2000, 0.9, False, 1, squared=few)
    assert np.isinf(few[:, len(images.ids) :]).all()


@pytest.mark.parametrize(
    "squared",
    [
        np.zeros((200, 39)),
        np.zeros((199, 40)),
        np.zeros((200, 40), np.float32),
        np.zeros((40, 200)).T,
        np.zeros(8000),
        frozen(np.zeros((200, 40))),
    ],
)
def test_squared_distances_need_a_place(library: tuple[Columns, Columns, Reference], squared: Any) -> None:
    images, queries, _ = library
    with pytest.raises(ValueError, match=r"squared: expected a writable array, float64 \(200, 40\)"):
        searcher(images).search(*queries.query, 40, 0.9, False, 1, squared=squared)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("barred", [[], [3, 4]])
def test_smallest_histogram_distances(
    library: tuple[Columns, Columns, Reference], threads: int, barred: list[int]
) -> None:
    images, queries, _ = library
    terms = ([], 1.0, [], 0.02, barred, 0.3, False) if barred else None
    s = searcher(images)
    found = s.smallest_histogram_distances(*queries.query[:3], 2000, terms, threads)
    assert found.shape == (200, 2000)
    counts = np.isfinite(found).sum(axis=1)
    assert counts.max() <= np.count_nonzero(images.ids >= 0)
    assert (np.sort(found, axis=1) == found).all()
    for m in (1, 2, 17, 400, 2000):
        last = found[np.arange(200), np.minimum(m, counts) - 1]
        np.testing.assert_array_equal(
            s.nearest_epsilons(*queries.query[:3], m, terms, threads), np.where(counts > 0, last, 0)
        )
        np.testing.assert_array_equal(
            s.smallest_histogram_distances(*queries.query[:3], m, terms, threads), found[:, :m]
        )
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        s.smallest_histogram_distances(*queries.query[:3], 0, terms, threads)
