# SPDX-License-Identifier: MIT
"""Signatures as a container: what it accepts, what it refuses, and that no operation changes a value."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_signatures import assert_same, made_signatures
from semcbir import Signatures, build_signatures

COLUMNS = {
    "offsets": [0, 2, 2, 3],
    "classes": [1, 4, 0],
    "proportions": [0.25, 0.75, 1.0],
    "counts": [3, 0, 1],
    "centroids": [[1.0, 2.0], [0.0, 0.0], [5.0, 6.0]],
    "n_classes": 5,
}


def test_attributes_have_the_documented_dtypes_and_are_read_only():
    signatures = Signatures(**COLUMNS)
    dtypes = {name: getattr(signatures, name).dtype.name for name in (*COLUMNS, "ids") if name != "n_classes"}
    assert dtypes == {
        "offsets": "int64",
        "classes": "uint16",
        "proportions": "float32",
        "counts": "uint32",
        "centroids": "float32",
        "ids": "int64",
    }
    assert len(signatures) == 3
    assert signatures.dim == 2
    assert signatures.ids.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        signatures.centroids[0, 0] = 9
    with pytest.raises(AttributeError):
        signatures.n_classes = 7


def test_the_callers_array_stays_writable():
    centroids = np.array(COLUMNS["centroids"], np.float32)
    Signatures(**{**COLUMNS, "centroids": centroids})
    centroids[0, 0] = 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [1, 2, 2, 3]}, "offsets: expected to start at 0, got 1"),
        ({"offsets": [0, 2, 2, 4]}, "offsets: expected to end at the number of rows, 3, got 4"),
        ({"offsets": []}, "offsets: expected at least one entry"),
        ({"offsets": [0, 2, 1, 3]}, "offsets: expected not to decrease, got 2 then 1"),
        ({"offsets": [[0, 3]]}, r"offsets must have 1 dimension, got shape \(1, 2\)"),
        ({"classes": [1, 5, 0]}, "classes: expected below n_classes=5, got 5"),
        ({"classes": [4, 1, 0]}, "classes: expected to ascend within an image, got 4 then 1"),
        ({"classes": [4, 4, 0]}, "classes: expected to ascend within an image, got 4 then 4"),
        ({"classes": [-1, 4, 0]}, "classes must fit uint16"),
        ({"classes": [1, 70000, 0]}, "classes must fit uint16"),
        ({"proportions": [0.25, 1.75, 1.0]}, "between 0 and 1"),
        ({"proportions": [0.25, np.nan, 1.0]}, "between 0 and 1"),
        ({"proportions": [0.25, 0.75]}, "proportions must have 3 rows like classes, got 2"),
        ({"counts": [3, -1, 1]}, "counts must fit uint32"),
        ({"counts": [3, 0]}, "counts must have 3 rows"),
        ({"centroids": [[1.0, 2.0], [0.0, 0.0], [np.inf, 6.0]]}, "centroids must be finite"),
        ({"centroids": [[1.0, 2.0], [0.0, 1.0], [5.0, 6.0]]}, "zero where counts is 0"),
        ({"centroids": [1.0, 2.0, 3.0]}, "centroids must have 2 dimensions"),
        ({"centroids": np.empty((3, 0))}, "at least one column"),
        ({"n_classes": 0}, "n_classes: expected an integer from 1 to 65536, got 0"),
        ({"ids": [1, 2]}, "ids must have 3 entries"),
        ({"ids": [1, 2, 1]}, "unique"),
        ({"ids": [1, 2, -1]}, "ids must not be negative, got -1"),
    ],
)
def test_wrong_content_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        Signatures(**{**COLUMNS, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [1.5, 4.0, 0.0]},
        {"counts": ["3", "0", "1"]},
        {"centroids": [["a", "b"]] * 3},
        {"n_classes": 5.0},
        {"n_classes": True},
        {"recipe": "kaze"},
    ],
)
def test_wrong_kinds_are_refused(change):
    with pytest.raises(TypeError):
        Signatures(**{**COLUMNS, **change})


def test_dense_is_the_papers_matrix():
    signatures = Signatures(**COLUMNS)
    dense = signatures.dense()
    assert dense.shape == (3, 5, 2)
    assert dense.dtype == np.float32
    np.testing.assert_array_equal(dense[0, 1], [1, 2])
    np.testing.assert_array_equal(dense[2, 0], [5, 6])
    assert np.count_nonzero(dense) == 4
    np.testing.assert_array_equal(
        signatures.histograms(), [[0, 0.25, 0, 0, 0.75], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    )


@given(seed=st.integers(0, 50), n=st.integers(0, 12))
def test_from_dense_undoes_dense(seed, n):
    signatures = made_signatures(n, seed=seed)
    counts = np.zeros((n, signatures.n_classes), np.uint32)
    counts[np.repeat(np.arange(n), np.diff(signatures.offsets)), signatures.classes] = signatures.counts
    again = Signatures.from_dense(
        signatures.dense(), signatures.histograms(), counts=counts, ids=signatures.ids
    )
    assert_same(again, signatures)


@pytest.mark.parametrize(
    ("dense", "histograms", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "must be"),
        (np.zeros((2, 3, 4)), np.zeros((2, 4)), r"got shapes \(2, 3, 4\) and \(2, 4\)"),
        (np.ones((1, 1, 1)), np.zeros((1, 1)), "must be null where the histogram is 0"),
        (np.zeros((1, 1, 1)), np.full((1, 1), np.nan), "between 0 and 1"),
        (np.zeros((1, 1, 1)), np.full((1, 1), -0.5), "between 0 and 1"),
    ],
)
def test_from_dense_refuses(dense, histograms, message):
    with pytest.raises(ValueError, match=message):
        Signatures.from_dense(dense, histograms)


@given(seed=st.integers(0, 20), data=st.data())
def test_slices_and_selections_agree_with_the_dense_arrays(seed, data):
    signatures = made_signatures(9, seed=seed)
    key = data.draw(
        st.one_of(
            st.slices(9),
            st.lists(st.integers(-9, 8), max_size=9, unique_by=lambda i: i % 9),
            st.lists(st.booleans(), min_size=9, max_size=9).map(np.array),
        )
    )
    dense_key = np.array(key, np.intp) if isinstance(key, list) else key
    chosen = signatures[key]
    np.testing.assert_array_equal(chosen.dense(), signatures.dense()[dense_key])
    np.testing.assert_array_equal(chosen.histograms(), signatures.histograms()[dense_key])
    np.testing.assert_array_equal(chosen.ids, signatures.ids[dense_key])


def test_integers_give_batches_of_one_and_iteration_ends():
    signatures = made_signatures(5)
    assert [one.ids.tolist() for one in signatures] == [[i] for i in signatures.ids]
    assert_same(signatures[-1], signatures[4:])
    with pytest.raises(IndexError):
        signatures[5]
    with pytest.raises(ValueError, match="unique"):
        signatures[[1, 1]]


@given(cuts=st.lists(st.integers(0, 10), max_size=4).map(sorted))
def test_concatenation_undoes_slicing(cuts):
    signatures = made_signatures(10)
    bounds = [0, *cuts, 10]
    parts = [signatures[a:b] for a, b in itertools.pairwise(bounds)]
    assert_same(Signatures.concatenate(parts), signatures)


def test_concatenation_refuses_what_does_not_belong_together():
    with pytest.raises(ValueError, match="at least one"):
        Signatures.concatenate([])
    with pytest.raises(ValueError, match="n_classes=20 and dim=8 expected, got 20 and 9"):
        Signatures.concatenate([made_signatures(2), made_signatures(2, dim=9)])
    with pytest.raises(ValueError, match="ids collide"):
        Signatures.concatenate([made_signatures(2), made_signatures(2)])
    joined = Signatures.concatenate([made_signatures(2), made_signatures(2)], ids=np.arange(4))
    assert joined.ids.tolist() == [0, 1, 2, 3]


def test_empty_batches_work_everywhere():
    empty = Signatures.empty(5, 3)
    assert len(empty) == 0
    assert empty.dense().shape == (0, 5, 3)
    assert len(empty[:]) == 0
    assert len(Signatures.concatenate([empty, empty])) == 0
    assert len(build_signatures([], [], [], n_classes=5)) == 0


def reference(label_map, keypoints, descriptors, n_classes, void):
    """Algorithm 1 and Fig. 4 as written, in float64."""
    histogram = np.zeros(n_classes)
    signature = np.zeros((n_classes, descriptors.shape[1]))
    labelled = label_map[label_map != void] if void is not None else label_map.ravel()
    height, width = label_map.shape
    labels = [
        label_map[
            min(max(int(np.floor(float(y) + 0.5)), 0), height - 1),
            min(max(int(np.floor(float(x) + 0.5)), 0), width - 1),
        ]
        for x, y in keypoints
    ]
    for c in range(n_classes):
        if labelled.size and c != void:
            histogram[c] = np.count_nonzero(labelled == c) / labelled.size
        group = [
            d.astype(np.float64) for d, label in zip(descriptors, labels, strict=True) if label == c != void
        ]
        if group:
            signature[c] = np.sum(group, axis=0) / len(group)
    return histogram, signature


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_built_signatures_are_algorithm_1(dtype, threads):
    rng = np.random.default_rng(7)
    maps, points, vectors = [], [], []
    for i in range(12):
        height, width = rng.integers(1, 40, 2)
        maps.append(rng.choice([0, 2, 3, 9, 255 if i % 2 else 3], size=(height, width)).astype(dtype))
        n = int(rng.integers(0, 30))
        points.append(rng.uniform(-2, 42, (n, 2)).astype(np.float32))
        vectors.append(rng.normal(size=(n, 5)).astype(np.float32))
    built = build_signatures(maps, points, vectors, n_classes=10, void=255, threads=threads)
    for i, (label_map, point, vector) in enumerate(zip(maps, points, vectors, strict=True)):
        histogram, signature = reference(label_map, point, vector, 10, 255)
        np.testing.assert_array_equal(built.histograms()[i], histogram.astype(np.float32))
        np.testing.assert_allclose(built.dense()[i], signature, rtol=1e-6, atol=1e-7)
    assert_same(
        built, Signatures.concatenate(
            [
                build_signatures([m], [p], [v], n_classes=10, void=255)
                for m, p, v in zip(maps, points, vectors, strict=True)
            ],
            ids=np.arange(12),
        )
    )  # fmt: skip


GOOD = (np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("position", "value", "error", "message"),
    [
        (0, np.zeros((4, 4), np.int64), TypeError, "image 1: label map must be uint8 or uint16, got int64"),
        (0, np.zeros((4, 0), np.uint8), ValueError, r"image 1: label map .* got shape \(4, 0\)"),
        (0, np.zeros(4, np.uint8), ValueError, "image 1: label map"),
        (0, np.full((4, 4), 6, np.uint8), ValueError, "image 1.*6"),
        (1, np.zeros((2, 3), np.float32), ValueError, r"image 1: keypoints must be \(n, 2\)"),
        (1, np.zeros((3, 2), np.float32), ValueError, "image 1: descriptors must have 3 rows"),
        (1, np.array([[np.nan, 0], [0, 0]], np.float32), ValueError, "image 1"),
        (1, np.array([[np.inf, 0], [0, 0]], np.float32), ValueError, "image 1"),
        (1, np.array([["a", "b"]] * 2), TypeError, "image 1: keypoints must be real numbers"),
        (2, np.array([[0, 0, np.nan], [0, 0, 0]], np.float32), ValueError, "image 1"),
        (2, np.array([[0, 0, 0], [0, -np.inf, 0]], np.float32), ValueError, "image 1"),
        (2, np.zeros((2, 4), np.float32), ValueError, r"image 1: descriptors must be \(n, 3\)"),
        (2, np.zeros((2, 0), np.float32), ValueError, "image 1: descriptors"),
    ],
)
def test_building_names_the_image_that_is_wrong(position, value, error, message):
    images = [list(GOOD), list(GOOD)]
    images[1][position] = value
    columns = [list(column) for column in zip(*images, strict=True)]
    with pytest.raises(error, match=message):
        build_signatures(*columns, n_classes=6)


def test_building_refuses_lists_of_different_lengths_and_odd_arguments():
    with pytest.raises(ValueError, match="the same length, got 1, 0 and 0"):
        build_signatures([GOOD[0]], [], [], n_classes=6)
    with pytest.raises(ValueError, match="void: expected an integer from 0 to 65535, got 70000"):
        build_signatures([GOOD[0]], [GOOD[1]], [GOOD[2]], n_classes=6, void=70000)
    with pytest.raises(ValueError, match="threads: expected an integer from 1 to 1024, got 0"):
        build_signatures([GOOD[0]], [GOOD[1]], [GOOD[2]], n_classes=6, threads=0)
    with pytest.raises(TypeError, match="threads: expected an integer"):
        build_signatures([GOOD[0]], [GOOD[1]], [GOOD[2]], n_classes=6, threads=1.5)


def test_an_image_of_nothing_but_void_is_valid():
    built = build_signatures([np.full((3, 3), 9, np.uint8)], [GOOD[1]], [GOOD[2]], n_classes=6, void=9)
    assert len(built) == 1
    assert not built.histograms().any()
    assert not built.dense().any()
