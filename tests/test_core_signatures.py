# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import build_signature
from semcbir import _core

DIMS = [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 64, 128]
DTYPES = [np.uint8, np.uint16]


class Images:
    """Random label maps, partly smooth, with keypoints that may lie outside."""

    def __init__(self, seed, n, dim, n_classes, void=-1, dtype=np.uint8, max_side=24):
        rng = np.random.default_rng(seed)
        self.dim, self.n_classes, self.void = dim, n_classes, void
        self.maps, self.keypoints, self.descriptors = [], [], []
        allowed = np.array([*range(n_classes), *([void] if void >= n_classes else [])])
        for _ in range(n):
            height, width = rng.integers(1, max_side, 2)
            scale = int(rng.integers(1, 9))
            small = rng.choice(allowed, (height // scale + 1, width // scale + 1))
            label_map = np.kron(small, np.ones((scale, scale), int))[:height, :width]
            self.maps.append(np.ascontiguousarray(label_map, dtype))
            count = int(rng.integers(0, 40))
            xy = rng.uniform(-3, max(height, width) + 3, (count, 2))
            xy[rng.random(count) < 0.3] //= 0.5  # on a border of two pixels
            self.keypoints.append(xy.astype(np.float32))
            self.descriptors.append(rng.standard_normal((count, dim)).astype(np.float32))

    def build(self, threads=1):
        return _core.build_signatures(
            self.maps, self.keypoints, self.descriptors, self.dim, self.n_classes, self.void, threads
        )

    def check(self, built):
        offsets, classes, proportions, counts, centroids = built
        assert [a.dtype for a in built] == [np.int64, np.uint16, np.float32, np.uint32, np.float32]
        assert centroids.shape == (len(classes), self.dim)
        assert offsets.shape == (len(self.maps) + 1,)
        assert offsets[0] == 0
        assert offsets[-1] == len(classes) == len(proportions) == len(counts)
        for i, image in enumerate(zip(self.maps, self.keypoints, self.descriptors, strict=True)):
            rows = build_signature(*image, self.n_classes, self.void)
            mine = slice(offsets[i], offsets[i + 1])
            assert classes[mine].tolist() == [row[0] for row in rows]
            assert proportions[mine].tolist() == [row[1] for row in rows]
            assert counts[mine].tolist() == [row[2] for row in rows]
            if rows:
                np.testing.assert_array_equal(centroids[mine], np.stack([row[3] for row in rows]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", DIMS)
def test_every_dimension_and_level(dim, dtype, level):
    images = Images(dim, 5, dim, 9, dtype=dtype)
    images.check(images.build())


@pytest.mark.parametrize("void", [-1, 0, 4, 8, 200])
@pytest.mark.parametrize("dtype", DTYPES)
def test_void_label(dtype, void):
    images = Images(3, 20, 5, 9, void, dtype)
    images.check(images.build())


def test_labels_above_255():
    images = Images(1, 10, 4, 65536, 65535, np.uint16)
    images.check(images.build())


@pytest.mark.parametrize("threads", [2, 7])
def test_threads_change_nothing(threads):
    images = Images(5, 50, 36, 20)
    for one, many in zip(images.build(), images.build(threads), strict=True):
        assert one.tobytes() == many.tobytes()


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 6),
    dim=st.integers(1, 40),
    n_classes=st.integers(1, 30),
    void=st.integers(-1, 255),
    dtype=st.sampled_from(DTYPES),
    threads=st.sampled_from([1, 2, 7]),
)
def test_equals_algorithm_1(seed, n, dim, n_classes, void, dtype, threads):
    images = Images(seed, n, dim, n_classes, void, dtype, max_side=12)
    images.check(images.build(threads))


def test_a_photo_sized_image():
    images = Images(9, 1, 64, 150, max_side=2)
    rng = np.random.default_rng(9)
    images.maps = [np.kron(rng.integers(0, 150, (8, 12)), np.ones((32, 32), int)).astype(np.uint8)]
    images.keypoints = [rng.uniform(0, (384, 256), (500, 2)).astype(np.float32)]
    images.descriptors = [rng.standard_normal((500, 64)).astype(np.float32)]
    images.check(images.build())


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [
        (0, 0, 0), (0.49, 0.49, 0), (0.5, 0, 1), (0, 0.5, 2), (0.5, 0.5, 3), (1.49, 1.49, 3),
        (-0.5, -0.5, 0), (-1e30, 0, 0), (1e30, 0, 1), (5, 5, 3),
        (np.nextafter(np.float32(0.5), np.float32(0)), 0, 0),
    ],
)  # fmt: skip
def test_pixel_that_a_keypoint_lies_on(x, y, label):
    label_map = np.array([[0, 1], [2, 3]], np.uint8)
    point = np.array([[x, y]], np.float32)
    counts = _core.build_signatures([label_map], [point], [np.ones((1, 1), np.float32)], 1, 4, -1, 1)[3]
    assert counts.tolist() == [int(c == label) for c in range(4)]


def test_means_are_accumulated_in_double():
    values = np.array([[1e8], [1.0], [-1e8], [1.0]], np.float32)
    label_map = np.zeros((1, 1), np.uint8)
    centroids = _core.build_signatures([label_map], [np.zeros((4, 2), np.float32)], [values], 1, 1, -1, 1)[4]
    assert centroids.tolist() == [[0.5]]


def no_keypoints(dim=3):
    return np.zeros((0, 2), np.float32), np.zeros((0, dim), np.float32)


def test_an_image_without_keypoints_has_null_vectors():
    points, vectors = no_keypoints()
    label_map = np.array([[5, 5, 5, 2]], np.uint8)
    built = _core.build_signatures([label_map], [points], [vectors], 3, 6, -1, 1)
    assert [a.tolist() for a in built] == [[0, 2], [2, 5], [0.25, 0.75], [0, 0], [[0.0] * 3] * 2]


def test_an_image_that_is_all_void_has_no_rows():
    label_map = np.full((3, 4), 255, np.uint8)
    point, vector = np.zeros((1, 2), np.float32), np.ones((1, 3), np.float32)
    built = _core.build_signatures([label_map], [point], [vector], 3, 6, 255, 1)
    assert [a.tolist() for a in built] == [[0, 0], [], [], [], []]
    assert built[4].shape == (0, 3)


def test_no_images():
    built = _core.build_signatures([], [], [], 3, 6, -1, 2)
    assert [a.shape for a in built] == [(1,), (0,), (0,), (0,), (0, 3)]


GOOD = {
    "label_maps": [np.zeros((2, 3), np.uint8)] * 3,
    "keypoints": [np.ones((4, 2), np.float32)] * 3,
    "descriptors": [np.ones((4, 5), np.float32)] * 3,
    "dim": 5,
    "n_classes": 2,
    "void": -1,
    "threads": 2,
}


def with_one(values, value):
    """The third of three replaced."""
    return [*values[:2], value]


def changed(array, value):
    array = array.copy()
    array[(-1,) * array.ndim] = value
    return array


BAD = [
    ("label_maps", changed(GOOD["label_maps"][0], 2), ValueError, r"2: label map: .*n_classes = 2, got 2"),
    ("label_maps", np.zeros((2, 3), np.int64), TypeError, "image 2: label map: .*uint8 or uint16, got int64"),
    ("label_maps", np.zeros((2, 3), ">u2"), TypeError, "image 2: label map: .*got >u2"),
    ("label_maps", [[0, 0]], TypeError, "image 2: label map: .*got list"),
    ("label_maps", np.zeros(6, np.uint8), ValueError, r"image 2: label map: .*\(any, any\), got \(6,\)"),
    ("label_maps", np.zeros((2, 3, 1), np.uint8), ValueError, r"got \(2, 3, 1\)"),
    ("label_maps", np.zeros((0, 3), np.uint8), ValueError, "image 2: label map: .*one pixel, got 0 x 3"),
    ("label_maps", np.zeros((3, 2), np.uint8).T, ValueError, "image 2: label map: .*C-contiguous"),
    ("keypoints", changed(GOOD["keypoints"][0], np.nan), ValueError, "image 2: keypoints: .*keypoint 3"),
    ("keypoints", changed(GOOD["keypoints"][0], np.inf), ValueError, "image 2: keypoints: .*finite"),
    ("keypoints", np.ones((4, 3), np.float32), ValueError, r"image 2: keypoints: .*\(any, 2\), got \(4, 3\)"),
    ("keypoints", np.ones((4, 2)), TypeError, "image 2: keypoints: expected dtype float32, got float64"),
    ("keypoints", None, TypeError, "image 2: keypoints: .*NumPy array of float32, got NoneType"),
    ("descriptors", changed(GOOD["descriptors"][0], np.nan), ValueError, "2: descriptors: .*keypoint 3"),
    ("descriptors", changed(GOOD["descriptors"][0], -np.inf), ValueError, "image 2: descriptors: .*finite"),
    ("descriptors", np.ones((3, 5), np.float32), ValueError, r"2: descriptors: .*\(4, 5\), got \(3, 5\)"),
    ("descriptors", np.ones((4, 6), np.float32), ValueError, r"\(4, 5\), got \(4, 6\)"),
    ("descriptors", np.ones((5, 4), np.float32).T, ValueError, "image 2: descriptors: .*C-contiguous"),
    ("descriptors", np.ones((4, 10), np.float32)[:, ::2], ValueError, "C-contiguous"),
]  # fmt: skip


def test_the_good_example_is_good():
    assert len(_core.build_signatures(**GOOD)[0]) == 4


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD)
def test_a_bad_image_is_named(name, value, error, message):
    with pytest.raises(error, match=message):
        _core.build_signatures(**{**GOOD, name: with_one(GOOD[name], value)})


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("dim", 0, ValueError, "dim: expected at least 1, got 0"),
        ("dim", 4, ValueError, r"image 0: descriptors: .*\(4, 4\), got \(4, 5\)"),
        ("n_classes", 0, ValueError, "n_classes: expected at least 1, got 0"),
        ("n_classes", 65537, ValueError, "n_classes: expected 1 to 65536, got 65537"),
        ("void", -2, ValueError, r"void: expected -1 \(none\) to 65535, got -2"),
        ("void", 65536, ValueError, "void: .*got 65536"),
        ("threads", 0, ValueError, "threads: expected 1 to 1024, got 0"),
        ("threads", 1025, ValueError, "threads: .*got 1025"),
        ("threads", 1.5, TypeError, "incompatible function arguments"),
        ("keypoints", GOOD["keypoints"][:2], ValueError, "as many label maps.*got 3, 2 and 3"),
        ("descriptors", [], ValueError, "as many label maps.*got 3, 3 and 0"),
        ("label_maps", None, TypeError, "incompatible function arguments"),
    ],
)
def test_bad_arguments(name, value, error, message):
    with pytest.raises(error, match=message):
        _core.build_signatures(**{**GOOD, name: value})


def test_of_several_bad_images_the_first_is_named():
    maps = [np.full((2, 3), int(i in (11, 12, 40)) * 9, np.uint8) for i in range(50)]
    points, vectors = no_keypoints()
    for _ in range(20):
        with pytest.raises(ValueError, match="image 11: "):
            _core.build_signatures(maps, [points] * 50, [vectors] * 50, 3, 9, -1, 7)


def test_unaligned_arrays_are_refused():
    raw = np.zeros(4 * 5 * 4 + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(4, 5)
    assert not unaligned.flags.aligned
    with pytest.raises(ValueError, match=r"image 2: descriptors: .*aligned"):
        _core.build_signatures(**{**GOOD, "descriptors": with_one(GOOD["descriptors"], unaligned)})
