# SPDX-License-Identifier: MIT
"""Published encoders to ONNX files and cards, from the command line to a search; needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

import onnxruntime  # noqa: E402
from torch import nn  # noqa: E402

import checkpoint_files as files  # noqa: E402
from commands import Run, one_line  # noqa: E402
from download_server import File, Server, running_server  # noqa: E402
from encoder_reading import as_weights, resnet, shaken, vit  # noqa: E402
from semcbir import Index  # noqa: E402
from semcbir.encoding.encoder import Encoder  # noqa: E402
from semcbir.errors import ModelError  # noqa: E402
from semcbir.export import encoders, export  # noqa: E402
from semcbir.export.encoder_checkpoints import build_encoder  # noqa: E402
from semcbir.export.export import export_encoder, export_published_encoder  # noqa: E402
from semcbir.export.options import ExportOptions  # noqa: E402
from semcbir.features import Deep  # noqa: E402
from semcbir.images.decode import load_image  # noqa: E402
from semcbir.images.find import find_images  # noqa: E402
from semcbir.index import model as index_model  # noqa: E402
from semcbir.networks import published  # noqa: E402
from semcbir.networks.cache import checkpoint_file  # noqa: E402
from semcbir.networks.draft import EncoderDraft  # noqa: E402
from semcbir.networks.encoder_card import EncoderCard  # noqa: E402
from semcbir.networks.published import ENCODERS, EncoderSpec  # noqa: E402
from semcbir.networks.specs import SizeSpec  # noqa: E402
from small_encoders import SIDE, TINY_RESNET, TINY_VIT, made_encoder  # noqa: E402
from wrong_networks import Broken, Pair  # noqa: E402

NAME = "dinov2-vits14"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
DRAFT = EncoderDraft(name="own", size=SizeSpec(rule="squash", length=SIDE), dim=5)


def state_of(spec: EncoderSpec = TINY_VIT) -> Any:
    return dict(shaken(build_encoder(spec)).state_dict())


def checkpoint(path: Path, spec: EncoderSpec = TINY_VIT) -> Path:
    return files.write(path, state_of(spec))


def textured(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def run_graph(path: Path, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": batch})
    return np.asarray(output)


# --- the graph ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [TINY_VIT, TINY_RESNET], ids=["vit", "resnet"])
def test_the_graph_is_the_network(tmp_path: Path, spec: EncoderSpec) -> None:
    path = checkpoint(tmp_path / "a.pth", spec)
    card = export_published_encoder(made_encoder(spec), path, tmp_path / "m.onnx")
    weights = as_weights(state_of(spec))
    for count in (1, 2, 3):
        batch = textured(count)
        images = ((batch / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
        expected = vit(weights, images, TINY_VIT.heads) if spec is TINY_VIT else resnet(weights, images)
        found = run_graph(tmp_path / "m.onnx", batch)
        assert found.dtype == np.float32
        assert found.shape == expected.shape == (count, spec.dim, SIDE // spec.stride, SIDE // spec.stride)
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert card.measured["export"]["fp32_difference"] < 1e-4


def test_the_card_beside_the_encoder(tmp_path: Path) -> None:
    said: list[str] = []
    path = checkpoint(tmp_path / "a.pth")
    card = export_published_encoder(
        made_encoder(), path, tmp_path / "m.onnx", ExportOptions(on_step=said.append)
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.pth", "m.json", "m.onnx"]
    assert card == EncoderCard.load(tmp_path / "m.json")
    card.check_file(tmp_path / "m.onnx")
    assert (card.name, card.dim, card.output, card.size.length) == ("made", 12, "grid", SIDE)
    assert (card.input.layout, card.input.dtype, card.input.mean) == ("NHWC", "uint8", None)
    assert (card.licence, card.notes) == ("none stated", "trained on noise; made for the tests")
    assert card.source == "https://example.org/made.pth (https://example.org)"
    assert len(card.measured["checkpoint"]["sha256"]) == 64
    measured = card.measured["export"]
    assert (measured["precision"], measured["on"]) == ("fp32", "4 generated pictures")
    assert measured["sizes"] == ["32x32", "32x32 (batch of 2)"]
    assert measured["numbers"] == (4 + 2) * 12 * 8 * 8
    assert said[0] == f"reading {path}"
    assert any("torch" in sentence for sentence in said)


def test_the_file_itself(tmp_path: Path) -> None:
    card = export_published_encoder(made_encoder(), checkpoint(tmp_path / "a.pth"), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert (model.producer_name, model.graph.name) == ("semcbir", "made")
    sides = [
        [dim.dim_param or dim.dim_value for dim in place.type.tensor_type.shape.dim]
        for place in (model.graph.input[0], model.graph.output[0])
    ]
    assert sides == [["N", SIDE, SIDE, 3], ["N", 12, 8, 8]]
    # The positions are numbers in the file, and not computed again for every photo.
    assert not [node for node in model.graph.node if node.op_type == "Resize"]
    travelled = json.loads({p.key: p.value for p in model.metadata_props}["semcbir.card"])
    expected = card.to_dict()
    for left_out in ("file", "sha256", "measured"):
        del expected[left_out]
    assert travelled == expected


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path, made_photos: Path) -> None:
    path = checkpoint(tmp_path / "a.pth")
    one = export_published_encoder(made_encoder(), path, tmp_path / "one.onnx")
    options = ExportOptions(photos=made_photos)
    other = export_published_encoder(made_encoder(), path, tmp_path / "other.onnx", options)
    assert other.measured["export"]["on"] == "12 photos"
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()
    assert one.sha256 == other.sha256


def test_an_encoder_of_photos(tmp_path: Path, made_photos: Path) -> None:
    export_published_encoder(made_encoder(), checkpoint(tmp_path / "a.pth"), tmp_path / "m.onnx")
    photos = [load_image(path) for path in find_images(made_photos)[::4]]
    grids = Encoder(tmp_path / "m.onnx", device="cpu").encode(photos)
    assert {grid.cells.shape for grid in grids} == {(8, 8, 12)}


def test_the_real_transformer_with_random_weights(tmp_path: Path) -> None:
    """ViT-S/14 of its full size: 16 x 16 cells, and the official names."""
    encoder = ENCODERS[NAME]
    files.write(tmp_path / "a.pth", state_of(encoder.architecture))
    card = export_published_encoder(encoder, tmp_path / "a.pth", tmp_path / "m.onnx")
    assert (card.name, card.dim, card.size.length) == (NAME, 384, 224)
    assert card.measured["export"]["fp32_difference"] <= 1e-3
    (grid,) = Encoder(tmp_path / "m.onnx", device="cpu").encode([textured(1, 90)[0]])
    assert grid.cells.shape == (16, 16, 384)
    assert np.isfinite(grid.cells).all()


class Sided(nn.Module):
    """Decides in Python by the values, which tracing cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = nn.Conv2d(3, 5, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid: torch.Tensor = self.grid(x)
        return grid * (1.01 if len(x) == 1 else 1)  # the example that is traced has two images


class Infinite(Sided):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid: torch.Tensor = self.grid(x)
        return grid / 0


class Unseen(Sided):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid: torch.Tensor = self.grid(x)
        return grid if x.max() > 0 else grid * torch.nan  # the example that is traced is black


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Sided(),
            r"the exported encoder in fp32 differs from torch by 0\.0099 of the largest number, expected at ",
        ),
        (Infinite(), "the encoder in torch gives numbers that are not finite"),
        (Unseen(), "the exported encoder gives numbers that are not finite; nothing was written"),
        (Pair(), r"must give a grid \(N, 5, h, w\), got tuple"),
        (nn.Conv2d(3, 4, 1), r"must give a grid \(N, 5, h, w\), got \(2, 4, 32, 32\)"),
        (Broken(), "fails on images of 32 x 32: out of order"),
    ],
)
def test_a_network_that_is_not_right_leaves_what_was_there(
    tmp_path: Path, model: nn.Module, message: str
) -> None:
    (tmp_path / "m.onnx").write_text("old")
    (tmp_path / "m.json").write_text("old")
    with pytest.raises(ModelError, match=message):
        export_encoder(model, DRAFT, tmp_path / "m.onnx")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"m.onnx": "old", "m.json": "old"}


