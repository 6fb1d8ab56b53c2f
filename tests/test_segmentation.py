# SPDX-License-Identifier: MIT
"""Segmenter: networks with known answers, cards that do not fit, and the real networks on real photos."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from semcbir.errors import ModelError
from semcbir.inference import network
from semcbir.networks.specs import InferenceSpec
from semcbir.segmentation.segmenter import Segmenter
from test_labelling import assert_winners
from tiny_models import (
    BLUE,
    CLASSES,
    DARK,
    GREEN,
    NOTHING,
    RED,
    colour_scores,
    labels_network,
    logits_network,
    tiny_model,
)

COLOURS = {RED: (200, 30, 20), GREEN: (30, 190, 40), BLUE: (20, 40, 210), DARK: (30, 30, 30)}


def painted(labels: np.ndarray) -> np.ndarray:
    """A photo whose pixels have the colours of ``labels``."""
    table = np.zeros((max(COLOURS) + 1, 3), np.uint8)
    for label, colour in COLOURS.items():
        table[label] = colour
    return table[labels]


def random_labels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 5, (height, width))


def read_photo(path: Path) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[:, :, ::-1])


def test_labels_at_the_network_s_own_size(tiny_model: Path) -> None:
    expected = random_labels(48, 64)
    (labels,) = Segmenter(tiny_model).segment([painted(expected)])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("shape", [(32, 20), (32, 32), (7, 32), (1, 32)])
def test_labels_come_back_at_the_photo_s_resolution(tiny_model: Path, shape: tuple[int, int]) -> None:
    # Blocks of 4 x 4 pixels, halved for the network: only exact geometry gives exact labels.
    expected = np.kron(random_labels(*shape), np.ones((4, 4), np.intp))
    (labels,) = Segmenter(tiny_model).segment([painted(expected)])
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("blocks", [(4, 2), (2, 4), (8, 1), (1, 1), (1, 3)])
def test_a_squashed_photo_gets_its_labels_back_at_its_own_ratio(
    tmp_path: Path, blocks: tuple[int, int]
) -> None:
    model = tiny_model(tmp_path / "m.onnx", size={"rule": "squash", "length": 32})
    expected = np.kron(random_labels(32, 32), np.ones(blocks, np.intp))
    (labels,) = Segmenter(model).segment([painted(expected)])
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("shape", [(1, 1), (33, 200), (400, 3)])
def test_a_squashed_photo_of_one_colour_keeps_it(tmp_path: Path, shape: tuple[int, int]) -> None:
    size = {"rule": "squash", "length": 33}
    for inference in (None, InferenceSpec(scales=(0.5, 1), flip=True)):
        model = tiny_model(tmp_path / "m.onnx", "logits", size=size)
        (labels,) = Segmenter(model, inference=inference).segment([painted(np.full(shape, GREEN))])
        assert labels.shape == shape
        assert (labels == GREEN).all()


def test_logits_are_interpolated_and_masked(tiny_logits_model: Path) -> None:
    photo = painted(random_labels(49, 65))  # on the canvas as it is; scores of every fourth pixel
    (labels,) = Segmenter(tiny_logits_model).segment([photo])
    logits = colour_scores(photo[::4, ::4]).transpose(2, 0, 1)
    assert_winners(labels, logits, np.arange(49) / 4, np.arange(65) / 4, masked=(NOTHING,))
    assert NOTHING not in labels
    assert set(labels.ravel().tolist()) == set(COLOURS)


def test_without_a_mask_the_masked_channel_wins(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", "logits", masked=[])
    (labels,) = Segmenter(model).segment([painted(random_labels(49, 65))])
    assert (labels == NOTHING).all()


@pytest.mark.parametrize("kind", ["labels", "logits"])
@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (1, 64), (130, 3), (1, 1)])
def test_padding_is_cropped_away(tmp_path: Path, kind: Any, shape: tuple[int, int]) -> None:
    size = {"rule": "long_side", "length": 65, "multiple": 32, "offset": 1, "pad": COLOURS[RED]}
    model = tiny_model(tmp_path / "m.onnx", kind, size=size)
    (labels,) = Segmenter(model).segment([painted(np.full(shape, BLUE))])
    assert labels.shape == shape
    assert (labels == BLUE).all()


def test_channels_go_in_the_order_of_the_card(tmp_path: Path) -> None:
    bgr = {"layout": "NHWC", "dtype": "uint8", "colour": "BGR"}
    model = tiny_model(tmp_path / "m.onnx", input=bgr)
    (labels,) = Segmenter(model).segment([painted(np.full((8, 8), RED))])
    assert (labels == BLUE).all()


def test_mixed_sizes_come_back_in_order_whatever_the_batch(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(48, 64), (64, 48), (48, 64), (1, 1), (90, 120), (3, 200), (48, 64), (64, 64)]
    photos = [painted(random_labels(*shape, seed)) for seed, shape in enumerate(shapes)]
    alone = [Segmenter(tiny_model).segment([photo])[0] for photo in photos]
    assert [labels.shape for labels in alone] == shapes
    assert Segmenter(tiny_model).segment([]) == []
    for batch_size in (1, 2, 8):
        monkeypatch.setitem(network.BATCH, "cpu", batch_size)
        together = Segmenter(tiny_model).segment(photos)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_model_of_a_fixed_batch_takes_any_number(tmp_path: Path) -> None:
    segmenter = Segmenter(tiny_model(tmp_path / "m.onnx", batch=3))
    assert segmenter.batch_size == 3
    expected = [random_labels(48, 64, seed) for seed in range(4)]
    for labels, known in zip(segmenter.segment([painted(e) for e in expected]), expected, strict=True):
        np.testing.assert_array_equal(labels, known)


def test_a_model_of_a_fixed_canvas_takes_any_photo(tmp_path: Path) -> None:
    network = labels_network("N")
    for value in (network.graph.input[0], network.graph.output[0]):
        for dim in value.type.tensor_type.shape.dim[1:3]:
            dim.dim_value = 64
    square = {"rule": "long_side", "length": 64, "multiple": 64}
    segmenter = Segmenter(tiny_model(tmp_path / "m.onnx", network=network, size=square))
    expected = [random_labels(48, 64), random_labels(64, 30)]
    for labels, known in zip(segmenter.segment([painted(e) for e in expected]), expected, strict=True):
        np.testing.assert_array_equal(labels, known)
    with pytest.raises(ModelError, match=r"takes \['N', 64, 64, 3\] only, .* size rule gives other sides"):
        Segmenter(tiny_model(tmp_path / "other.onnx", network=network))


def test_several_threads_may_share_a_segmenter(tiny_logits_model: Path) -> None:
    segmenter = Segmenter(tiny_logits_model, threads=2)
    photos = [painted(random_labels(30 + seed, 65, seed)) for seed in range(12)]
    alone = segmenter.segment(photos)
    with ThreadPoolExecutor(4) as pool:
        for one, (other,) in zip(
            alone, pool.map(lambda photo: segmenter.segment([photo]), photos), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_what_a_segmenter_says_of_itself(tiny_model: Path) -> None:
    segmenter = Segmenter(str(tiny_model), device="cpu", threads=1)
    assert (segmenter.device, segmenter.providers) == ("cpu", ["CPUExecutionProvider"])
    assert (segmenter.n_classes, segmenter.label_dtype) == (len(CLASSES), np.uint8)
    assert (segmenter.model_path, segmenter.card.name) == (tiny_model, "tiny-labels")


def test_labels_that_the_card_does_not_know_are_refused(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", classes=CLASSES[:DARK])
    photo = painted(np.array([[RED, DARK]]))
    with pytest.raises(ModelError, match=r"m\.onnx: gave label 4, the card has 4 classes"):
        Segmenter(model).segment([photo])
    void = tiny_model(tmp_path / "void.onnx", classes=CLASSES[:DARK], void=DARK)
    assert Segmenter(void).segment([photo])[0].max() == DARK


def test_labels_are_wide_enough_for_the_void(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", "logits", void=300)
    assert Segmenter(model).segment([painted(random_labels(5, 6))])[0].dtype == np.uint16


def test_scores_that_are_not_finite_name_the_model(tmp_path: Path) -> None:
    network = logits_network(1)
    bias = np.array([0, np.nan, 0, 0, 0], np.float32)
    network.graph.initializer[1].CopyFrom(numpy_helper.from_array(bias, "b"))
    model = tiny_model(tmp_path / "m.onnx", "logits", network=network)
    with pytest.raises(ModelError, match=r"m\.onnx: gave scores that are not finite"):
        Segmenter(model).segment([painted(random_labels(5, 6))])


FLOAT = {"layout": "NCHW", "dtype": "float32"}
BYTES = {"layout": "NHWC", "dtype": "uint8"}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("logits", {"classes": CLASSES[:4]}, "gives 5 channels, its card has 4 classes"),
        ("logits", {"sha256": "0" * 64}, "not the file that its card 'tiny-logits' describes"),
        ("logits", {"input": FLOAT | {"layout": "NHWC"}}, r"takes \[1, 3, 'H', 'W'\] only, NHWC by its card"),
        ("logits", {"input": FLOAT | {"dtype": "uint8"}}, r"input is uint8, the graph takes tensor\(float\)"),
        (
            "logits",
            {"output": {"kind": "labels"}, "masked": []},
            r"'logits' is labels, the graph gives tensor\(float\)",
        ),
        ("logits", {"output": {"kind": "logits", "name": "x"}}, "has no output 'x', only logits"),
        (
            "labels",
            {"input": BYTES | {"layout": "NCHW"}},
            r"3\] only, NCHW by its card",
        ),
        ("labels", {"output": {"kind": "logits"}}, r"'labels' is logits, the graph gives tensor\(uint8\)"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, kind: Any, changes: dict[str, Any], message: str
) -> None:
    model = tiny_model(tmp_path / "m.onnx", kind, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        Segmenter(model)
    assert str(model) in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([7, 7, 7], r"failed on an input of shape \(1, 48, 64, 3\)"),
        ([1, -1], r"expected labels of shape \(1, h, w\), got \(1, 3072\)"),
        ([2, 24, 64], r"expected labels of shape \(1, h, w\), got \(2, 24, 64\)"),
    ],
)
def test_a_network_that_goes_wrong_when_it_runs_names_itself(
    tmp_path: Path, shape: list[int], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    network = labels_network("N")
    network.graph.node.append(helper.make_node("Reshape", ["labels", "shape"], ["reshaped"]))
    network.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), "shape"))
    output = helper.make_tensor_value_info("reshaped", TensorProto.UINT8, list("abc")[: len(shape)])
    network.graph.output[0].CopyFrom(output)
    model = tiny_model(tmp_path / "m.onnx", network=network)
    with pytest.raises(ModelError, match=rf"m\.onnx: {message}"):
        Segmenter(model).segment([painted(random_labels(48, 64))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["text", "truncated", "empty"])
def test_a_file_that_is_no_onnx_is_refused(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "m.onnx")
    data = {"text": b"this is no network\n", "truncated": model.read_bytes()[:-40], "empty": b""}[damage]
    model.write_bytes(data)
    card = json.loads(model.with_suffix(".json").read_text())
    card["sha256"] = hashlib.sha256(data).hexdigest()
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"m\.onnx: onnxruntime cannot load the model"):
        Segmenter(model)
    assert capfd.readouterr() == ("", "")


def test_wrong_images_are_named(tiny_model: Path) -> None:
    segmenter = Segmenter(tiny_model)
    good = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(TypeError, match=r"pass \[image\]"):
        segmenter.segment(good)
    with pytest.raises(TypeError, match="image 1: expected an array of uint8, got float64"):
        segmenter.segment([good, good.astype(np.float64)])
    with pytest.raises(TypeError, match="image 0: expected an array of uint8, got str"):
        segmenter.segment(["photo.jpg"])  # type: ignore[list-item]
    for shape in [(4, 5), (4, 5, 4), (0, 5, 3)]:
        with pytest.raises(ValueError, match=r"image 0: expected shape \(H, W, 3\)"):
            segmenter.segment([np.zeros(shape, np.uint8)])


def test_views_are_taken_as_they_are(tiny_model: Path) -> None:
    expected = random_labels(48, 64)
    bgr = np.ascontiguousarray(painted(expected)[:, :, ::-1])
    (labels,) = Segmenter(tiny_model).segment([bgr[:, :, ::-1]])
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_wrong_threads_are_refused(tiny_model: Path, threads: int) -> None:
    with pytest.raises(ValueError, match="threads: expected an integer from 1 to 1024"):
        Segmenter(tiny_model, threads=threads)


def test_onnxruntime_is_loaded_on_first_use_only() -> None:
    code = "import sys, semcbir.segmentation; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_photos_are_labelled_with_what_they_show(ade_model: Path, wang_dir: Path) -> None:
    segmenter = Segmenter(ade_model)
    photos = {703: "grass", 820: "sky", 305: "bus", 510: "animal"}
    label_maps = segmenter.segment([read_photo(wang_dir / f"{number}.jpg") for number in photos])
    assert (label_maps[0].shape, label_maps[1].shape) == ((256, 384), (384, 256))
    for labels, name in zip(label_maps, photos.values(), strict=True):
        shares = np.bincount(labels.ravel(), minlength=151) / labels.size
        assert shares[segmenter.card.classes.index(name)] > 0.3, name
        assert shares[0] == 0  # the masked background
    sky = label_maps[1] == segmenter.card.classes.index("sky")
    assert sky[:100].mean() > 0.9
    assert sky[-100:].mean() < 0.1


def test_real_photos_get_the_same_labels_from_any_number_of_threads(
    ade_model: Path, voc_model: Path, wang_dir: Path
) -> None:
    photos = [read_photo(wang_dir / f"{number}.jpg") for number in (7, 133, 820)]
    for model in (ade_model, voc_model):
        one, three = (Segmenter(model, threads=threads).segment(photos) for threads in (1, 3))
        for labels, others in zip(one, three, strict=True):
            np.testing.assert_array_equal(labels, others)


def test_a_foreign_card_is_refused(shared_dir: Path) -> None:
    foreign = shared_dir / "models" / "ade150_deeplabv3p_mnv2.json"
    if not foreign.is_file():
        pytest.skip("needs ../shared/models")
    with pytest.raises(ModelError, match="not a usable model card: format: expected 1"):
        Segmenter(foreign)
