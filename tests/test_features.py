# SPDX-License-Identifier: MIT
"""KAZE, SURF, SIFT, HOG: where the keypoints are, and what odd images do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from semcbir.features import HOG, KAZE, SIFT, SURF, Feature, LocalFeature, LocalFeatures, extract_features
from semcbir.images.decode import load_image

Grey = npt.NDArray[np.uint8]
ALL = [KAZE(), SURF(implementation="mahotas"), SIFT(), HOG()]
DIMS = {"kaze": 64, "surf": 64, "sift": 128, "hog": 36}
each_feature = pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)


def texture(height: int = 160, width: int = 220, seed: int = 0) -> Grey:
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def bits(found: LocalFeatures) -> bytes:
    return found.keypoints.tobytes() + found.descriptors.tobytes()


@contextmanager
def opencv_threads(threads: int) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


# --- What comes out -----------------------------------------------------------------------------------------


@each_feature
def test_shapes_types_and_ranges(feature: Feature) -> None:
    found = feature.detect_and_compute(texture())
    assert feature.dim == DIMS[feature.name]
    assert len(found) == len(found.keypoints) > 20
    assert found.keypoints.shape == (len(found), 2)
    assert found.descriptors.shape == (len(found), feature.dim)
    assert found.keypoints.dtype == found.descriptors.dtype == np.float32
    assert found.keypoints.flags.c_contiguous
    assert found.descriptors.flags.c_contiguous
    assert np.isfinite(found.descriptors).all()
    assert (found.keypoints >= 0).all()
    assert (found.keypoints < (220, 160)).all()
    assert found.keypoints[:, 0].max() > 160  # x runs along the longer side


@pytest.mark.parametrize("feature", ALL[:3], ids=lambda feature: feature.name)
def test_a_blob_is_found_where_it_is(feature: Feature) -> None:
    y, x = np.mgrid[:256, :384]
    grey = (40 + 180 * np.exp(-((x - 250) ** 2 + (y - 100) ** 2) / (2 * 6.0**2))).astype(np.uint8)
    found = feature.detect_and_compute(grey)
    assert np.hypot(*(found.keypoints - (250, 100)).T).min() < 1


@each_feature
def test_descriptors_belong_to_their_keypoints(feature: Feature) -> None:
    # A texture and its shift by whole blocks: what stands at p stands at p + shift, with the same descriptor.
    large = texture(300, 400)
    one, two = large[16:216, 32:332], large[:200, :300]
    a, b = feature.detect_and_compute(one), feature.detect_and_compute(two)
    places = {(round(float(x), 1), round(float(y), 1)): row for row, (x, y) in enumerate(b.keypoints)}
    same = [
        (row, places[key])
        for row, (x, y) in enumerate(a.keypoints)
        if 60 < x < 220
        and 60 < y < 120
        and (key := (round(float(x) + 32, 1), round(float(y) + 16, 1))) in places
    ]
    assert len(same) >= 5
    gaps = [np.linalg.norm(a.descriptors[i] - b.descriptors[j]) for i, j in same]
    lengths = [np.linalg.norm(a.descriptors[i]) for i, _ in same]
    assert np.median(gaps) < 0.15 * np.median(lengths)


@pytest.mark.parametrize("dot", [(3, 5), (30, 20), (77, 12), (15, 47), (64, 41), (79, 55)])
def test_hog_keypoints_are_the_centres_of_their_blocks(dot: tuple[int, int]) -> None:
    width, height, (x, y) = 84, 61, dot
    grey = np.full((height, width), 50, np.uint8)
    grey[y, x] = 255
    found = HOG().detect_and_compute(grey)
    columns, rows = (width - 16) // 8 + 1, (height - 16) // 8 + 1
    assert len(found) == columns * rows
    # A lone dot has a gradient at its four neighbours, and in no other pixel.
    edges = [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]
    touched = {
        (8 * bx + 7.5, 8 * by + 7.5)
        for bx in range(columns)
        for by in range(rows)
        if any(8 * bx <= ex < 8 * bx + 16 and 8 * by <= ey < 8 * by + 16 for ex, ey in edges)
    }
    lively = found.descriptors.any(axis=1)
    assert {(float(px), float(py)) for px, py in found.keypoints[lively]} == touched
    assert touched


def test_hog_with_other_sizes_keeps_its_geometry() -> None:
    hog = HOG(block_size=24, block_stride=12, cell_size=12, n_bins=6)
    assert hog.dim == 24
    grey = np.zeros((60, 73), np.uint8)
    grey[14, 50] = 255
    found = hog.detect_and_compute(grey)
    assert len(found) == 5 * 4
    near = np.abs(found.keypoints - (50, 14)).max(axis=1) < 12
    assert found.descriptors[near].any(axis=1).all()
    assert not found.descriptors[~near].any()


def test_hog_tells_orientations_apart() -> None:
    stripes = np.tile(np.array([0, 0, 255, 255], np.uint8), (64, 16))
    upright, lying = HOG().detect_and_compute(stripes), HOG().detect_and_compute(stripes.T.copy())
    inner = np.abs(upright.descriptors.reshape(-1, 4, 9)).sum(axis=(0, 1)).argmax()
    outer = np.abs(lying.descriptors.reshape(-1, 4, 9)).sum(axis=(0, 1)).argmax()
    assert abs(int(inner) - int(outer)) in (4, 5)  # half of the nine bins


@each_feature
def test_tiny_and_narrow_images_are_valid(feature: Feature) -> None:
    random = np.random.default_rng(0)
    sides = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 40]
    for shape in [(height, width) for height in sides for width in sides] + [(1, 2000), (2000, 3)]:
        for grey in (random.integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8)):
            found = feature.detect_and_compute(grey)
            assert found.keypoints.shape == (len(found), 2)
            assert found.descriptors.shape == (len(found), feature.dim)
            if min(shape) < 8:
                assert len(found) == 0


@each_feature
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images_have_nothing_to_say(feature: Feature, value: int) -> None:
    found = feature.detect_and_compute(np.full((120, 150), value, np.uint8))
    if feature.name == "hog":  # dense: a descriptor everywhere, here the null vector
        assert len(found) == 17 * 14
        assert not found.descriptors.any()
    else:
        assert len(found) == 0


@each_feature
def test_same_bits_for_any_number_of_threads(feature: Feature) -> None:
    images = [texture(200, 300, seed) for seed in range(3)]
    with opencv_threads(1):
        expected = [bits(feature.detect_and_compute(image)) for image in images]
    for threads in (2, 3, 7):
        with opencv_threads(threads):
            assert [bits(feature.detect_and_compute(image)) for image in images] == expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bits, pool.map(feature.detect_and_compute, images * 4))) == expected * 4


@each_feature
def test_same_bits_on_real_photos(feature: Feature, wang_dir: Path) -> None:
    for number in (5, 333, 720):
        grey = cv2.cvtColor(load_image(wang_dir / f"{number}.jpg"), cv2.COLOR_RGB2GRAY)
        with opencv_threads(1):
            one = feature.detect_and_compute(grey)
        with opencv_threads(2):
            assert bits(feature.detect_and_compute(grey)) == bits(one)
        assert len(one) > 50


def test_surf_is_that_of_mahotas() -> None:
    mahotas = pytest.importorskip("mahotas.features.surf")
    expected = mahotas.surf(texture(), threshold=0.5, max_points=100)
    found = SURF(implementation="mahotas", hessian_threshold=0.5, max_points=100).detect_and_compute(
        texture()
    )
    np.testing.assert_array_equal(found.keypoints, expected[:, [1, 0]].astype(np.float32))
    np.testing.assert_array_equal(found.descriptors, expected[:, 6:].astype(np.float32))


def test_defaults_are_opencvs() -> None:
    kaze, sift = cv2.KAZE_create(), cv2.SIFT_create()
    assert KAZE() == KAZE(
        extended=kaze.getExtended(),
        upright=kaze.getUpright(),
        threshold=round(kaze.getThreshold(), 7),
        n_octaves=kaze.getNOctaves(),
        n_octave_layers=kaze.getNOctaveLayers(),
    )
    assert SIFT() == SIFT(
        n_octave_layers=sift.getNOctaveLayers(),
        contrast_threshold=sift.getContrastThreshold(),
        edge_threshold=sift.getEdgeThreshold(),
        sigma=sift.getSigma(),
    )


@pytest.mark.parametrize(
    "other",
    [
        KAZE(extended=True),
        KAZE(upright=True),
        KAZE(threshold=0.01),
        KAZE(n_octaves=1),
        KAZE(n_octave_layers=2),
        KAZE(diffusivity="weickert"),
        SURF(implementation="mahotas", hessian_threshold=100.0),
        SURF(implementation="mahotas", n_octaves=1),
        SURF(implementation="mahotas", n_octave_layers=4),
        SURF(implementation="mahotas", max_points=10),
        SIFT(n_features=10),
        SIFT(n_octave_layers=1),
        SIFT(contrast_threshold=0.1),
        SIFT(edge_threshold=3.0),
        SIFT(sigma=2.5),
        HOG(block_size=32),
        HOG(block_stride=16),
        HOG(cell_size=4),
        HOG(n_bins=6),
        HOG(signed_gradient=True),
        HOG(gamma_correction=True),
    ],
    ids=repr,
)
def test_every_parameter_does_something(other: Feature) -> None:
    default = next(feature for feature in ALL if feature.name == other.name)
    grey = texture(320, 440)
    found = other.detect_and_compute(grey)
    assert found.descriptors.shape == (len(found), other.dim)
    assert len(found) > 0
    same = bits(found) == bits(default.detect_and_compute(grey))
    assert not same


# --- Several at once ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorder(LocalFeature):
    """Gives back what it is told to and remembers what it saw."""

    name: ClassVar[str] = "recorder"
    keypoints: Any = ()
    descriptors: Any = ()
    seen: list[Grey] = field(default_factory=list)

    @property
    def dim(self) -> int:
        return 2

    def check_available(self) -> None:
        pass

    def _compute(self, grey: Grey) -> tuple[Any, Any]:
        self.seen.append(grey)
        return np.array(self.keypoints, float).reshape(-1, 2), np.array(self.descriptors, float).reshape(
            -1, 2
        )


def test_rows_that_are_not_finite_are_left_out() -> None:
    nan, inf = np.nan, np.inf
    recorder = Recorder(
        [(1, 2), (3, 4), (5, 6), (7, nan), (9, 10)], [(1, 1), (nan, 1), (1, -inf), (2, 2), (3, 3)]
    )
    found = recorder.detect_and_compute(texture())
    assert found.keypoints.tolist() == [[1, 2], [9, 10]]
    assert found.descriptors.tolist() == [[1, 1], [3, 3]]


def test_several_features_see_the_same_grey_image() -> None:
    image = np.dstack([texture(seed=1), texture(seed=2), texture(seed=3)])
    recorder = Recorder()
    found = extract_features(image, (KAZE(), recorder, HOG()))
    assert list(found) == ["kaze", "recorder", "hog"]
    (grey,) = recorder.seen
    assert np.abs(grey - image @ np.array([0.299, 0.587, 0.114])).max() < 1
    assert bits(found["kaze"]) == bits(KAZE().detect_and_compute(grey))
    assert bits(found["hog"]) == bits(HOG().detect_and_compute(grey))


@pytest.mark.parametrize("call", [lambda array: extract_features(array, [KAZE()]), KAZE().detect_and_compute])
def test_images_are_checked(call: Any) -> None:
    with pytest.raises(TypeError, match="uint8 array, got list"):
        call([[1, 2]])
    with pytest.raises(TypeError, match="dtype uint8, got float32"):
        call(np.zeros((5, 5), np.float32))
    for shape in ((5,), (0, 5), (0, 5, 3), (5, 5, 4), (1, 5, 5, 3)):
        with pytest.raises(ValueError, match=r"expected an? .* image of shape .*, got shape"):
            call(np.zeros(shape, np.uint8))


def test_images_may_be_views() -> None:
    large = texture(320, 440)
    assert bits(SIFT().detect_and_compute(large[::2, ::2])) == bits(
        SIFT().detect_and_compute(large[::2, ::2].copy())
    )
