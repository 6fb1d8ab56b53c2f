# SPDX-License-Identifier: MIT
"""Half precision and 8-bit integers; needs torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

from torch import nn  # noqa: E402

import checkpoint_files  # noqa: E402
from colour_network import colour_draft, colour_network  # noqa: E402
from hrnet_reading import TINY, shaken  # noqa: E402
from semcbir import Segmenter  # noqa: E402
from semcbir.errors import ModelError  # noqa: E402
from semcbir.export import int8  # noqa: E402
from semcbir.export.checkpoints import build_network  # noqa: E402
from semcbir.export.export import export_model, export_network  # noqa: E402
from semcbir.export.ocr import HRNetOCR  # noqa: E402
from semcbir.export.options import ExportOptions  # noqa: E402
from semcbir.images.decode import load_image  # noqa: E402
from semcbir.images.find import find_images  # noqa: E402
from semcbir.networks.published import PUBLISHED  # noqa: E402
from semcbir.networks.specs import SizeSpec  # noqa: E402

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def segmented(path: Path, photos: Path) -> np.ndarray:
    images = [load_image(photo) for photo in find_images(photos)]
    return np.stack(Segmenter(path, device="cpu").segment(images))


@pytest.mark.parametrize("kind", ["labels", "logits"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_labels_stay_what_they_were(tmp_path: Path, made_photos: Path, precision: Any, kind: Any) -> None:
    network, spec = colour_network(), colour_draft()
    export_network(network, spec, tmp_path / "full.onnx", ExportOptions(kind=kind))
    calibration = made_photos if precision == "int8" else None
    card = export_network(
        network,
        spec,
        tmp_path / "m.onnx",
        ExportOptions(precision=precision, kind=kind, calibration=calibration),
    )
    found, expected = (
        segmented(tmp_path / "m.onnx", made_photos),
        segmented(tmp_path / "full.onnx", made_photos),
    )
    assert len(np.unique(expected)) > 2
    floor = {"fp16": 0.998, "int8": 0.98}[precision]
    assert (found == expected).mean() > floor
    measured = card.measured["export"]
    assert measured["precision"] == precision
    assert floor < measured["labels_identical"] <= 1
    assert measured["fp32_labels_identical"] >= 0.9999
    assert ("fp32_largest_value" in measured) == (precision == "fp16")
    assert measured.get("calibration") == ("12 photos" if calibration else None)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".onnx", ".onnx"]


def test_half_precision_is_inside_only(tmp_path: Path) -> None:
    network = shaken(HRNetOCR(TINY, 5, align_corners=True))
    card = export_network(
        network, colour_draft(), tmp_path / "m.onnx", ExportOptions(precision="fp16", kind="logits")
    )
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "m.onnx"), strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        kinds[info.name] = info.type.tensor_type.elem_type
    for node in model.graph.node:
        if node.op_type in ("Conv", "Relu"):
            assert {kinds[name] for name in (*node.input, *node.output)} == {FLOAT16}, node.name
        elif node.op_type == "Softmax":
            assert {kinds[name] for name in (*node.input, *node.output)} == {FLOAT}, node.name
    assert kinds["scores"] == FLOAT
    assert card.measured["export"]["labels_identical"] > 0.99


class Enlarged(nn.Module):
    """Scores enlarged by a factor, which a graph holds as a number."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.scores = nn.Conv2d(3, 5, 4, 4)
        self.mode = mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.scores(x), scale_factor=1.7, mode=self.mode)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_the_factor_of_an_enlargement_is_kept_as_it_is(tmp_path: Path, mode: str) -> None:
    options = ExportOptions(precision="fp16", kind="logits")
    card = export_network(Enlarged(mode), colour_draft(), tmp_path / "m.onnx", options)
    assert card.measured["export"]["labels_identical"] > 0.99
    kept = [
        onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in onnx.load(tmp_path / "m.onnx").graph.node
        if node.op_type == "Constant" and node.attribute[0].t.data_type == FLOAT
    ]
    assert any(np.array_equal(values, np.array([1, 1, 1.7, 1.7], np.float32)) for values in kept)


