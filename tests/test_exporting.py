# SPDX-License-Identifier: MIT
"""Torch networks to ONNX files and cards; needs torch."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

import onnxruntime  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import checkpoint_files  # noqa: E402
from colour_network import SIZE, colour_draft, colour_network  # noqa: E402
from hrnet_reading import TINY, Reading, balanced, shaken  # noqa: E402
from semcbir import Segmenter  # noqa: E402
from semcbir.errors import ModelError  # noqa: E402
from semcbir.export import export  # noqa: E402
from semcbir.export.checkpoints import build_network  # noqa: E402
from semcbir.export.export import export_model, export_network  # noqa: E402
from semcbir.export.hrnet import HRNet  # noqa: E402
from semcbir.export.ocr import HRNetOCR  # noqa: E402
from semcbir.export.options import ExportOptions  # noqa: E402
from semcbir.images.decode import load_image  # noqa: E402
from semcbir.images.find import find_images  # noqa: E402
from semcbir.networks.card import ModelCard  # noqa: E402
from semcbir.networks.draft import CardDraft  # noqa: E402
from semcbir.networks.published import PUBLISHED, Architecture, Checkpoint, PublishedModel  # noqa: E402
from semcbir.networks.specs import SizeSpec  # noqa: E402
from tiny_models import BLUE, GREEN, RED, card_of, labels_network  # noqa: E402
from wrong_networks import Broken, Pair  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPES = [(1, 64, 64, 3), (3, 97, 65, 3), (2, 33, 131, 3), (1, 7, 5, 3)]


def classes(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def tiny_hrnet(kind: Any, *, align_corners: bool, n_classes: int = 7) -> Any:
    pictures = torch.from_numpy(textured((4, 64, 96, 3))).permute(0, 3, 1, 2) / 60 - 2
    return balanced(shaken(kind(TINY, n_classes, align_corners=align_corners)), pictures)


def draft_of(n_classes: int = 7, **changes: Any) -> CardDraft:
    options = {"name": "tiny", "classes": classes(n_classes), "size": SIZE, "align_corners": True}
    return CardDraft(**(options | changes))


def run(path: Path, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": batch})
    return np.asarray(output)


def textured(shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(7)
    coarse = rng.uniform(0, 255, (shape[0], 9, 9, 3))
    rows, columns = (np.arange(side) * 9 // side for side in shape[1:3])
    fine = coarse[:, rows][:, :, columns] + rng.normal(0, 25, shape)
    return np.clip(fine, 0, 255).astype(np.uint8)


def read(model: Any, batch: np.ndarray, align_corners: bool) -> torch.Tensor:
    """Scores at stride 4 from the independent implementation of HRNet."""
    x = (torch.from_numpy(batch).double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    reading = Reading({k: v.double() for k, v in model.state_dict().items()}, align_corners)
    with torch.no_grad():
        features = reading.features(x.permute(0, 3, 1, 2), TINY)
        return reading.ocr(features) if isinstance(model, HRNetOCR) else reading.head("last_layer", features)


@pytest.mark.parametrize(
    ("kind", "inside", "final"),
    [(HRNet, True, True), (HRNet, False, False), (HRNet, False, True), (HRNetOCR, True, True)],
)
def test_the_graph_is_the_network(tmp_path: Path, kind: Any, inside: bool, final: bool) -> None:
    model = tiny_hrnet(kind, align_corners=inside)
    spec = draft_of(align_corners=final)
    export_network(model, spec, tmp_path / "labels.onnx")
    export_network(model, spec, tmp_path / "logits.onnx", ExportOptions(kind="logits"))
    same = pixels = 0
    for shape in SHAPES:
        batch = textured(shape)
        expected = read(model, batch, inside)
        found = run(tmp_path / "logits.onnx", batch)
        assert found.dtype == np.float32
        assert found.shape == (shape[0], 7, -(-shape[1] // 4), -(-shape[2] // 4))
        assert np.abs(found - expected.numpy()).max() < 1e-3
        large = functional.interpolate(expected, shape[1:3], mode="bilinear", align_corners=final)
        labels = run(tmp_path / "labels.onnx", batch)
        assert labels.dtype == np.uint8
        assert labels.shape == shape[:3]
        same += int((labels == large.argmax(1).numpy()).sum())
        pixels += labels.size
        assert len(np.unique(labels)) > 2 or labels.size < 100
    assert same / pixels >= 0.9999


def test_the_card_beside_the_model(tmp_path: Path) -> None:
    said: list[str] = []
    card = export_network(
        colour_network(), colour_draft(), tmp_path / "m.onnx", ExportOptions(on_step=said.append)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.onnx"]
    assert card == ModelCard.load(tmp_path / "m.json")
    card.check_file(tmp_path / "m.onnx")
    assert (card.name, card.classes[1], card.size, card.licence) == ("colours", "red", SIZE, "MIT")
    assert (card.input.layout, card.input.dtype, card.input.mean) == ("NHWC", "uint8", None)
    assert (card.output.kind, card.output.align_corners) == ("labels", False)
    measured = card.measured["export"]
    assert measured["on"] == "4 generated pictures"
    assert measured["sizes"] == ["48x64", "64x48", "97x131 (batch of 2)", "150x65 (batch of 2)"]
    assert measured["labels_identical"] >= 0.9999
    assert measured["fp32_scores_difference"] <= 1e-3
    assert measured["pixels"] == 4 * 48 * 64 + 2 * 97 * 131 + 2 * 150 * 65
    assert any("torch" in sentence for sentence in said)


def test_the_file_itself(tmp_path: Path) -> None:
    card = export_network(colour_network(), colour_draft(), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert (model.producer_name, model.graph.name) == ("semcbir", "colours")
    sides = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert (model.graph.input[0].name, sides) == ("image", ["N", "H", "W", 3])
    (output,) = model.graph.output
    assert [dim.dim_param for dim in output.type.tensor_type.shape.dim] == ["N", "H", "W"]
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    travelled = json.loads({p.key: p.value for p in model.metadata_props}["semcbir.card"])
    expected = card.to_dict()
    assert expected["measured"]
    for left_out in ("file", "sha256", "measured"):
        del expected[left_out]
    assert travelled == expected


@pytest.mark.parametrize("kind", ["labels", "logits"])
def test_a_segmenter_finds_the_colours(tmp_path: Path, kind: Any) -> None:
    export_network(colour_network(), colour_draft(), tmp_path / "m.onnx", ExportOptions(kind=kind))
    photo = np.zeros((80, 120, 3), np.uint8)
    photo[:, :40, 0] = photo[:, 40:80, 1] = photo[:, 80:, 2] = 200
    (found,) = Segmenter(tmp_path / "m.onnx", device="cpu").segment([photo])
    assert found.shape == (80, 120)
    assert (found[:, :36] == RED).all()
    assert (found[:, 46:75] == GREEN).all()
    assert (found[:, 86:] == BLUE).all()


@pytest.mark.parametrize("align_corners", [False, True])
def test_logits_and_labels_of_a_photo_agree(tmp_path: Path, made_photos: Path, align_corners: bool) -> None:
    model = tiny_hrnet(HRNet, align_corners=True)
    spec = draft_of(align_corners=align_corners, size=SizeSpec(rule="long_side", length=128))
    for kind in ("labels", "logits"):
        card = export_network(model, spec, tmp_path / f"{kind}.onnx", ExportOptions(kind=kind))  # type: ignore[arg-type]
        assert card.output.align_corners is align_corners
    photos = [load_image(path) for path in find_images(made_photos)[::3]]
    one, other = (
        np.stack(Segmenter(tmp_path / f"{kind}.onnx", device="cpu").segment(photos))
        for kind in ("labels", "logits")
    )
    assert len(np.unique(one)) > 1
    assert (one == other).mean() > 0.999


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_labels_at_a_coarser_stride(tmp_path: Path, stride: int, align_corners: bool) -> None:
    model = tiny_hrnet(HRNet, align_corners=True)
    spec = draft_of(align_corners=align_corners)
    card = export_network(model, spec, tmp_path / "m.onnx", ExportOptions(label_stride=stride))
    assert card.output.align_corners is align_corners
    for shape in SHAPES:
        batch = textured(shape)
        sides = tuple(-(-side // stride) for side in shape[1:3])
        expected = functional.interpolate(
            read(model, batch, True), sides, mode="bilinear", align_corners=align_corners
        ).argmax(1)
        found = run(tmp_path / "m.onnx", batch)
        assert found.shape == (shape[0], *sides)
        assert (found == expected.numpy()).mean() > 0.999
    resizes = [node for node in onnx.load(tmp_path / "m.onnx").graph.node if node.op_type == "Resize"]
    assert any(not node.name.startswith("/network/") for node in resizes) == (stride != 4)
    photo = textured((1, 50, 90, 3))[0]
    assert Segmenter(tmp_path / "m.onnx", device="cpu").segment([photo])[0].shape == (50, 90)


def test_more_than_256_classes(tmp_path: Path) -> None:
    model = nn.Conv2d(3, 300, 4, 4)
    nn.init.normal_(model.weight)
    card = export_network(model, draft_of(300, align_corners=False), tmp_path / "m.onnx")
    found = run(tmp_path / "m.onnx", textured((2, 64, 64, 3)))
    assert found.dtype == np.uint16
    assert found.max() > 255
    assert card.label_dtype == np.uint16
    (labels,) = Segmenter(tmp_path / "m.onnx", device="cpu").segment([textured((1, 64, 64, 3))[0]])
    assert labels.dtype == np.uint16


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    model = tiny_hrnet(HRNet, align_corners=True)
    one = export_network(model, draft_of(), tmp_path / "one.onnx")
    other = export_network(model, draft_of(), tmp_path / "other.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
    assert one.sha256 == other.sha256


def test_what_is_measured_and_the_version_do_not_change_the_bytes(
    tmp_path: Path, made_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = export_network(colour_network(), colour_draft(), tmp_path / "one.onnx")
    monkeypatch.setattr("semcbir.__version__", "999.0")
    spec = colour_draft(measured={"agreement": 0.7})
    other = export_network(colour_network(), spec, tmp_path / "other.onnx", ExportOptions(photos=made_photos))
    assert one.measured != other.measured
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
    assert one.sha256 == other.sha256


def test_named_photos_are_what_is_compared(tmp_path: Path, made_photos: Path) -> None:
    card = export_network(
        colour_network(), colour_draft(), tmp_path / "m.onnx", ExportOptions(photos=made_photos)
    )
    assert card.measured["export"]["on"] == "12 photos"
    assert card.measured["export"]["sizes"][0] == "48x64"


def test_what_was_known_before_stays_in_the_card(tmp_path: Path) -> None:
    spec = colour_draft(measured={"agreement": 0.7})
    card = export_network(colour_network(), spec, tmp_path / "m.onnx")
    assert card.measured["agreement"] == 0.7
    assert "labels_identical" in card.measured["export"]


class Sided(nn.Module):
    """Decides in Python, which tracing cannot follow: the graph keeps the decision made for its example."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(3, 3, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.scores(x)
        return -scores if x.shape[2] % 16 == 0 else scores


