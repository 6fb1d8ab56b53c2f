# SPDX-License-Identifier: MIT
"""Flips, scales, windows and other classes, compared with plain float64 versions of the published testers."""

from __future__ import annotations

import math
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from semcbir import Index
from semcbir.errors import ModelError
from semcbir.extractor import Extractor
from semcbir.inference import network
from semcbir.inference.canvas import scale
from semcbir.networks.bounds import MAX_PASSES
from semcbir.networks.card import ModelCard, with_inference
from semcbir.networks.presets import PRESETS, inference_of, preset
from semcbir.networks.specs import InferenceSpec, SizeSpec
from semcbir.segmentation import averaging
from semcbir.segmentation.segmenter import Segmenter
from test_labelling import upsampled
from tiny_models import CLASSES, MEAN, STD, tiny_model

RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32)  # no symmetry: a wrong flip or shift shows
BIAS = RNG.normal(size=5).astype(np.float32)
SIZE = {"rule": "long_side", "length": 33, "multiple": 8, "offset": 1}
TAXONOMY = {"warm": ("red",), "cold": ("blue", "green"), "none": ()}


def network_of_texture(batch: str | int = "N") -> onnx.ModelProto:
    """Maps normalised (N, 3, H, W) to scores at stride 4, each from a 3 x 3 neighbourhood."""
    shape = {"kernel_shape": [3, 3], "strides": [4, 4], "pads": [1, 1, 1, 1]}
    node = helper.make_node("Conv", ["image", "w", "b"], ["s"], **shape)
    graph = helper.make_graph(
        [node],
        "texture",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, "H", "W"])],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, [batch, 5, "h", "w"])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def texture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texture_model(tmp_path_factory.mktemp("texture") / "t.onnx")


def texture_model(path: Path, **changes: Any) -> Path:
    changes = {"masked": [], "size": SIZE} | changes
    return tiny_model(path, "logits", network=network_of_texture(), **changes)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((5, 5, 1), np.uint8))[:height, :width])


def scores_of(canvas: np.ndarray) -> np.ndarray:
    """What the network gives for a canvas (H, W, 3) of 0..255, in float64: (5, h, w)."""
    x = np.pad(((canvas / 255 - MEAN) / STD).transpose(2, 0, 1), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::4, ::4]
    return np.einsum("cyxij,kcij->kyx", windows, WEIGHTS.astype(np.float64)) + BIAS[:, None, None]


def resized(values: np.ndarray, shape: tuple[int, ...], align_corners: bool) -> np.ndarray:
    """Bilinear interpolation as torch's interpolate does it: (C, h, w) -> (C, *shape)."""
    positions = []
    for side, points in zip(shape, values.shape[1:], strict=True):
        if align_corners:
            at = np.arange(side) * ((points - 1) / max(1, side - 1))
        else:
            at = (np.arange(side) + 0.5) * (points / side) - 0.5
        positions.append(np.clip(at, 0, points - 1))
    return upsampled(values, *positions)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)


def window_probabilities(window: np.ndarray, card: ModelCard, flip: bool) -> np.ndarray:
    views = [window, window[:, ::-1]] if flip else [window]
    total = 0
    for view, step in zip(views, (1, -1), strict=False):
        scores = resized(scores_of(view), view.shape[:2], card.output.align_corners)
        scores[list(card.masked)] = -np.inf
        total = total + softmax(scores)[:, :, ::step]
    return total / len(views)