def test_a_weight_too_large_for_half_precision_is_named(tmp_path: Path) -> None:
    network = colour_network()
    with torch.no_grad():
        network[3].bias[0] = -1e6
    with pytest.raises(ModelError, match="beyond 65504, too large for half precision"):
        export_network(network, colour_draft(), tmp_path / "m.onnx", ExportOptions(precision="fp16"))
    assert not list(tmp_path.iterdir())


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 5, 4, 4))
    torch.manual_seed(0)
    for layer in (network[0], network[2]):
        nn.init.normal_(layer.weight, std=300)
    with pytest.raises(ModelError, match=r"values inside the model reach \S+; half precision ends at 65504"):
        export_network(network, colour_draft(), tmp_path / "m.onnx", ExportOptions(precision="fp16"))
    assert not list(tmp_path.iterdir())


def red_network(gain: float) -> nn.Module:
    """Scores 0 and ``gain`` times the red channel, normalised: at most 2.2489 of a photo."""
    network = nn.Conv2d(3, 2, 4, 4)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[1, 0] = gain / 16
        network.bias.zero_()  # type: ignore[union-attr]
    return network.eval()


def red_photos(folder: Path, levels: list[int]) -> Path:
    folder.mkdir()
    for number, level in enumerate(levels):
        photo = np.zeros((48, 64, 3), np.uint8)
        photo[:, :, 2] = level  # OpenCV writes BGR
        assert cv2.imwrite(str(folder / f"{number}.png"), photo)
    return folder


@pytest.mark.parametrize(
    ("levels", "gain", "message"),
    [
        ([255], 0.45 * 65504 / 2.2489, None),
        ([255], 0.55 * 65504 / 2.2489, r"must hold 2 times as much"),
        ([128, 128, 128, 128, 255, 128], 1.1 * 65504 / 2.2489, r"reach 7\.2\S+e\+04; half"),
    ],
)
def test_half_precision_needs_headroom_on_every_photo(
    tmp_path: Path, levels: list[int], gain: float, message: str | None
) -> None:
    photos = red_photos(tmp_path / "photos", levels)
    spec = replace(colour_draft(), classes=("none", "red"))
    path = tmp_path / "m.onnx"
    if message is None:
        export_network(red_network(gain), spec, path, ExportOptions(precision="fp16", photos=photos))
        return
    with pytest.raises(ModelError, match=message):
        export_network(red_network(gain), spec, path, ExportOptions(precision="fp16", photos=photos))
    assert not path.exists()


def test_half_precision_with_other_labels_is_refused(tmp_path: Path) -> None:
    network = red_network(0)
    with torch.no_grad():
        network.bias.copy_(torch.tensor([2000, 2000.4]))  # the same in half precision
    spec = replace(colour_draft(), classes=("none", "red"))
    with pytest.raises(ModelError, match=r"only 0\.00% of the labels in fp16 .*expected at least 90%"):
        export_network(network, spec, tmp_path / "m.onnx", ExportOptions(precision="fp16"))
    assert not list(tmp_path.iterdir())


def test_int8_of_unfit_photos_is_written_with_a_warning(tmp_path: Path, made_photos: Path) -> None:
    black = red_photos(tmp_path / "black", [0])
    network, spec = colour_network(), colour_draft()
    for calibration, warned in ((black, True), (made_photos, False)):
        said: list[str] = []
        card = export_network(
            network,
            spec,
            tmp_path / "m.onnx",
            ExportOptions(precision="int8", photos=made_photos, calibration=calibration, on_step=said.append),
        )
        measured = card.measured["export"]
        assert f"{measured['labels_identical']:.2%} of the labels are torch's" in said
        assert (measured["labels_identical"] < 0.9) is warned
        assert any(sentence.startswith("WARNING: only ") for sentence in said) is warned
        assert ("calibrate with more photos" in measured.get("warning", "")) is warned