# --- half precision -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [TINY_VIT, TINY_RESNET], ids=["vit", "resnet"])
def test_half_precision_is_nearly_the_network(tmp_path: Path, spec: EncoderSpec) -> None:
    path, half = checkpoint(tmp_path / "a.pth", spec), ExportOptions(precision="fp16")
    card = export_published_encoder(made_encoder(spec), path, tmp_path / "m.onnx", half)
    measured = card.measured["export"]
    assert measured["precision"] == "fp16"
    assert measured["fp32_difference"] < 1e-4 < measured["fp16_difference"] < 0.02
    assert measured["fp32_largest_value"] > 1
    batch, weights = textured(2), as_weights(state_of(spec))
    images = ((batch / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    expected = vit(weights, images, TINY_VIT.heads) if spec is TINY_VIT else resnet(weights, images)
    found = run_graph(tmp_path / "m.onnx", batch)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds


def test_half_precision_is_refused_where_it_is_too_coarse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "MAX_HALF_DIFFERENCE", 1e-6)
    path, half = checkpoint(tmp_path / "a.pth"), ExportOptions(precision="fp16")
    with pytest.raises(ModelError, match=r"the exported encoder in fp16 differs from torch by .*, expected"):
        export_published_encoder(made_encoder(), path, tmp_path / "m.onnx", half)
    assert [each.name for each in tmp_path.iterdir()] == ["a.pth"]


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 5, 8, 8))
    for layer in (network[0], network[2]):
        nn.init.normal_(layer.weight, std=300)
    with pytest.raises(ModelError, match=r"values inside the model reach \S+; half precision ends at 65504"):
        export_encoder(network, DRAFT, tmp_path / "m.onnx", ExportOptions(precision="fp16"))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_of_ones_own(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 5, 8, 8)
    card = export_encoder(network, DRAFT, tmp_path / "m.onnx")
    assert (card.name, card.dim, list(card.measured)) == ("own", 5, ["export"])
    batch = textured(2)
    images = torch.from_numpy(((batch / 255 - MEAN) / STD).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        np.testing.assert_allclose(run_graph(tmp_path / "m.onnx", batch), network(images), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "logits"}, "a grid of vectors, in full: it has no kind and no label_stride"),
        ({"label_stride": 2}, "a grid of vectors, in full: it has no kind and no label_stride"),
        ({"precision": "int8", "calibration": "."}, "precision: expected fp32 or fp16 for an encoder, got"),
    ],
)
def test_what_an_encoder_does_not_have_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    for make in (
        lambda: export_encoder(nn.Conv2d(3, 5, 8, 8), DRAFT, tmp_path / "m.onnx", ExportOptions(**options)),
        lambda: export_published_encoder(
            made_encoder(), tmp_path / "none.pth", tmp_path / "m.onnx", ExportOptions(**options)
        ),
    ):
        with pytest.raises(ModelError, match=message):
            make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [("m.pth", "expected the name of an .onnx file"), ("no/m.onnx", "there is no folder")],
)
def test_a_wrong_output_is_named(tmp_path: Path, output: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        export_published_encoder(made_encoder(), tmp_path / "a.pth", tmp_path / output)


def test_without_the_extra_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'semcbir\[export\]'"):
        export_published_encoder(made_encoder(), tmp_path / "a.pth", tmp_path / "m.onnx")


# --- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server that publishes ``NAME``, which is a small transformer here."""
    with running_server() as server:
        server.answers["/made.pth"] = File(checkpoint(tmp_path / "published.pth").read_bytes())
        encoder = made_encoder(name=NAME, url=server.url("/made.pth"))
        monkeypatch.setattr(published, "ENCODERS", {**published.ENCODERS, NAME: encoder})
        yield server


def listed(run: Run) -> dict[str, Any]:
    (row,) = [row for row in run("models", "list", "--json").json["models"] if row["name"] == NAME]
    return dict(row)


def test_fetch_makes_a_name_work(run: Run, server: Server, cache: Path, photo_folder: Path, tmp_path: Path):
    target = cache / "models" / f"{NAME}.onnx"
    assert listed(run) == {
        "name": NAME,
        "kind": "encoder",
        "classes": None,
        "download": None,
        "downloaded": False,
        "exports": [],
        "trained_on": "noise",
    }
    missing = run("index", photo_folder, "-o", tmp_path / "index", "--encoder", NAME)
    assert (missing.code, one_line(missing.err)) == (1, True)
    assert f"`semcbir models fetch {NAME}` downloads and exports it" in missing.err
    fetched = run("models", "fetch", NAME)
    assert fetched.code == 0
    assert fetched.out.endswith(f"is ready: --encoder {NAME}\n")
    assert str(target) in fetched.out
    assert "the weights belong to their publishers: none stated" in fetched.err
    assert checkpoint_file(cache, published.ENCODERS[NAME]).is_file()
    assert (listed(run)["downloaded"], listed(run)["exports"]) == (True, [NAME])
    assert f"ready: --encoder {NAME}" in run("models", "list").out
    again = run("models", "fetch", NAME)
    assert (again.code, again.out, again.err, len(server.asked)) == (0, fetched.out, "", 1)
    target.write_bytes(b"damaged")
    assert run("models", "fetch", NAME).code == 0
    assert len(server.asked) == 1
    done = run("index", photo_folder, "-o", tmp_path / "index", "--encoder", NAME)
    assert (done.code, done.err) == (0, "")
    photo = photo_folder / "town" / "1.jpg"
    assert run("search", photo, tmp_path / "index", "-k", 1, "--json").json["hits"][0]["path"] == str(photo)
    wrong = run("index", photo_folder, "-o", tmp_path / "other", "--model", NAME)
    assert (wrong.code, f"{NAME} is an encoder, expected a segmentation model" in wrong.err) == (1, True)


def test_an_encoder_too_large_to_copy_is_found_by_name(
    run: Run,
    server: Server,
    cache: Path,
    photo_folder: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    assert run("models", "fetch", NAME).code == 0
    onnx_file = cache / "models" / f"{NAME}.onnx"
    monkeypatch.setattr(index_model, "LARGEST_MODEL", max(onnx_file.stat().st_size - 1, 1))
    index = tmp_path / "index"
    made = run("index", photo_folder, "-o", index, "--encoder", NAME, "--model", tiny_model)
    assert (made.code, made.err) == (0, "")
    assert not (index / "encoder").exists()
    photo = photo_folder / "town" / "1.jpg"
    search = ("search", photo, index, "-k", 1, "--json")
    assert run(*search).json["hits"][0]["path"] == str(photo)
    onnx_file.rename(tmp_path / "away.onnx")
    gone = run(*search)
    assert (gone.code, gone.out, one_line(gone.err)) == (1, "", True)
    assert f"the encoder {NAME} is not on this machine yet: `semcbir models fetch {NAME}`" in gone.err
    assert len(Index.open(index)) == 12  # what needs no encoder works
    assert run("models", "fetch", NAME).code == 0  # made again from the checkpoint: the same bytes
    assert run(*search).json["hits"][0]["path"] == str(photo)
    assert len(server.asked) == 1


def test_half_precision_has_a_name_of_its_own(run: Run, server: Server, cache: Path):
    fetched = run("models", "fetch", NAME, "--precision", "fp16")
    assert (fetched.code, fetched.out.endswith(f"is ready: --encoder {NAME}-fp16\n")) == (0, True)
    assert listed(run)["exports"] == [f"{NAME}-fp16"]
    assert Deep(f"{NAME}-fp16").path == cache / "models" / f"{NAME}-fp16.onnx"
    with pytest.raises(ModelError, match=rf"{NAME} is not on this machine yet \({NAME}-fp16 is there\)"):
        Deep(NAME)


def test_export_takes_a_checkpoint_that_is_there(run: Run, server: Server, tmp_path: Path):
    output = tmp_path / "own.onnx"
    done = run("models", "export", NAME, "--checkpoint", tmp_path / "published.pth", "-o", output)
    assert done.code == 0
    assert done.out.endswith(f"is ready: --encoder {output}\n")
    assert EncoderCard.load(tmp_path / "own.json").name == NAME
    assert server.asked == []
    other = checkpoint(tmp_path / "other.pth", TINY_RESNET)
    failed = run("models", "export", NAME, "--checkpoint", other, "-o", tmp_path / "other.onnx")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.splitlines()[-1].startswith(f"semcbir: error: {other}: not the weights of {NAME}: ")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--logits",), f"--logits: {NAME} is an encoder, it gives no scores"),
        (
            ("--precision", "int8"),
            f"--precision: {NAME} is an encoder, which is exported in fp32, or in fp16",
        ),
        (("--precision", "int8", "--calibration", "."), f"--precision: {NAME} is an encoder, which is"),
        (("--calibration", "."), "--calibration: it is for --precision int8"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_the_work(
    run: Run, server: Server, cache: Path, tmp_path: Path, options: tuple[str, ...], said: str
):
    export_it = (
        "models",
        "export",
        NAME,
        "--checkpoint",
        tmp_path / "published.pth",
        "-o",
        tmp_path / "m.onnx",
    )
    for command in (("models", "fetch", NAME), export_it):
        failed = run(*command, *options)
        assert (failed.code, failed.out, one_line(failed.err)) == (2, "", True)
        assert said in failed.err
    assert server.asked == []
    assert not (tmp_path / "m.onnx").exists()


def test_show_an_encoder(run: Run, cache: Path):
    shown = run("models", "show", "resnet50")
    assert (shown.code, shown.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert lines["network"] == "ResNet of 3 + 4 + 6 + 3 bottlenecks"
    assert lines["output"] == "a grid of 7 x 7 vectors of length 2048"
    assert lines["ImageNet"] == "top-1 80.858 (one crop)"
    assert (lines["sha256"], lines["here"]) == ("11ad3fa6...", "no")
    assert "classes" not in lines
    values = run("models", "show", NAME, "--json").json
    assert (values["kind"], values["dim"], values["size"]["length"]) == ("encoder", 384, 224)
    spec = {"family": "vit", "width": 384, "depth": 12, "heads": 6, "patch": 14, "table": 37}
    assert values["architecture"] == spec
    assert values["checkpoint"]["sha256"] is None