def scale_probabilities(image: np.ndarray, card: ModelCard, size: tuple[int, int]) -> np.ndarray:
    """One scale of MSeg's tester: pad, slide, average, crop."""
    spec = card.inference
    assert spec is not None
    crop = (spec.crop, spec.crop) if spec.crop else card.size.canvas(*size)
    sides = tuple(max(c, s) for c, s in zip(crop, size, strict=True))
    before = [(o - s) // 2 if spec.padding == "centre" else 0 for o, s in zip(sides, size, strict=True)]
    inside = tuple(slice(b, b + s) for b, s in zip(before, size, strict=True))
    canvas = np.empty((*sides, 3), np.uint8)
    canvas[:] = card.size.pad
    canvas[inside] = scale(image, size)
    steps = [math.ceil(c * spec.stride) for c in crop]
    counts = [math.ceil((o - c) / s) + 1 for o, c, s in zip(sides, crop, steps, strict=True)]
    total, seen = np.zeros((5, *sides)), np.zeros(sides)
    for i, j in np.ndindex(*counts):
        ends = [min(n * s + c, o) for n, s, c, o in zip((i, j), steps, crop, sides, strict=True)]
        here = tuple(slice(e - c, e) for e, c in zip(ends, crop, strict=True))
        total[(slice(None), *here)] += window_probabilities(canvas[here], card, spec.flip)
        seen[here] += 1
    return (total / seen)[(slice(None), *inside)]


def reference(image: np.ndarray, card: ModelCard) -> np.ndarray:
    """Mean probabilities (n_classes, H, W), float64."""
    spec = card.inference
    assert spec is not None
    sizes = spec.scaled(*image.shape[:2], card.size)
    total = np.zeros((5, *image.shape[:2]))
    for size in sizes:
        total += resized(scale_probabilities(image, card, size), image.shape[:2], align_corners=False)
    if spec.taxonomy is not None:
        groups = [[CLASSES.index(part) for part in parts] for parts in spec.taxonomy.values()]
        total = np.stack([total[group].sum(axis=0) for group in groups])
    return total / len(sizes)


def assert_best(labels: np.ndarray, expected: np.ndarray) -> None:
    """Assert that every label has the greatest probability, up to rounding."""
    assert labels.shape == expected.shape[1:]
    reached = np.take_along_axis(expected, labels[None].astype(np.intp), axis=0)[0]
    np.testing.assert_allclose(reached, expected.max(axis=0), rtol=0, atol=3e-6)


SPECS = {
    "flip": InferenceSpec(flip=True),
    "scales": InferenceSpec(scales=(0.5, 1.0, 1.7)),
    "windows": InferenceSpec(crop=17),
    "windows of the whole": InferenceSpec(crop=33, stride=1.0),
    "mseg": InferenceSpec(flip=True, scales=(0.75, 1.5), short_side=20, crop=21, padding="centre"),
    "larger window": InferenceSpec(flip=True, crop=50, padding="centre"),
    "centred": InferenceSpec(flip=True, padding="centre"),
    "taxonomy": InferenceSpec(taxonomy=TAXONOMY),
    "all": InferenceSpec(flip=True, scales=(0.5, 1.25), crop=16, stride=0.5, taxonomy=TAXONOMY),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("align_corners", [True, False])
def test_labels_are_those_of_the_published_procedure(tmp_path: Path, name: str, align_corners: bool) -> None:
    output = {"kind": "logits", "align_corners": align_corners}
    model = texture_model(tmp_path / "m.onnx", output=output, masked=[3])
    segmenter = Segmenter(model, inference=SPECS[name])
    for number, shape in enumerate([(20, 31), (33, 19), (9, 9)]):
        image = photo(*shape, number)
        (labels,) = segmenter.segment([image])
        assert labels.dtype == np.uint8
        assert_best(labels, reference(image, segmenter.card))


def passes(spec: InferenceSpec, size: SizeSpec) -> int:
    """Return how often the largest photo goes through."""
    canvases = (spec.canvas(*sides, size) for sides in spec.largest(size))
    return sum((1 + spec.flip) * len(spec.starts(h)) * len(spec.starts(w)) for h, w in canvases)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_settings_are_followed(texture: Path, data: st.DataObject) -> None:
    scales = data.draw(st.lists(st.floats(0.3, 2.0), min_size=1, max_size=3))
    spec = InferenceSpec(
        flip=data.draw(st.booleans()),
        scales=tuple(scales),
        short_side=data.draw(st.none() | st.integers(1, 25)),
        crop=data.draw(st.none() | st.integers(1, 30)),
        stride=data.draw(st.floats(0.2, 1.0)),
        padding=data.draw(st.sampled_from(["end", "centre"])),
        taxonomy=data.draw(st.sampled_from([None, TAXONOMY])),
    )
    if passes(spec, ModelCard.load(texture.with_suffix(".json")).size) > MAX_PASSES:
        with pytest.raises(ValueError, match=f"at most {MAX_PASSES} windows, flips and scales"):
            Segmenter(texture, inference=spec)
        return
    segmenter = Segmenter(texture, inference=spec)
    assume(segmenter.card.inference is not None)
    image = photo(data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8)))
    sizes = spec.scaled(*image.shape[:2], segmenter.card.size)
    largest = [max(sides) for sides in zip(*sizes, strict=True)]
    assume(
        image.shape[0] <= largest[0] and image.shape[1] <= largest[1]
    )  # else the sum is coarser: see below
    (labels,) = segmenter.segment([image])
    assert_best(labels, reference(image, segmenter.card))


