# SPDX-License-Identifier: MIT
"""Several photos as one query, and queries averaged with what they find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_signatures import made_signatures, with_whole_rows
from semcbir import Deep, Index, Searcher, Signatures, search, weighted
from semcbir.expansion import cosines, expanded
from semcbir.recipe import Recipe
from semcbir.several import at_length_one, check_weights, mean_signature


def positions(images: Signatures, ids: np.ndarray) -> np.ndarray:
    order = np.argsort(images.ids)
    return order[np.searchsorted(images.ids, ids, sorter=order)]


def flat(signatures: Signatures) -> np.ndarray:
    return signatures.dense().astype(np.float64).reshape(len(signatures), -1)


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 0.5, 1], [1, 1, -0.5], [1, 0, 0], [2, -1.5, 0.1]])
def test_the_mean_ranks_by_the_weighted_sum_of_squared_distances(weights: list[float]):
    images = made_signatures(300, n_classes=12, dim=8, seed=3)
    photos = images[np.array([1, 5, 9])]
    mean = mean_signature(photos, weights)
    w = np.array(weights)
    np.testing.assert_allclose(flat(mean)[0], (w @ flat(photos)) / w.sum(), rtol=1e-6, atol=1e-6)
    squares = np.array([((flat(images) - one) ** 2).sum(axis=1) for one in flat(photos)])
    wanted = w @ squares
    found = Searcher(images).search(mean, len(images), None)
    sums = wanted[positions(images, found.ids[0])]
    assert np.all(np.diff(sums) > -1e-4 * np.abs(sums).max())
    # ... and by nothing but a constant and a factor besides.
    distances = found.distances[0].astype(np.float64) ** 2 * w.sum()
    assert np.ptp(sums - distances) < 1e-3 * np.abs(sums).max()


def test_the_mean_of_histograms_is_one():
    photos = made_signatures(3, n_classes=12, dim=8, seed=4)
    plain = mean_signature(photos, [1.0, 2.0, 1.0]).histograms()[0]
    np.testing.assert_allclose(plain, np.average(photos.histograms(), axis=0, weights=[1, 2, 1]), atol=1e-6)
    unlike = mean_signature(photos, [1.0, 1.0, -0.9]).histograms()[0]
    assert unlike.min() >= 0
    assert unlike.sum() == pytest.approx(1, abs=1e-6)
    raw = np.array([1, 1, -0.9]) @ photos.histograms()
    np.testing.assert_allclose(unlike, np.maximum(raw, 0) / np.maximum(raw, 0).sum(), atol=1e-6)


def deep(n: int, seed: int) -> Signatures:
    """Signatures of the default feature, weighted by share, which know their recipe."""
    made = with_whole_rows(made_signatures(n, n_classes=12, dim=128, seed=seed), seed=seed)
    return weighted(made, 0.7)


def with_recipe(signatures: Signatures) -> Signatures:
    card = {"name": "made", "classes": [f"c{i}" for i in range(signatures.n_classes)], "void": None}
    feature = Deep(weighting="share")
    recipe = Recipe.__new__(Recipe)
    object.__setattr__(recipe, "model", card)
    object.__setattr__(recipe, "features", (feature,))
    object.__setattr__(recipe, "long_side", 512)
    return Signatures._unchecked(**{**vars(signatures), "recipe": recipe})


def test_weighted_signatures_are_as_long_as_before():
    images = at_length_one(with_recipe(deep(200, 5)))
    images = Signatures._unchecked(**{**vars(images), "recipe": None})
    mean = mean_signature(images[:2], [1.0, 1.0])
    same = at_length_one(mean)  # nothing says that it is weighted
    np.testing.assert_array_equal(same.centroids, mean.centroids)
    long = at_length_one(with_recipe(mean))
    assert np.linalg.norm(flat(long)) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(flat(mean)) < 0.999
    plain = Signatures._unchecked(**{**vars(long), "recipe": None})
    searcher = Searcher(images)
    before, after = searcher.search(mean, 200, None), searcher.search(plain, 200, None)
    # Lengths are 1 up to rounding, so only what is as far may change places.
    far = after.distances[0][np.argsort(after.ids[0])][np.argsort(np.argsort(before.ids[0]))]
    assert np.all(np.diff(far) > -1e-5)
    assert after.distances.max() <= 2


def test_a_query_is_averaged_with_what_it_finds():
    images = made_signatures(60, n_classes=7, dim=5, seed=6)
    queries = made_signatures(2, n_classes=7, dim=5, seed=7)
    nearest = np.array([[3, 9, 1], [50, -1, -1]])
    made = expanded(queries, nearest, lambda ids: images[positions(images, ids)])
    for q in range(2):
        vectors = [flat(queries)[q], *flat(images)[positions(images, nearest[q][nearest[q] >= 0])]]
        lengths = [max(np.linalg.norm(v), 1e-300) for v in vectors]
        cos = [v @ vectors[0] / length / lengths[0] for v, length in zip(vectors, lengths, strict=True)]
        weights = np.maximum([1.0, *cos[1:]], 0) ** 3
        wanted = weights @ np.array(vectors) / weights.sum()
        np.testing.assert_allclose(flat(made)[q], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made.ids, queries.ids)
    assert cosines(queries[:1], images[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, -1], ValueError, "query: expected weights with a sum above 0"),
        ([float("nan")], ValueError, "query: expected weights that are finite, got nan"),
        ([float("inf")], ValueError, "query: expected weights that are finite, got inf"),
        (["much"], TypeError, "query"),
    ],
)
def test_weights_that_make_no_query(weights: list[object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        check_weights(weights)


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog,kaze")


def test_photos_with_weights_are_one_query(index: Index):
    paths = [record.path for record in index][:3]
    signatures = index.extractor().extract(paths, "hog")
    weights = [1.0, 1.0, -0.5]
    found = search(list(zip(paths, weights, strict=True)), index, 12, feature="hog")
    (same,) = search(mean_signature(signatures, weights), index, 12, feature="hog")
    assert found == same
    # Signatures may stand in the place of photos.
    mixed = [(paths[0], 1), (signatures[1], 1.0), (paths[2], -0.5)]
    assert search(mixed, index, 12, feature="hog") == found
    with pytest.raises(ValueError, match="query: expected signatures of one image beside a weight"):
        search([(signatures, 1.0)], index, feature="hog")
    with pytest.raises(ValueError, match="query: expected weights with a sum above 0"):
        search([(paths[0], 0)], index)


def test_a_search_expands(index: Index):
    query = index.signatures("hog")[4]
    (first,) = search(query, index, 3, feature="hog", penalized="drop")
    wanted = expanded(
        query,
        np.array([[hit.id for hit in first]]),
        lambda ids: index.signatures("hog", ids=ids),
    )
    assert search(query, index, 12, feature="hog", expand=3) == search(wanted, index, 12, feature="hog")
    assert search(query, index, 12, feature="hog", expand=0) == search(query, index, 12, feature="hog")
    with pytest.raises(ValueError, match="expand: expected an integer from 0 to 1000, got -1"):
        search(query, index, expand=-1)