def test_only_convolutions_are_quantised(tmp_path: Path, made_photos: Path) -> None:
    network = shaken(HRNetOCR(TINY, 5, align_corners=True))
    export_network(
        network, colour_draft(), tmp_path / "m.onnx", ExportOptions(precision="int8", calibration=made_photos)
    )
    model = onnx.load(tmp_path / "m.onnx")
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    quantised = [node for node in convolutions if makers.get(node.input[1]) is not None]
    assert len(convolutions) - len(quantised) == 1  # the one that gives the scores
    for node in quantised:
        weight = makers[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        values, scales = (onnx.numpy_helper.to_array(constants[name]) for name in weight.input[:2])
        assert values.dtype == np.int8
        assert np.abs(values).max() <= 64  # 7 bits: no overflow where sums of products are of 16
        assert scales.shape == (len(values),)
    readers = {name for node in model.graph.node if node.op_type == "QuantizeLinear" for name in node.input}
    assert not any(
        name in readers
        for node in model.graph.node
        if node.op_type in ("MatMul", "Softmax", "ArgMax")
        for name in node.output
    )


def test_quantising_twice_gives_the_same_bytes(tmp_path: Path, made_photos: Path) -> None:
    for name in ("a", "b"):
        export_network(
            colour_network(),
            colour_draft(),
            tmp_path / f"{name}.onnx",
            ExportOptions(precision="int8", calibration=made_photos),
        )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_calibration_reads_a_bounded_number_one_at_a_time(
    made_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "MAX_CALIBRATION", 5)
    calibration = int8.Calibration(made_photos, colour_draft().size)
    assert calibration.count == 0
    first = calibration.get_next()
    assert first is not None
    assert first["image"].shape == (1, 48, 64, 3)
    assert calibration.count == 1
    while calibration.get_next() is not None:
        pass
    assert calibration.count == 5


@pytest.mark.parametrize(("content", "message"), [(None, "it holds none"), ("x", "none of 1 could be read")])
def test_calibration_needs_a_photo(tmp_path: Path, content: str | None, message: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    if content:
        (folder / "a.png").write_text(content)
    with pytest.raises(ModelError, match=f"photos: expected a folder with at least one photo, {message}"):
        export_network(
            colour_network(),
            colour_draft(),
            tmp_path / "m.onnx",
            ExportOptions(precision="int8", calibration=folder),
        )
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.slow
def test_w48_of_the_official_layout_from_file_to_labels(tmp_path: Path, made_photos: Path) -> None:
    size = SizeSpec(rule="long_side", length=96, multiple=96, pad=(0, 0, 0))  # at 520 it would take minutes
    model = PUBLISHED["hrnet-w48-cocostuff"]
    model = replace(model, card=replace(model.card, size=size))
    state = shaken(build_network(model.architecture)).state_dict()
    checkpoint = checkpoint_files.write(tmp_path / "a.pth", checkpoint_files.hrnet_torch04(state))
    assert 260e6 < checkpoint.stat().st_size < 270e6
    for precision in ("fp32", "int8"):
        path = tmp_path / f"{precision}.onnx"
        calibration = made_photos / "beach" if precision == "int8" else None
        card = export_model(
            model,
            checkpoint,
            path,
            ExportOptions(
                precision=precision,  # type: ignore[arg-type]
                photos=made_photos / "town",
                calibration=calibration,
            ),
        )
        assert path.stat().st_size < {"fp32": 270e6, "int8": 75e6}[precision]
        assert card.measured["export"]["fp32_labels_identical"] >= 0.9999
        assert card.measured["checkpoint"]["batch_norm"] == "inplace_abn"
        photos = [load_image(photo) for photo in find_images(made_photos)[::4]]
        labels = Segmenter(path, device="cpu").segment(photos)
        assert [found.shape for found in labels] == [photo.shape[:2] for photo in photos]
