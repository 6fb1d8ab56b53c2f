# SPDX-License-Identifier: MIT
"""KAZE, SURF, SIFT, HOG: names, parameters, recipes, and what is not installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from semcbir.errors import SemcbirError
from semcbir.features import (
    FEATURES,
    HOG,
    KAZE,
    SIFT,
    SURF,
    Feature,
    LocalFeatures,
    feature_from_dict,
    parse_features,
)
from semcbir.features import hog as hog_module
from semcbir.features import surf as surf_module

Grey = npt.NDArray[np.uint8]
ALL = [KAZE(), SURF(implementation="mahotas"), SIFT(), HOG()]


def texture(height: int = 160, width: int = 220, seed: int = 0) -> Grey:
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def bits(found: LocalFeatures) -> bytes:
    return found.keypoints.tobytes() + found.descriptors.tobytes()


def test_parse_features() -> None:
    assert parse_features("kaze, HOG") == (KAZE(), HOG())
    assert parse_features(["sift", KAZE(upright=True)]) == (SIFT(), KAZE(upright=True))
    assert parse_features(HOG(n_bins=12)) == (HOG(n_bins=12),)
    assert parse_features(iter(["surf"])) == (SURF(),)
    assert parse_features({"hog": 0.6, "sift": 0.5}) == (HOG(), SIFT())  # figures by feature


@pytest.mark.parametrize("features", ["orb", "", "kaze,", "kaze,orb", ["kaze", "x"]])
def test_unknown_names_list_the_known(features: Any) -> None:
    with pytest.raises(ValueError, match="features: expected some of deep, kaze, surf, sift, hog, got"):
        parse_features(features)


def test_none_twice_and_other_things() -> None:
    with pytest.raises(ValueError, match="at least one"):
        parse_features([])
    with pytest.raises(ValueError, match="features: expected each once, got kaze, hog, kaze"):
        parse_features(["kaze", "hog", KAZE(upright=True)])
    with pytest.raises(TypeError, match="features: expected names or features, got 3"):
        parse_features(["kaze", 3])  # type: ignore[list-item]


CHANGED = [
    KAZE(extended=True, threshold=0.01, diffusivity="charbonnier"),
    SURF(implementation="mahotas", hessian_threshold=2.5, n_octaves=3),
    SIFT(n_features=100, sigma=1.2),
    HOG(block_size=32, cell_size=16, n_bins=12, signed_gradient=True),
]


@pytest.mark.parametrize("feature", ALL + CHANGED, ids=repr)
def test_parameters_survive_json(feature: Feature) -> None:
    described = feature.to_dict()
    assert described["name"] == feature.name
    assert None not in described.values()
    again = feature_from_dict(json.loads(json.dumps(described)))
    assert again == feature
    assert hash(again) == hash(feature)
    assert again.dim == feature.dim


def test_equal_parameters_have_equal_json_whatever_their_types() -> None:
    numpy = SIFT(n_features=np.int64(5), sigma=np.float64(2), edge_threshold=10)  # type: ignore[arg-type]
    assert json.dumps(numpy.to_dict()) == json.dumps(SIFT(n_features=5, sigma=2.0).to_dict())
    assert json.dumps(KAZE(upright=np.bool_(True)).to_dict()) == json.dumps(KAZE(upright=True).to_dict())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({}, "got None"),
        ({"name": "orb"}, "got 'orb'"),
        ({"name": ["kaze"]}, r"got \['kaze'\]"),
        ({"name": "kaze", "speed": 3}, "kaze: unknown parameters speed"),
        ({"name": "kaze", "threshold": -1}, "threshold: expected a finite number of at least 0"),
    ],
)
def test_descriptions_are_checked(described: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        feature_from_dict(described)


@pytest.mark.parametrize(
    ("kind", "name", "value", "error"),
    [
        (KAZE, "threshold", float("nan"), ValueError),
        (KAZE, "threshold", "0.1", TypeError),
        (KAZE, "n_octaves", 0, ValueError),
        (KAZE, "n_octaves", 2.0, TypeError),
        (KAZE, "n_octave_layers", True, TypeError),
        (KAZE, "upright", 1, TypeError),
        (KAZE, "diffusivity", "pm_g3", ValueError),
        (SURF, "implementation", "dlib", ValueError),
        (SURF, "hessian_threshold", -0.1, ValueError),
        (SURF, "max_points", 0, ValueError),
        (SIFT, "n_features", -1, ValueError),
        (SIFT, "sigma", 0.0, ValueError),
        (SIFT, "contrast_threshold", float("inf"), ValueError),
        (HOG, "block_size", 12, ValueError),
        (HOG, "cell_size", 0, ValueError),
        (HOG, "block_stride", 0, ValueError),
        (HOG, "n_bins", 1, ValueError),
        (KAZE, "n_octaves", 9, ValueError),
        (KAZE, "n_octave_layers", 17, ValueError),
        (SURF, "n_octaves", 9, ValueError),
        (SURF, "n_octave_layers", 17, ValueError),
        (SURF, "max_points", 2**31, ValueError),
        (SIFT, "n_features", 2**31, ValueError),
        (SIFT, "n_octave_layers", 17, ValueError),
        (SIFT, "sigma", 10.001, ValueError),
        (HOG, "block_size", 520, ValueError),
        (HOG, "cell_size", 513, ValueError),
        (HOG, "block_stride", 513, ValueError),
        (HOG, "n_bins", 181, ValueError),
    ],
)
def test_parameters_are_checked(
    kind: type[Feature], name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"{name}: expected"):
        kind(**{name: value})


# Every bound, alone and with those that make it worse: a recipe may come from anywhere.
AT_BOUNDS = [
    KAZE(n_octaves=8, n_octave_layers=1, threshold=0.0),
    KAZE(n_octaves=4, n_octave_layers=16, threshold=0.0, extended=True),
    KAZE(n_octaves=1, n_octave_layers=1),
    KAZE(threshold=1e300),
    SURF(implementation="mahotas", n_octaves=8, hessian_threshold=0.0, max_points=2**31 - 1),
    SURF(implementation="mahotas", n_octaves=8, n_octave_layers=16),
    SURF(implementation="mahotas", n_octaves=8, n_octave_layers=1),
    SURF(implementation="mahotas", n_octaves=8, n_octave_layers=2),
    SURF(implementation="mahotas", n_octaves=1, n_octave_layers=1),
    SURF(implementation="mahotas", hessian_threshold=1e300),
    SIFT(n_features=2**31 - 1, n_octave_layers=16, contrast_threshold=0.0),
    SIFT(n_octave_layers=16, sigma=10.0),
    SIFT(n_octave_layers=1, sigma=10.0, contrast_threshold=0.0),
    SIFT(sigma=0.1, edge_threshold=1e300),
    SIFT(contrast_threshold=1e300, edge_threshold=0.0),
    HOG(block_size=512, block_stride=512, cell_size=512, n_bins=180),
    HOG(block_size=512, block_stride=1, cell_size=512, n_bins=4),
    HOG(block_size=16, block_stride=16, cell_size=1, n_bins=64),
    HOG(block_size=2, block_stride=1, cell_size=2, n_bins=4),
    HOG(block_size=2, block_stride=512, cell_size=1, n_bins=180),
]


@pytest.mark.parametrize("feature", AT_BOUNDS, ids=repr)
def test_parameters_at_their_bounds_can_be_computed(feature: Feature) -> None:
    for height, width in ((1, 1), (64, 64), (512, 512)):
        grey = texture(height, width) if height > 1 else np.ones((1, 1), np.uint8)
        found = feature.detect_and_compute(grey)
        assert found.descriptors.shape == (len(found), feature.dim)


@pytest.mark.slow
def test_the_most_of_kazes_scale_space_can_be_computed() -> None:
    assert len(KAZE(n_octaves=8, n_octave_layers=8).detect_and_compute(texture(512, 512)))


def test_parameters_that_only_together_are_too_much_are_refused() -> None:
    with pytest.raises(ValueError, match="n_octave_layers: expected at most 8 with 8 octaves, got 9"):
        KAZE(n_octaves=8, n_octave_layers=9)
    with pytest.raises(ValueError, match="descriptors of 4 to 16384 numbers, got 16640"):
        HOG(block_size=16, cell_size=1, n_bins=65)
    with pytest.raises(ValueError, match="descriptors of 4 to 16384 numbers, got 3"):
        HOG(block_size=8, cell_size=8, n_bins=3)  # OpenCV crashes


def test_images_of_too_many_blocks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = texture(512, 512)
    with pytest.raises(ValueError, match="HOG takes too much for an image of 512 x 512 pixels: 247009 b"):
        HOG(block_size=16, block_stride=1, cell_size=1, n_bins=20).detect_and_compute(grey)
    hog = HOG()
    (blocks, dim), pixels = hog.detect_and_compute(grey).descriptors.shape, 16 * 16
    for name, most in (("_MOST_NUMBERS", blocks * dim), ("_MOST_PIXELS", blocks * pixels)):
        with monkeypatch.context() as patch:
            patch.setattr(hog_module, name, most)
            assert len(hog.detect_and_compute(grey)) == blocks
            patch.setattr(hog_module, name, most - 1)
            with pytest.raises(ValueError, match="choose a larger block_stride or a smaller long_side"):
                hog.detect_and_compute(grey)


# --- Other implementations ----------------------------------------------------------------------------------


class FakeSURF:
    """Keypoints of SIFT under SURF's interface, the weakest first."""

    def detect(self, grey: Grey, mask: None) -> list[cv2.KeyPoint]:
        return sorted(cv2.SIFT_create().detect(grey, mask), key=lambda point: point.response)

    def compute(self, grey: Grey, points: list[cv2.KeyPoint]) -> tuple[list[cv2.KeyPoint], Any]:
        points, vectors = cv2.SIFT_create().compute(grey, points)
        return points, None if vectors is None else vectors[:, :64]