def test_a_photo_larger_than_every_scale_gets_the_interpolated_sum(texture: Path) -> None:
    segmenter = Segmenter(texture, inference=InferenceSpec(flip=True, scales=(0.5, 1.0)))
    image = photo(50, 90)
    (labels,) = segmenter.segment([image])
    mean = sum(
        resized(scale_probabilities(image, segmenter.card, size), (18, 33), align_corners=False)
        for size in ((9, 16), (18, 33))
    )
    assert_best(labels, resized(mean, image.shape[:2], align_corners=False))


def test_flips_of_a_symmetric_image_are_symmetric(texture: Path) -> None:
    half = photo(25, 17)
    image = np.ascontiguousarray(np.concatenate([half, half[:, -2::-1]], axis=1))
    assert image.shape == (25, 33, 3)
    assert (Segmenter(texture).segment([image])[0] != Segmenter(texture).segment([image])[0][:, ::-1]).any()
    (labels,) = Segmenter(texture, inference="flip").segment([image])
    np.testing.assert_array_equal(labels, labels[:, ::-1])


def test_default_settings_are_stored_as_none(texture: Path) -> None:
    plain = Segmenter(texture)
    image = photo(30, 44)
    for inference in (InferenceSpec(), "single-scale"):
        segmenter = Segmenter(texture, inference=inference)
        assert segmenter.card == plain.card
        assert segmenter.card.preprocessing_dict() == plain.card.preprocessing_dict()
        np.testing.assert_array_equal(segmenter.segment([image])[0], plain.segment([image])[0])


def test_one_window_is_no_window_and_one_pass_is_the_plain_way(texture: Path) -> None:
    image = photo(33, 33)
    (plain,) = Segmenter(texture).segment([image])
    (windowed,) = Segmenter(texture, inference=InferenceSpec(crop=33)).segment([image])
    np.testing.assert_array_equal(windowed, plain)  # softmax keeps the order of the scores


def test_the_batch_and_the_layout_do_not_matter(texture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = InferenceSpec(flip=True, scales=(1.0, 1.5), crop=20)
    image = photo(40, 60)
    (one,) = Segmenter(texture, inference=spec).segment([image])
    for size in (2, 5, 64):
        monkeypatch.setitem(network.BATCH, "cpu", size)
        (many,) = Segmenter(texture, inference=spec).segment([image])
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize(("budget", "at_once"), [(1, 1), (3 * 900_000, 3), (2**40, 4)])
def test_as_many_images_at_once_as_fit(
    texture: Path, monkeypatch: pytest.MonkeyPatch, budget: int, at_once: int
) -> None:
    monkeypatch.setattr(averaging, "BUDGET", budget)
    segmenter = Segmenter(texture, inference=InferenceSpec(flip=True, scales=(5.0,)))
    image = photo(100, 165)
    (alone,) = segmenter.segment([image])
    running, most, lock = 0, 0, threading.Lock()
    really = network.Network.run

    def run(self: network.Network, canvases: Any, *, whole: bool) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)  # so that the others arrive
        with lock:
            running -= 1
        return really(self, canvases, whole=whole)

    monkeypatch.setattr(network.Network, "run", run)
    with ThreadPoolExecutor(4) as pool:
        for (labels,) in pool.map(segmenter.segment, [[image]] * 4):
            np.testing.assert_array_equal(labels, alone)
    assert most == at_once


