# SPDX-License-Identifier: MIT
"""Smoothing: the plain float64 average over dense arrays, to the bit; and as a search of an index does it."""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import Columns, Reference
from made_signatures import assert_same, made_signatures
from semcbir import (
    Extractor,
    Index,
    IndexStorageError,
    Searcher,
    Signatures,
    _core,
    histogram_distances,
    search,
    smoothed,
    smoothed_queries,
)
from semcbir.evaluation.measuring import measure_signatures
from semcbir.smoothing import MAX_SMOOTH, SmoothedSearcher


def columns(signatures: Signatures) -> Columns:
    s = signatures
    return Columns(s.offsets, s.classes, s.proportions, s.centroids, s.ids)


def dense(signatures: Signatures) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Signatures (n, C, D), histograms and counts (n, C) in float64, and which rows are there (n, C)."""
    n = len(signatures)
    at = np.repeat(np.arange(n), np.diff(signatures.offsets)), signatures.classes
    counts, there = np.zeros((n, signatures.n_classes)), np.zeros((n, signatures.n_classes), bool)
    counts[at], there[at] = signatures.counts, True
    return signatures.dense().astype(float), signatures.histograms().astype(float), counts, there


def average(queries: Signatures, images: Signatures, near: list[list[int]], k: int) -> Signatures:
    """Each query averaged with the images at the positions ``near``, on dense arrays."""
    own, others = dense(queries), dense(images)
    made = [np.zeros_like(values) for values in own]
    for i, positions in enumerate(near):
        weights = [k + 1 - rank for rank in range(len(positions) + 1)]
        members = [[of[i], *(values[j] for j in positions)] for of, values in zip(own, others, strict=True)]
        for column in (0, 1):
            total = np.zeros_like(own[column][i])
            for weight, member in zip(weights, members[column], strict=True):
                total += weight * member
            made[column][i] = total / sum(weights)
        made[2][i] = np.minimum(sum(members[2]), 2**32 - 1)
        made[3][i] = np.any(members[3], axis=0)
    there = made[3].astype(bool)
    return Signatures(
        offsets=np.concatenate([[0], np.cumsum(there.sum(axis=1))]),
        classes=np.nonzero(there)[1],
        proportions=made[1][there].astype(np.float32),
        counts=made[2][there].astype(np.uint32),
        centroids=made[0][there].astype(np.float32),
        n_classes=queries.n_classes,
        ids=queries.ids,
    )


def nearest(queries: Signatures, images: Signatures) -> list[list[int]]:
    """All positions of images by (distance, id), for every query."""
    squared = Reference(columns(images), columns(queries), queries.n_classes).squared
    return [list(np.lexsort((images.ids, row))) for row in squared]


def expected_smoothed(images: Signatures, k: int) -> Signatures:
    orders = nearest(images, images)
    return average(images, images, [[j for j in o if j != i][:k] for i, o in enumerate(orders)], k)


def expected_queries(queries: Signatures, images: Signatures, k: int) -> Signatures:
    orders, own, theirs = nearest(queries, images), dense(queries), dense(images)
    for i, order in enumerate(orders):
        same = [j for j in order if (own[0][i] == theirs[0][j]).all() and (own[1][i] == theirs[1][j]).all()]
        if same and same[0] in order[: k + 1]:
            order.remove(same[0])
        del order[k:]
    return average(queries, images, orders, k)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 25),
    dim=st.sampled_from([1, 7, 16, 33]),
    k=st.integers(0, 30),
    duplicates=st.booleans(),
    threads=st.sampled_from([1, 2, 7]),
)
def test_a_collection_is_averaged_as_numpy_would(seed, n, dim, k, duplicates, threads):
    images = made_signatures(n, dim=dim, seed=seed, duplicates=duplicates)
    found = smoothed(images, k, threads=threads)
    assert_same(found, expected_smoothed(images, k))
    Signatures(**vars(found))  # valid in every respect
    labelled = images[np.diff(images.offsets) > 0]
    np.testing.assert_allclose(smoothed(labelled, k).histograms().sum(axis=1), 1, rtol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 20),
    others=st.integers(0, 6),
    k=st.integers(0, 25),
    duplicates=st.booleans(),
    threads=st.sampled_from([1, 2, 7]),
)
def test_queries_are_averaged_with_the_collection_as_numpy_would(seed, n, others, k, duplicates, threads):
    images = made_signatures(n, seed=seed, duplicates=duplicates)
    strangers = made_signatures(others, seed=seed + 1)
    queries = Signatures.concatenate([images[::2], strangers], ids=np.arange(len(images[::2]) + others))
    found = smoothed_queries(queries, images, k, threads=threads)
    assert_same(found, expected_queries(queries, images, k))


def test_every_level_gives_the_same(level: str):
    images = made_signatures(60, dim=37, duplicates=True)
    assert_same(smoothed(images, 4), expected_smoothed(images, 4))


def test_weights_fall_with_the_rank_from_one():
    k = 10
    images = Signatures(
        offsets=range(13),
        classes=[0] * 12,
        proportions=[1] * 12,
        counts=[1] * 12,
        centroids=[[2.0**i] for i in range(12)],
        n_classes=1,
    )
    weights = np.array([1 - r / (k + 1) for r in range(k + 1)])
    expected = (weights * 2.0 ** np.arange(11)).sum() / weights.sum()  # image 0: 1, 2, ... lie ever farther
    assert smoothed(images, k).centroids[0, 0] == pytest.approx(expected, rel=1e-7)
    assert (smoothed(images).centroids == smoothed(images, k).centroids).all()


def test_null_vectors_counts_and_new_classes():
    images = Signatures(
        offsets=[0, 2, 3, 3],
        classes=[1, 4, 2],
        proportions=[0.75, 0.25, 1],
        counts=[2**32 - 1, 0, 7],
        centroids=[[4, 8], [0, 0], [2, 2]],
        n_classes=5,
        ids=[30, 10, 20],
    )
    found = smoothed(images, 1)  # image 0 with 2 (all void), 1 with 2, 2 with 1
    assert list(found.offsets) == [0, 2, 3, 4]
    assert list(found.classes) == [1, 4, 2, 2]
    assert list(found.counts) == [2**32 - 1, 0, 7, 7]
    assert list(found.ids) == [30, 10, 20]
    np.testing.assert_array_equal(found.proportions, np.float32([1.5 / 3, 0.5 / 3, 2 / 3, 1 / 3]))
    np.testing.assert_array_equal(
        found.centroids, np.float32([[8 / 3, 16 / 3], [0, 0], [4 / 3, 4 / 3], [2 / 3, 2 / 3]])
    )
    twice = Signatures.concatenate([images, images], ids=range(6))
    assert smoothed(twice, 1).counts.max() == 2**32 - 1
    assert not smoothed(twice, 5).centroids[smoothed(twice, 5).counts == 0].any()


def test_no_neighbours_change_nothing():
    images = made_signatures(9)
    assert_same(smoothed(images, 0), images)
    assert_same(smoothed(images[3], 10), images[3])
    assert_same(smoothed_queries(images, images[:0], 10), images)
    assert len(smoothed(images[:0])) == 0


def test_a_query_of_the_collection_becomes_what_it_is_there():
    images = made_signatures(50, duplicates=True)
    there, asked = smoothed(images, 7), smoothed_queries(images, images, 7)
    np.testing.assert_array_equal(asked.dense(), there.dense())
    rows = np.concatenate([images.dense(), images.histograms()[:, :, None]], axis=2).reshape(50, -1)
    first = [min(np.flatnonzero((rows == row).all(axis=1)), key=lambda j: images.ids[j]) for row in rows]
    assert len(set(first)) < 50
    np.testing.assert_array_equal(asked.histograms(), there.histograms()[first])


def test_what_is_refused():
    images = made_signatures(4)
    with pytest.raises(ValueError, match="signatures: expected each id once"):
        smoothed(images[[0, 0]])
    with pytest.raises(ValueError, match="queries: expected n_classes=20 and dim=8, got 20 and 9"):
        smoothed_queries(made_signatures(2, dim=9), images)
    with pytest.raises(ValueError, match=f"k: expected an integer from 0 to {MAX_SMOOTH}, got 1001"):
        smoothed(images, 1001)
    assert len(smoothed_queries(images[[1, 1]], images)) == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"neighbours": [[3]]}, ValueError, "neighbours: expected positions below 3, got 3"),
        ({"neighbours": [[2**62]]}, ValueError, "neighbours: expected positions below 3"),
        ({"neighbours": [[0, 1, 2]]}, ValueError, "neighbours: expected at most k = 2, got 3"),
        ({"neighbours": [0]}, ValueError, r"neighbours: expected shape \(1, any\), got \(1,\)"),
        ({"neighbours": [[0], [0]]}, ValueError, r"neighbours: expected shape \(1, any\), got \(2, 1\)"),
        ({"k": -1}, ValueError, "k: expected at least 0, got -1"),
        ({"dim": 0}, ValueError, "dim: expected at least 1, got 0"),
        ({"dim": 7}, ValueError, r"images: centroids: expected shape \(\d+, 7\)"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"images": ()}, ValueError, r"images: expected \(offsets, .*\), got 0 arrays"),
    ],
)
def test_the_core_refuses(change, error, message):
    images, collection = made_signatures(1), made_signatures(3)
    names = ("offsets", "classes", "proportions", "counts", "centroids")
    arguments = {
        "images": tuple(getattr(images, name) for name in names),
        "collection": tuple(getattr(collection, name) for name in names),
        "neighbours": [[1]],
        "dim": 8,
        "k": 2,
        "own_proportions": False,
        "threads": 1,
        **change,
    }
    arguments["neighbours"] = np.array(arguments["neighbours"], np.int64)
    with pytest.raises(error, match=message):
        _core.blend(**arguments)


def test_finding_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    images = made_signatures(40, duplicates=True)
    expected = smoothed(images, 5), smoothed_queries(images, images, 5)
    for at_once in (1, 13, 100):
        monkeypatch.setattr("semcbir.smoothing._FOUND_AT_ONCE", at_once)
        assert_same(smoothed(images, 5), expected[0])
        assert_same(smoothed_queries(images, images, 5), expected[1])


def smoothed_searcher(images: Signatures, k: int) -> SmoothedSearcher:
    at = {int(key): position for position, key in enumerate(images.ids)}
    return SmoothedSearcher(Searcher(images), images, k, lambda ids: images[[at[int(key)] for key in ids]])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 25),
    k=st.integers(0, 12),
    epsilon=st.sampled_from([None, 0.0, 0.9, 1.5]),
    penalized=st.sampled_from(["last", "drop"]),
    threads=st.sampled_from([1, 2, 7]),
)
def test_a_search_compares_averages_and_filters_by_the_images_own_histograms(
    seed, n, k, epsilon, penalized, threads
):
    images, strangers = made_signatures(n, seed=seed, duplicates=True), made_signatures(4, seed=seed + 1)
    queries = Signatures.concatenate([images[::3], strangers], ids=np.arange(len(images[::3]) + 4))
    found = smoothed_searcher(images, k).search(queries, 30, epsilon, penalized, threads)
    averages = Reference(
        columns(expected_smoothed(images, k)), columns(expected_queries(queries, images, k)), 20
    )
    averages.histogram = histogram_distances(queries, images)
    expected = averages.search(30, epsilon, penalized == "drop")
    for ours, theirs in zip(
        (found.ids, found.distances, found.histogram_distances, found.kept), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def index(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    place = tmp_path_factory.mktemp("smoothing") / "index"
    return Index.build(made_photos, place, model=tiny_model, features="kaze,hog")


def test_searching_an_index(index: Index, made_photos: Path):
    path = made_photos / "beach" / "0.jpg"
    for feature in index.features:
        plain = search(path, index, k=12, feature=feature)
        assert search(path, index, k=12, feature=feature, smooth=0) == plain
        found = search(path, index, k=12, feature=feature, smooth=3)
        assert search(path, index.path, k=12, feature=feature, smooth=3) == found
        assert found[0].path == path
        assert found[0].distance == 0
        assert found.kept == plain.kept
        assert {hit.id: hit.histogram_distance for hit in found} == {
            hit.id: hit.histogram_distance for hit in plain
        }
        stored = index.signatures(feature)
        (expected,) = smoothed_searcher(stored, 3).search(stored[found[0].id], 12).ids
        assert [hit.id for hit in found] == list(expected)


def test_an_index_smooths_once_until_it_changes(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    path = photo_folder / "town" / "0.jpg"
    started: list[threading.Barrier] = [threading.Barrier(4)]
    seen: list[Searcher] = []

    def ask() -> None:
        started[0].wait()
        seen.append(index.searcher(smooth=2))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert len({id(searcher) for searcher in seen}) == 1
    first = search(path, index, k=20, smooth=2)
    assert index.searcher(smooth=2) is seen[0]
    assert index.searcher(smooth=3) is not seen[0]
    index.remove(photo_folder / "town" / "1.jpg")
    after = search(path, index, k=20, smooth=2)
    assert len(after) == len(first) - 1
    live = index.signatures()
    (expected,) = smoothed_searcher(live, 2).search(live[live.ids == first[0].id], 11).ids
    assert [hit.id for hit in after] == list(expected)
    index.remove([record.id for record in index])
    assert list(search(path, index, smooth=2)) == []


def test_an_index_that_is_closed_lets_go_of_its_files(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    index.searcher(smooth=2)
    (segment,) = index._snapshot.segments
    held = weakref.ref(segment)
    del segment
    index.close()
    assert held() is None


def test_a_segment_cut_short_is_an_error_not_a_crash(made_photos: Path, tiny_model: Path, tmp_path: Path):
    index = Index.build(made_photos, tmp_path / "index", model=tiny_model, features="hog")
    copy = Index.open(shutil.copytree(index.path, tmp_path / "copy"))
    queries = copy.signatures()
    searcher = copy.searcher(smooth=2)
    assert len(searcher.search(queries).ids) == len(queries)
    (file,) = (copy.path / "segments").glob("*.safetensors")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(IndexStorageError, match="is damaged: it has"):
        searcher.search(queries)


@pytest.mark.slow
def test_smoothing_finds_more_of_wang(wang_dir: Path):
    paths = [wang_dir / f"{100 * kind + number}.jpg" for kind in range(10) for number in range(0, 100, 5)]
    images = Extractor(features="kaze").extract(paths)
    labels = np.repeat(np.arange(10), 20)
    plain = measure_signatures(images, labels)
    smooth = measure_signatures(images, labels, searcher=smoothed_searcher(images, 5))
    for mode in ("none", "last"):
        assert smooth.mean(mode, "ap") > plain.mean(mode, "ap") + 0.02