@pytest.fixture
def nonfree(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """An OpenCV with SURF; what SURF_create was called with."""
    calls: list[dict[str, Any]] = []

    def create(**options: Any) -> FakeSURF:
        calls.append(options)
        return FakeSURF()

    surf_module._opencv_has_surf.cache_clear()
    monkeypatch.setattr(cv2, "xfeatures2d", SimpleNamespace(SURF_create=create), raising=False)
    yield calls
    surf_module._opencv_has_surf.cache_clear()


def test_auto_becomes_opencvs_surf_where_it_works(nonfree: list[dict[str, Any]]) -> None:
    surf = SURF(max_points=7)
    assert surf == SURF("opencv", 100.0, 4, 3, 7)
    found = surf.detect_and_compute(texture())
    assert nonfree[-1] == {"hessianThreshold": 100.0, "nOctaves": 4, "nOctaveLayers": 3}
    strongest = sorted(cv2.SIFT_create().detect(texture(), None), key=lambda point: -point.response)[:7]
    assert sorted(map(tuple, found.keypoints.tolist())) == sorted(point.pt for point in strongest)
    assert len(surf.detect_and_compute(np.zeros((50, 50), np.uint8))) == 0


def test_auto_becomes_mahotas_where_opencvs_surf_only_seems_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def patented() -> None:
        raise cv2.error("This algorithm is patented and is excluded in this configuration")

    surf_module._opencv_has_surf.cache_clear()
    monkeypatch.setattr(cv2, "xfeatures2d", SimpleNamespace(SURF_create=patented), raising=False)
    try:
        assert SURF() == SURF("mahotas", 0.1, 4, 6, 1024)
    finally:
        surf_module._opencv_has_surf.cache_clear()


def test_recipe_of_another_implementation_can_be_read_but_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surf_module, "_opencv_has_surf", lambda: False)
    surf = feature_from_dict({"name": "surf", "implementation": "opencv"})
    with pytest.raises(SemcbirError, match="this OpenCV has no SURF"):
        surf.detect_and_compute(texture())
    with pytest.raises(SemcbirError, match="this OpenCV has no SURF"):
        parse_features([surf])


def test_surf_without_mahotas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surf_module, "_has_module", lambda name: False)
    with pytest.raises(SemcbirError, match="pip install mahotas"):
        parse_features([SURF(implementation="mahotas")])


@pytest.mark.parametrize(("name", "attribute"), [("kaze", "KAZE_create"), ("hog", "HOGDescriptor")])
def test_opencv_5(monkeypatch: pytest.MonkeyPatch, name: str, attribute: str) -> None:
    expected = FEATURES[name]().detect_and_compute(texture())
    original = getattr(cv2, attribute)
    monkeypatch.delattr(cv2, attribute)
    monkeypatch.setattr(cv2, "xfeatures2d", SimpleNamespace(), raising=False)
    with pytest.raises(SemcbirError, match=rf"OpenCV .* has no {name.upper()}: pip install"):
        parse_features(name)
    with pytest.raises(SemcbirError, match="pip install"):
        FEATURES[name]().detect_and_compute(texture())
    monkeypatch.setattr(cv2, "xfeatures2d", SimpleNamespace(**{attribute: original}))
    assert bits(FEATURES[name]().detect_and_compute(texture())) == bits(expected)