@pytest.mark.parametrize("shape", [(700, 1000), (1500, 2000)])
def test_an_image_takes_the_memory_that_it_is_let_in_for(texture: Path, shape: tuple[int, int]) -> None:
    segmenter = Segmenter(texture, inference=InferenceSpec(scales=(1.0, 8.0), short_side=88))
    averager = segmenter._averager
    assert averager is not None
    asked: list[int] = []
    really = averager._room.holding
    averager._room.holding = lambda need: asked.append(need) or really(need)  # type: ignore[method-assign,func-returns-value]
    segmenter.segment([photo(*shape)])  # now it is known what the network gives
    tracemalloc.start()
    try:
        segmenter.segment([photo(*shape)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.3 * asked[-1] < peak < asked[-1] + 2**25  # bands, the canvas, the photo


def test_labels_have_the_numbers_of_the_taxonomy(texture: Path) -> None:
    spec = InferenceSpec(taxonomy=TAXONOMY, void="cold")
    segmenter = Segmenter(texture, inference=spec)
    card = segmenter.card
    assert (card.labels, card.n_classes, card.void_label) == (("warm", "cold", "none"), 3, 1)
    assert segmenter.n_classes == 3
    assert card.classes == tuple(CLASSES)
    (labels,) = segmenter.segment([photo(33, 33)])
    assert set(np.unique(labels)) <= {0, 1}
    recipe = card.preprocessing_dict()
    assert (recipe["classes"], recipe["void"], recipe["channels"]) == (list(TAXONOMY), 1, CLASSES)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 3), (1, 3000), (3000, 1), (2, 700)])
@pytest.mark.parametrize("name", ["plain", "flip", "mseg", "all", "mseg-360-flip"])
def test_tiny_and_extreme_images_get_labels(texture: Path, name: str, shape: tuple[int, int]) -> None:
    spec = InferenceSpec() if name == "plain" else SPECS.get(name) or preset(name)
    (labels,) = Segmenter(texture, inference=spec).segment([photo(*shape)])
    assert labels.shape == shape


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_a_canvas_smaller_than_the_stride_gets_labels(tmp_path: Path, length: int) -> None:
    model = texture_model(tmp_path / "m.onnx", size={"rule": "long_side", "length": length})
    for inference in (None, "flip", InferenceSpec(crop=2)):
        segmenter = Segmenter(model, inference=inference)
        for shape in ((1, 1), (5, 3), (40, 2)):
            assert segmenter.segment([photo(*shape)])[0].shape == shape


def test_short_sides_are_bounded_by_the_aspect() -> None:
    spec = InferenceSpec(short_side=360, scales=(1.0, 0.5))
    rule = SizeSpec(rule="long_side", length=9)
    assert spec.scaled(256, 384, rule) == [(360, 540), (180, 270)]
    assert spec.scaled(384, 256, rule)[0] == (540, 360)
    assert spec.scaled(1, 4, rule)[0] == (360, 1440)
    assert spec.scaled(1, 3000, rule) == [(1, 1440), (1, 720)]


def test_a_network_that_gives_labels_cannot_follow(tiny_model: Path) -> None:
    for inference in ("flip", InferenceSpec(crop=9), InferenceSpec(taxonomy={"all": ("red",)})):
        with pytest.raises(ValueError, match=r"inference: flips, .* need a model that gives logits"):
            Segmenter(tiny_model, inference=inference)
    assert Segmenter(tiny_model, inference="single-scale").card.inference is None


