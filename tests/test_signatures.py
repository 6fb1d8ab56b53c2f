# SPDX-License-Identifier: MIT
"""Signatures as a container: what it accepts, what it refuses, and that no operation changes a value."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_signatures import assert_same, made_signatures
from semcbir import KAZE, Recipe, Searcher, Signatures, build_signatures, recipe

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
        ({"offsets": [[0, 3]]}, r"offsets: expected 1 dimension, got shape \(1, 2\)"),
        ({"classes": [1, 5, 0]}, "classes: expected below n_classes=5, got 5"),
        ({"classes": [4, 1, 0]}, "classes: expected to ascend within an image, got 4 then 1"),
        ({"classes": [4, 4, 0]}, "classes: expected to ascend within an image, got 4 then 4"),
        ({"classes": [-1, 4, 0]}, "classes: expected values that fit uint16"),
        ({"classes": [1, 70000, 0]}, "classes: expected values that fit uint16"),
        ({"proportions": [0.25, 1.75, 1.0]}, "between 0 and 1"),
        ({"proportions": [0.25, np.nan, 1.0]}, "between 0 and 1"),
        ({"proportions": [0.25, 0.75]}, "proportions: expected 3 rows like classes, got 2"),
        ({"counts": [3, -1, 1]}, "counts: expected values that fit uint32"),
        ({"counts": [3, 0]}, "counts: expected 3 rows"),
        ({"centroids": [[1.0, 2.0], [0.0, 0.0], [np.inf, 6.0]]}, "centroids: expected finite numbers"),
        ({"centroids": [[1.0, 2.0], [0.0, 1.0], [5.0, 6.0]]}, "centroids: expected zeros where counts is 0"),
        ({"centroids": [1.0, 2.0, 3.0]}, "centroids: expected 2 dimensions"),
        ({"centroids": np.empty((3, 0))}, "at least one column"),
        ({"n_classes": 0}, "n_classes: expected an integer from 1 to 65536, got 0"),
        ({"ids": [1, 2]}, "ids: expected 3, one for each image"),
        ({"ids": [1, 2, 1]}, "ids: expected each id once"),
        ({"ids": [1, 2, -1]}, "ids: expected none below 0, got -1"),
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
        (np.zeros((2, 3)), np.zeros((2, 3)), r"signatures: .* \(n, C, D\), got \(2, 3\)"),
        (np.zeros((2, 3, 4)), np.zeros((2, 4)), r"histograms: expected shape \(2, 3\) .* got \(2, 4\)"),
        (np.ones((1, 1, 1)), np.zeros((1, 1)), "signatures: expected null vectors where the histogram is 0"),
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


def test_an_image_may_be_chosen_twice_and_keeps_its_id():
    signatures = made_signatures(5)
    twice = signatures[[1, -4, 0]]
    np.testing.assert_array_equal(twice.dense(), signatures.dense()[[1, 1, 0]])
    assert twice.ids.tolist() == [signatures.ids[1], signatures.ids[1], signatures.ids[0]]
    assert_same(twice[1:][[1, 0]], signatures[[0, 1]])
    assert_same(twice[[0, 2]], signatures[[1, 0]])
    searcher = Searcher(signatures)
    found = searcher.search(twice, k=5)
    np.testing.assert_array_equal(found.ids[0], found.ids[1])
    np.testing.assert_array_equal(found.ids, searcher.search(signatures, k=5).ids[[1, 1, 0]])
    with pytest.raises(ValueError, match="signatures: expected each id once"):
        Searcher(twice)
    with pytest.raises(ValueError, match="batches: expected each id once"):
        Signatures.concatenate([twice])
    assert Signatures.concatenate([twice], ids=range(3)).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("key", "same"),
    [
        ((i for i in (3, 0)), [3, 0]),
        (range(4, 1, -1), [4, 3, 2]),
        ({2}, [2]),
        ([True, False, True, False, False], [0, 2]),
        (np.array([-1, 0], np.int8), [4, 0]),
        (np.array([], bool)[:0].astype(np.uint64), []),
        (np.uint8(3), [3]),
        ([], []),
        (slice(None, None, -2), [4, 2, 0]),
        (slice(3, 1), []),
    ],
)
def test_every_kind_of_key(key, same):
    signatures = made_signatures(5)
    assert_same(signatures[key], signatures[np.array(same, np.int64)])


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("a", TypeError, "key: expected a position, .* got 'a'"),
        (b"a", TypeError, "key: expected a position, .* got b'a'"),
        (None, TypeError, "key: .* got None"),
        (1.0, TypeError, "key: .* got 1.0"),
        (True, TypeError, "key: .* got True"),
        ((1, 2), TypeError, r"key: .* got \(1, 2\)"),
        ([0.0], TypeError, "key: .* got float64"),
        ([[0], [1, 2]], TypeError, "key: "),
        ([None], TypeError, r"key: .* got \[None\]"),
        (slice("a", None), TypeError, "key: expected a slice of integers"),
        (slice(None, None, 0), TypeError, "key: expected a slice of integers"),
        (5, IndexError, "key: expected positions from -5 to 4, got 5"),
        (10**100, IndexError, "key: .* got a huge integer"),
        ([0, -6], IndexError, "key: expected positions from -5 to 4, got -6"),
        ([2**63], IndexError, "key: .* got 9223372036854775808"),
        ([True], IndexError, r"key: expected a mask of shape \(5,\), got shape \(1,\)"),
        (np.zeros((2, 2), int), IndexError, "key: expected one axis of positions"),
    ],
)
def test_other_keys_are_refused(key, error, message):
    with pytest.raises(error, match=message):
        made_signatures(5)[key]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint32, np.uint64, ">i4", list])
def test_label_maps_of_any_integers_give_the_same(dtype):
    maps = [np.arange(12, dtype=np.uint8).reshape(3, 4) % 5, np.full((2, 2), 4, np.uint8)]
    features = [GOOD[1]] * 2, [GOOD[2]] * 2
    expected = build_signatures(maps, *features, n_classes=6, void=4)
    if dtype is list:
        assert_same(build_signatures([m.tolist() for m in maps], *features, n_classes=6, void=4), expected)
        return
    assert_same(build_signatures([m.astype(dtype) for m in maps], *features, n_classes=6, void=4), expected)


def test_labels_beyond_a_byte_in_any_integers():
    label_map = np.array([[0, 300], [300, 65535]])
    for dtype in (np.uint16, np.int32, np.uint64):
        built = build_signatures([label_map.astype(dtype)], [GOOD[1]], [GOOD[2]], n_classes=301, void=65535)
        assert built.classes.tolist() == [0, 300]


def test_generators_stand_for_sequences():
    signatures = made_signatures(4)
    assert_same(Signatures.concatenate(one for one in signatures), signatures)
    assert Signatures(**{**COLUMNS, "ids": (i for i in (7, 8, 9))}).ids.tolist() == [7, 8, 9]
    columns = [list(column) for column in zip(GOOD, GOOD, strict=True)]
    built = build_signatures(*map(iter, columns), n_classes=6)
    assert_same(built, build_signatures(*columns, n_classes=6))
    assert len(Searcher(one for one in signatures)) == 4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"signatures": [[["1"]]]}, TypeError, "signatures: expected an array of real numbers, got <U1"),
        ({"signatures": np.ones((1, 1, 1), complex)}, TypeError, "signatures: .* got complex128"),
        ({"signatures": None}, TypeError, "signatures: .* got None"),
        ({"signatures": [[[1], [1, 2]]]}, ValueError, "signatures: expected an array of real numbers"),
        ({"signatures": [[[1e300]]]}, ValueError, "centroids: expected finite numbers"),
        ({"histograms": [["1"]]}, TypeError, "histograms: .* got <U1"),
        ({"histograms": [[1j]]}, TypeError, "histograms: .* got complex128"),
        ({"counts": [[1.5]]}, TypeError, "counts: expected an array of uint32, got float64"),
        ({"counts": [["1"]]}, TypeError, "counts: "),
        ({"ids": ["a"]}, TypeError, "ids: expected an array of int64, got <U1"),
        ({"ids": 3}, ValueError, "ids: expected 1 dimension"),
    ],
)
def test_from_dense_takes_real_numbers_only(change, error, message):
    with pytest.raises(error, match=message):
        Signatures.from_dense(**{"signatures": [[[1.0]]], "histograms": [[1.0]], **change})


def test_one_image_is_one_image():
    assert repr(Signatures(**COLUMNS)[0]).startswith("Signatures(1 image, 2 rows, ")
    assert repr(Searcher(made_signatures(1))) == "Searcher(1 image, n_classes=20, dim=8)"


@given(cuts=st.lists(st.integers(0, 10), max_size=4).map(sorted))
def test_concatenation_undoes_slicing(cuts):
    signatures = made_signatures(10)
    bounds = [0, *cuts, 10]
    parts = [signatures[a:b] for a, b in itertools.pairwise(bounds)]
    assert_same(Signatures.concatenate(parts), signatures)


def test_concatenation_refuses_what_does_not_belong_together():
    with pytest.raises(ValueError, match="at least one"):
        Signatures.concatenate([])
    with pytest.raises(ValueError, match="batches: expected n_classes=20 and dim=8 .* got 20 and 9"):
        Signatures.concatenate([made_signatures(2), made_signatures(2, dim=9)])
    with pytest.raises(ValueError, match="batches: expected each id once"):
        Signatures.concatenate([made_signatures(2), made_signatures(2)])
    joined = Signatures.concatenate([made_signatures(2), made_signatures(2)], ids=np.arange(4))
    assert joined.ids.tolist() == [0, 1, 2, 3]


def test_recipes_that_agree_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch):
    """A recipe has 150 class names; comparing them as text for each part would take longer than its work."""
    made = Recipe({"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}, (KAZE(),), 512)
    alike = [
        made,
        replace(made),
        pickle.loads(pickle.dumps(made)),
        replace(made, model={**made.model, "name": "n"}),
    ]
    columns = vars(made_signatures(2))
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "_flat", None)
        batches = [Signatures(**{**columns, "recipe": one}) for one in alike]
        assert len(Signatures.concatenate(batches, ids=np.arange(8))) == 8
    # Written another way, for example by another version, but the same.
    listed = replace(made, model={**made.model, "classes": tuple(made.model["classes"])})
    assert made.agrees(listed)
    assert not made.agrees(replace(made, long_side=99))
    with pytest.raises(ValueError, match="the same recipe in each, got different ones"):
        other = Signatures(**{**columns, "recipe": replace(made, features=(KAZE(upright=True),))})
        Signatures.concatenate([batches[0], other], ids=np.arange(4))


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
        (0, np.zeros((4, 4)), TypeError, "label_maps: image 1: .* integers, got float64"),
        (0, np.full((4, 4), -1), ValueError, "label_maps: image 1: .* from 0 to 65535, got -1 to -1"),
        (0, np.full((4, 4), 65536), ValueError, "label_maps: image 1: .* got 65536 to 65536"),
        (0, np.zeros((4, 0), np.uint8), ValueError, r"label_maps: image 1: .* got \(4, 0\)"),
        (0, np.zeros(4, np.uint8), ValueError, "label_maps: image 1"),
        (0, np.full((4, 4), 6, np.uint8), ValueError, "image 1.*6"),
        (1, np.zeros((2, 3), np.float32), ValueError, r"keypoints: image 1: expected shape \(n, 2\)"),
        (1, np.zeros((3, 2), np.float32), ValueError, "descriptors: image 1: expected 3 rows"),
        (1, np.array([[np.nan, 0], [0, 0]], np.float32), ValueError, "image 1"),
        (1, np.array([[np.inf, 0], [0, 0]], np.float32), ValueError, "image 1"),
        (1, np.array([["a", "b"]] * 2), TypeError, "keypoints: image 1: expected an array of real numbers"),
        (2, np.array([[0, 0, np.nan], [0, 0, 0]], np.float32), ValueError, "image 1"),
        (2, np.array([[0, 0, 0], [0, -np.inf, 0]], np.float32), ValueError, "image 1"),
        (2, np.zeros((2, 4), np.float32), ValueError, r"descriptors: image 1: expected shape \(n, 3\)"),
        (2, np.zeros((2, 0), np.float32), ValueError, "descriptors: image 1"),
    ],
)
def test_building_names_the_image_that_is_wrong(position, value, error, message):
    images = [list(GOOD), list(GOOD)]
    images[1][position] = value
    columns = [list(column) for column in zip(*images, strict=True)]
    with pytest.raises(error, match=message):
        build_signatures(*columns, n_classes=6)


def test_building_refuses_lists_of_different_lengths_and_odd_arguments():
    with pytest.raises(ValueError, match="keypoints: expected as many as label_maps, 1, got 0"):
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