class Infinite(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Sided(), r"the exported model differs from torch: 0\.\d+ of \d+ labels are the same"),
        (Infinite(), "the model in torch gives scores that are not finite"),
        (Pair(), r"must give scores \(N, 3, h, w\), got tuple"),
        (nn.Conv2d(3, 4, 1), r"must give scores \(N, 3, h, w\), got \(2, 4, 67, 101\)"),
        (Broken(), "fails on images of 101 x 67: out of order"),
    ],
)
def test_a_network_that_is_not_right_leaves_what_was_there(
    tmp_path: Path, model: nn.Module, message: str
) -> None:
    (tmp_path / "m.onnx").write_text("old")
    (tmp_path / "m.json").write_text("old")
    with pytest.raises(ModelError, match=message):
        export_network(model, draft_of(3), tmp_path / "m.onnx")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"m.onnx": "old", "m.json": "old"}


def test_scores_that_differ_are_found_where_labels_do_not(tmp_path: Path) -> None:
    class Scaled(Sided):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.scores(x)
            return scores * (1.01 if x.shape[2] % 16 == 0 else 1)

    with pytest.raises(
        ModelError, match=r"1\.0+ of .* scores differ by up to 0\.0099 \(expected at most 0\.001"
    ):
        export_network(Scaled(), draft_of(3), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("output", "options", "error", "message"),
    [
        ("m.pth", {}, ModelError, r"m\.pth: expected the name of an \.onnx file"),
        ("no/m.onnx", {}, ModelError, "there is no folder"),
        ("folder.onnx", {}, ModelError, "this is a folder"),
        (
            "m.onnx",
            {"precision": "int4"},
            ValueError,
            "precision: expected 'fp32', 'fp16' or 'int8', got 'int4'",
        ),
        ("m.onnx", {"kind": "masks"}, ValueError, "kind: expected 'labels' or 'logits', got 'masks'"),
        ("m.onnx", {"precision": "int8"}, ModelError, "int8 needs a folder of photos"),
        ("m.onnx", {"calibration": "."}, ModelError, "fp32 takes no calibration"),
        ("m.onnx", {"photos": "nowhere"}, ModelError, "nowhere"),
        (
            "m.onnx",
            {"photos": "empty"},
            ModelError,
            "empty: expected a folder with at least one photo, it holds",
        ),
        ("m.onnx", {"photos": "bad"}, ModelError, "at least one photo, none of 1 could be read"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, output: str, options: dict[str, Any], error: Any, message: str
) -> None:
    for name in ("folder.onnx", "empty", "bad"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad" / "a.jpg").write_text("no image")
    if "photos" in options:
        options = options | {"photos": tmp_path / options["photos"]}
    with pytest.raises(error, match=message):
        export_network(colour_network(), colour_draft(), tmp_path / output, ExportOptions(**options))
    assert not (tmp_path / "m.onnx").exists()
    assert not list(tmp_path.glob(".*"))


def test_the_next_export_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    names = (".semcbir-export-stale", ".semcbir-export-fresh", "mine")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_text("half written")
    (tmp_path / ".semcbir-export-link").symlink_to("mine", target_is_directory=True)
    two_days_ago = time.time() - 2 * 86400
    for name in (names[0], names[2]):
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    export_network(colour_network(), colour_draft(), tmp_path / "m.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        names[1],
        ".semcbir-export-link",
        "m.json",
        "m.onnx",
        "mine",
    ]
    assert (tmp_path / "mine" / "model.onnx").exists()


def test_a_workshop_is_one_that_is_swept(tmp_path: Path) -> None:
    seen: list[Path] = []

    def look(_: str) -> None:
        seen.extend(path for path in tmp_path.iterdir() if path.is_dir())

    export_network(colour_network(), colour_draft(), tmp_path / "m.onnx", ExportOptions(on_step=look))
    assert seen
    assert all(path.name.startswith(".semcbir-export-") for path in seen)


def test_a_wrong_stride_is_named() -> None:
    with pytest.raises(ValueError, match="label_stride: expected an integer of at least 1, got 0"):
        ExportOptions(label_stride=0)


def test_without_the_extra_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(
        ModelError, match=r"needs torch and onnx, which are not installed: pip install 'semcbir\[export\]'"
    ):
        export_model(PUBLISHED["hrnet-w48-cocostuff"], tmp_path / "a.pth", tmp_path / "m.onnx")


def made_model() -> PublishedModel:
    return PublishedModel(
        card=CardDraft(name="made", classes=classes(7), size=SIZE, align_corners=True, licence="none stated"),
        architecture=Architecture(width=4, n_classes=7, align_corners=False, head_bias=False),
        checkpoint=Checkpoint(url="https://example.org/made.pth", file="made.pth", layout="mmsegmentation"),
    )


def test_a_published_checkpoint_becomes_a_model(tmp_path: Path, made_photos: Path) -> None:
    model = made_model()
    state = shaken(build_network(model.architecture)).state_dict()
    path = checkpoint_files.write(tmp_path / "made.pth", checkpoint_files.mmsegmentation(state))
    said: list[str] = []
    card = export_model(
        model, path, tmp_path / "m.onnx", ExportOptions(photos=made_photos, on_step=said.append)
    )
    assert (card.name, card.licence, card.source) == ("made", "none stated", "https://example.org/made.pth")
    assert (card.size, card.output.align_corners) == (SIZE, True)
    assert card.measured["checkpoint"]["batch_norm"] == "standard"
    assert len(card.measured["checkpoint"]["sha256"]) == 64
    assert said[0] == f"reading {path}"
    photos = [load_image(path) for path in find_images(made_photos)]
    assert [labels.shape for labels in Segmenter(tmp_path / "m.onnx", device="cpu").segment(photos)] == [
        photo.shape[:2] for photo in photos
    ]
    del state["conv1.weight"]
    wrong = checkpoint_files.write(tmp_path / "b.pth", checkpoint_files.mmsegmentation(state))
    with pytest.raises(ModelError, match="not the weights of made"):
        export_model(model, wrong, tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_a_card_with_too_few_classes_is_refused(tmp_path: Path) -> None:
    for kind in ("labels", "logits"):
        path = tmp_path / f"{kind}.onnx"
        export_network(colour_network(), colour_draft(), path, ExportOptions(kind=kind))  # type: ignore[arg-type]
        card = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(card | {"classes": card["classes"][:2]}))
        with pytest.raises(ModelError, match=r"has 2 classes"):
            Segmenter(path, device="cpu").segment([np.full((9, 9, 3), (0, 0, 255), np.uint8)])


@pytest.mark.parametrize("place", ["input", "output"])
def test_a_model_of_dynamic_rank_is_refused(tmp_path: Path, place: str) -> None:
    network = labels_network("N")
    getattr(network.graph, place)[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "m.onnx"
    if place == "output":  # a shape that is only known at run time, because its rank comes from an input
        network.graph.node.append(onnx.helper.make_node("Unsqueeze", ["labels", "axes"], ["spread"]))
        axes = np.array([0, 1], np.int64)
        network.graph.initializer.append(onnx.numpy_helper.from_array(axes, "axes"))
        network.graph.output[0].name = "spread"
    path.write_bytes(network.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(card_of(path, "labels")))
    with pytest.raises(ModelError, match=r"m\.onnx: expected"):
        Segmenter(path, device="cpu").segment([np.zeros((48, 64, 3), np.uint8)])