def test_wrong_settings_are_named(texture: Path) -> None:
    with pytest.raises(
        ValueError, match=r"inference: expected an InferenceSpec, 'single-scale', 'flip', .*, got 'flips'"
    ):
        Segmenter(texture, inference="flips")
    with pytest.raises(TypeError, match="inference: expected an InferenceSpec, a name or None, got 3"):
        Segmenter(texture, inference=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"taxonomy\.sky: the model has no class 'clouds'"):
        Segmenter(texture, inference=InferenceSpec(taxonomy={"sky": ("clouds",)}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flip": 1}, "inference.flip: expected true or false"),
        ({"scales": ()}, "inference.scales: expected at least one"),
        ({"scales": (0.0,)}, "inference.scales: expected a number above 0 and at most 8"),
        ({"scales": (1.0, math.nan)}, "inference.scales: expected a number"),
        ({"scales": 1.0}, "inference.scales: expected a list"),
        ({"short_side": 0}, "inference.short_side: expected an integer from 1"),
        ({"crop": 2.5}, "inference.crop: expected an integer from 1"),
        ({"stride": 0}, "inference.stride: expected a number above 0 and at most 1"),
        ({"stride": 1.5}, "inference.stride: expected a number"),
        ({"padding": "left"}, "inference.padding: expected 'end' or 'centre'"),
        ({"taxonomy": []}, "inference.taxonomy: expected an object"),
        ({"taxonomy": {}}, "inference.taxonomy: expected at least one class with a part"),
        ({"taxonomy": {"a": "red"}}, "inference.taxonomy.a: expected a list"),
        ({"taxonomy": {"a": ["red"], "b": ["red"]}}, "taxonomy.b: 'red' is in 'a' already"),
        ({"void": "a"}, "inference.void: expected null, as without a taxonomy"),
        ({"taxonomy": {"a": ["red"]}, "void": "b"}, "inference.void: expected a class of the taxonomy"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InferenceSpec(**fields)


def test_published_settings() -> None:
    assert PRESETS["mseg-360-flip"].crop == 473
    assert PRESETS["mseg-360-flip"].starts(1000) == [0, 316, 527]  # ceil(2/3 * 473) = 316
    assert PRESETS["mseg-360-flip"].starts(473) == [0]
    assert PRESETS["cocostuff-ms-flip"].starts(1040) == [0, 520]
    assert preset("flip") == InferenceSpec(flip=True)


def test_scores_that_are_not_finite_name_the_model(tmp_path: Path) -> None:
    broken = network_of_texture()
    broken.graph.initializer[1].CopyFrom(numpy_helper.from_array(BIAS * np.float32(np.inf), "b"))
    model = tiny_model(tmp_path / "m.onnx", "logits", network=broken)
    with pytest.raises(ModelError, match=r"m\.onnx: gave scores that are not finite"):
        Segmenter(model, inference="flip").segment([photo(5, 6)])


def test_a_card_keeps_its_settings(texture: Path, tmp_path: Path) -> None:
    card = with_inference(Segmenter(texture).card, replace(SPECS["all"], void="none"))
    card.save(tmp_path / "card.json")
    assert ModelCard.load(tmp_path / "card.json") == card
    assert inference_of(card.preprocessing_dict()) == card.inference
    card.save(texture.with_name("all.json"))
    image = photo(20, 20)
    (labels,) = Segmenter(texture.with_name("all.json")).segment([image])
    assert_best(labels, reference(image, card))
    plain = Segmenter(texture.with_name("all.json"), inference="single-scale")
    np.testing.assert_array_equal(plain.segment([image])[0], Segmenter(texture).segment([image])[0])


def test_an_index_is_reopened_with_the_settings_it_was_made_with(
    texture: Path, photo_folder: Path, tmp_path: Path
) -> None:
    spec = InferenceSpec(flip=True, crop=20, taxonomy=TAXONOMY, void="none")
    made = Index.build(photo_folder, tmp_path / "index", model=texture, inference=spec)
    index = Index.open(tmp_path / "index")
    assert index.recipe.classes == ("warm", "cold", "none")
    assert index.recipe.void == 2
    again = index.extractor(threads=1)
    assert again.card.inference == spec
    paths = [record.path for record in index]
    expected = Extractor(texture, inference=spec, threads=1).extract(paths)
    np.testing.assert_array_equal(made.signatures().centroids, expected.centroids)
    np.testing.assert_array_equal(again.extract(paths).proportions, expected.proportions)
    assert index.extractor(model=texture).recipe == index.recipe  # the model without its settings
