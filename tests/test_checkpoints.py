# SPDX-License-Identifier: MIT
"""Reading checkpoints of every published layout, and refusing other files; needs torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

import checkpoint_files as files  # noqa: E402
from hrnet_reading import TINY, Reading, shaken  # noqa: E402
from semcbir.errors import ModelError  # noqa: E402
from semcbir.export import weights  # noqa: E402
from semcbir.export.checkpoints import build_network, load_checkpoint, load_weights  # noqa: E402
from semcbir.export.hrnet import HRNet  # noqa: E402
from semcbir.export.ocr import HRNetOCR  # noqa: E402
from semcbir.networks.draft import CardDraft  # noqa: E402
from semcbir.networks.published import PUBLISHED, Architecture, Checkpoint, PublishedModel  # noqa: E402
from semcbir.networks.specs import SizeSpec  # noqa: E402

CLASSES = 7


def network(kind: Any = HRNet, classes: int = CLASSES) -> Any:
    return kind(TINY, classes, align_corners=True)


@pytest.fixture(scope="module")
def trained() -> Any:
    """A network whose scales of batch normalisation are all positive, as after standard training."""
    model = shaken(network())
    for name, value in model.state_dict().items():
        if name.endswith("weight") and value.ndim == 1:
            value.abs_()
    return model


def scores(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        return model(torch.randn(1, 3, 65, 97))


def load(path: Path, model: Any | None = None, layout: Any = "hrnet", **options: Any) -> tuple[Any, Any]:
    model = model or network()
    return model, load_weights(path, model, "tiny", layout=layout, **options)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("write", "layout", "dropped"),
    [
        (files.hrnet, "hrnet", 1),
        (files.hrnet_nested, "hrnet", 1),
        (files.mseg, "mseg", 0),
        (dict, "hrnet", 0),
    ],
)
def test_a_layout_comes_back_as_the_same_network(
    tmp_path: Path, trained: Any, write: files.Layout, layout: str, dropped: int, zipped: bool
) -> None:
    path = files.write(tmp_path / "a.pth", write(trained.state_dict()), zipped=zipped)
    found, report = load(path, layout=layout)
    assert not found.training
    torch.testing.assert_close(scores(found), scores(trained), rtol=0, atol=0)
    assert (report.batch_norm, report.corrected, report.dropped, report.notes) == ("standard", 0, dropped, ())


def test_mmsegmentation_has_no_bias_in_the_head(tmp_path: Path, trained: Any) -> None:
    path = files.write(tmp_path / "a.pth", files.mmsegmentation(trained.state_dict()))
    found, report = load(path, layout="mmsegmentation", head_bias=False)
    without = network().eval()
    without.load_state_dict(trained.state_dict() | {"last_layer.0.bias": torch.zeros(60)})
    torch.testing.assert_close(scores(found), scores(without), rtol=0, atol=0)
    assert report.dropped == 1
    with pytest.raises(ModelError, match=r"1 missing \(last_layer\.0\.bias\)"):
        load(path, layout="mmsegmentation")


def test_the_ocr_head_has_an_auxiliary_one(tmp_path: Path) -> None:
    model = shaken(network(HRNetOCR))
    path = files.write(tmp_path / "a.pth", files.hrnet(model.state_dict()))
    found, _ = load(path, network(HRNetOCR))
    torch.testing.assert_close(scores(found), scores(model), rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False])
def test_scales_of_inplace_abn_are_corrected(tmp_path: Path, trained: Any, zipped: bool) -> None:
    state = {key: value.clone() for key, value in trained.state_dict().items()}
    scales = [key for key in state if key.endswith("weight") and state[key].ndim == 1]
    torch.manual_seed(5)
    for key in scales:
        state[key][torch.rand(state[key].shape) < 0.1] *= -1
    assert sum(int((state[key] < 0).sum()) for key in scales) > 20
    path = files.write(tmp_path / "a.pth", files.hrnet_torch04(state), zipped=zipped)
    found, report = load(path, expected="inplace_abn")
    reading = Reading(state, True, inplace_abn=True)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = reading.head("last_layer", reading.features(torch.randn(1, 3, 65, 97), TINY))
        plain = Reading(state, True)
        torch.manual_seed(1)
        wrong = plain.head("last_layer", plain.features(torch.randn(1, 3, 65, 97), TINY))
    torch.testing.assert_close(scores(found), expected, rtol=1e-5, atol=1e-5)
    assert (expected - wrong).abs().max() > 0.01
    assert report.batch_norm == "inplace_abn"
    assert report.corrected == sum(state[key].numel() for key in scales)
    assert len(report.notes) == 1
    assert "InPlaceABNSync" in report.notes[0]
    for key in scales:
        torch.testing.assert_close(found.state_dict()[key], state[key].abs() + 1e-5, rtol=0, atol=0)


def test_negative_scales_of_standard_training_stay(tmp_path: Path) -> None:
    model = shaken(network())
    found, report = load(files.write(tmp_path / "a.pth", files.hrnet(model.state_dict())))
    assert (found.state_dict()["bn1.weight"] < 0).any()
    torch.testing.assert_close(scores(found), scores(model), rtol=0, atol=0)
    assert report.corrected == 0


def test_the_file_decides_how_it_was_trained(tmp_path: Path, trained: Any) -> None:
    state = trained.state_dict()
    _, report = load(files.write(tmp_path / "a.pth", files.hrnet_torch04(state)), expected="standard")
    assert report.batch_norm == "inplace_abn"
    assert "expected plain batch normalisation, but the file has InPlaceABNSync" in report.notes[1]
    _, report = load(files.write(tmp_path / "b.pth", files.hrnet(state)), expected="inplace_abn")
    assert (report.batch_norm, report.corrected) == ("standard", 0)
    assert "expected InPlaceABNSync, but the file has plain batch normalisation" in report.notes[0]


def made_model(**architecture: Any) -> PublishedModel:
    options = {"width": 4, "n_classes": CLASSES, "align_corners": False}
    card = CardDraft(
        name="made",
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        size=SizeSpec(rule="long_side", length=64, multiple=32),
        align_corners=False,
    )
    return PublishedModel(
        card=card,
        architecture=Architecture(**(options | architecture)),
        checkpoint=Checkpoint(file="made.pth", layout="mmsegmentation"),
    )


def test_load_checkpoint_builds_what_was_published(tmp_path: Path) -> None:
    model = made_model(head_bias=False)
    source = shaken(build_network(model.architecture))
    source.load_state_dict(source.state_dict() | {"last_layer.0.bias": torch.zeros(60)})
    path = files.write(tmp_path / "made.pth", files.mmsegmentation(source.state_dict()))
    found, report = load_checkpoint(path, model)
    assert type(found) is HRNet
    assert not found.align_corners
    torch.testing.assert_close(scores(found), scores(source), rtol=0, atol=0)
    assert len(report.sha256) == 64


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_published_network_can_be_built(name: str) -> None:
    architecture = PUBLISHED[name].architecture
    with torch.device("meta"):
        model = build_network(architecture)
    assert len(model.state_dict()) == {"simple": 1839, "ocr": 1890}[architecture.head]
    head = model.cls_head if architecture.head == "ocr" else model.last_layer[3]
    assert head.weight.shape[0] == len(PUBLISHED[name].card.classes)
    assert model.align_corners is architecture.align_corners


class Payload:
    """A pickle that runs a command when it is loaded carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["alone", "beside the weights", "in the meta"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(
    tmp_path: Path, trained: Any, place: str, zipped: bool
) -> None:
    payload = Payload(tmp_path / "ran")
    content = {
        "alone": payload,
        "beside the weights": {"state_dict": dict(trained.state_dict()), "x": payload},
        "in the meta": {"meta": {"config": payload}} | {"state_dict": dict(trained.state_dict())},
    }[place]
    path = files.write(tmp_path / "evil.pth", content, zipped=zipped)
    with pytest.raises(ModelError, match=r"evil\.pth: refused: to load it would run \w+\.mkdir"):
        load(path)
    assert not (tmp_path / "ran").exists()


def html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Google Drive can't scan this file</body></html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def words(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")


def folder(path: Path) -> None:
    path.mkdir()


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(5, 256)) * 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (html, "this is a web page, not a checkpoint"),
        (empty, r"the file is empty \(0 bytes\)"),
        (words, "this is not a checkpoint"),
        (noise, "this is not a checkpoint"),
        (folder, "this is a folder"),
        (lambda path: None, "cannot read the checkpoint: No such file"),
        (lambda path: torch.save(torch.ones(3), path), "expected named weights.*got Tensor"),
        (
            lambda path: torch.save({"epoch": 3, "lr": 0.1}, path),
            r"a dictionary of 2 entries \('epoch', 'lr'\)",
        ),
        (lambda path: torch.save({"conv1.weight": torch.ones(1), "n": 3}, path), "'n' is of type int"),
        (lambda path: torch.save({1: torch.ones(1)}, path), "1 is of type Tensor"),
    ],
)
def test_other_files_are_refused_with_what_they_are(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    path = tmp_path / "a.pth"
    make(path)
    with pytest.raises(ModelError, match=rf"a\.pth: .*{message}"):
        load(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_cut_off_file_is_reported(tmp_path: Path, trained: Any, share: float, zipped: bool) -> None:
    path = files.write(tmp_path / "a.pth", files.hrnet(trained.state_dict()), zipped=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="cut short or damaged; download it again"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state | {"model.conv1.weight": torch.ones(64, 3, 7, 7)},
            r"weights of tiny: 1 of another shape \(conv1\.weight \(64, 3, 7, 7\) for \(64, 3, 3, 3\)\)",
        ),
        (
            lambda state: {key: value for key, value in state.items() if "layer1" not in key},
            r"missing \(layer1\.0\.conv1\.weight, layer1\.0\.bn1\.weight, layer1\.0\.bn1\.bias, \.\.\.\)$",
        ),
        (lambda state: state | {"model.neck.x": torch.ones(1)}, r"1 unexpected \(neck\.x\)$"),
        (lambda state: state | {"conv1.weight": torch.ones(1)}, "holds 'conv1.weight' twice"),
        (
            lambda state: state | {"model.bn1.bias": torch.full((64,), torch.nan)},
            r"bn1\.bias holds numbers that are not finite",
        ),
        (
            lambda state: state | {"model.bn2.weight": torch.full((64,), torch.inf)},
            r"bn2\.weight holds numbers that are not finite",
        ),
        (
            lambda state: state | {"model.bn1.running_var": torch.full((64,), -1.0)},
            r"bn1\.running_var holds variances below 0",
        ),
        (
            lambda state: state | {"model.bn1.bias": torch.ones(64, dtype=torch.int64)},
            r"bn1\.bias: expected plain floating-point numbers",
        ),
        (
            lambda state: {key: value for key, value in state.items() if "bn1.num_batches" not in key},
            r"missing \(bn1\.num_batches_tracked",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, trained: Any, change: Any, message: str) -> None:
    path = files.write(tmp_path / "a.pth", change(files.hrnet(trained.state_dict())))
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        load(path, model)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize("kind", [HRNet, HRNetOCR])
def test_another_number_of_classes_is_reported(tmp_path: Path, kind: Any) -> None:
    path = files.write(tmp_path / "a.pth", files.hrnet(network(kind, 5).state_dict()))
    with pytest.raises(ModelError, match=r"a\.pth: its model has 5 classes, tiny has 7$"):
        load(path, network(kind))


def test_another_head_is_reported(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.pth", files.hrnet(network(HRNetOCR).state_dict()))
    with pytest.raises(ModelError, match=r"9 missing \(last_layer\.0\.weight, .*; 60 unexpected \(aux_head"):
        load(path)


def test_half_precision_weights_are_taken(tmp_path: Path, trained: Any) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    found, _ = load(files.write(tmp_path / "a.pth", files.hrnet(halves)))
    assert found.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(scores(found), scores(trained), rtol=0.05, atol=0.05)


def test_numpy_numbers_are_taken_where_numpy_is_older(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write(tmp_path / "a.pth", files.mseg(trained.state_dict()))
    monkeypatch.delattr(np, "_core", raising=False)  # as in NumPy 1
    found, _ = load(path, layout="mseg")
    torch.testing.assert_close(scores(found), scores(trained), rtol=0, atol=0)


def test_our_own_mistakes_are_not_called_damage(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise AttributeError("no such thing")

    path = files.write(tmp_path / "a.pth", files.hrnet(trained.state_dict()))
    monkeypatch.setattr(weights, "_safe_globals", broken)
    with pytest.raises(AttributeError, match="no such thing"):
        load(path)


# Elements at stride 0: no bytes in the file, but terabytes once something is computed with them.
HUGE = 10**12


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    ("key", "make", "message"),
    [
        ("last_layer.0.weight", lambda value: torch.tensor(1.0), r"last_layer\.0\.weight \(\) for \(60,"),
        ("last_layer.0.weight", lambda value: torch.ones(1).expand(HUGE), "1 of another shape"),
        ("bn1.weight", lambda value: torch.ones(1).expand(HUGE), "1 of another shape"),
        ("bn1.weight", lambda value: value > 0, r"bn1\.weight: expected plain .*torch\.bool"),
        ("bn1.weight", lambda value: value.to_sparse(), r"bn1\.weight: expected plain .*sparse_coo"),
        ("bn1.weight", lambda value: value.to("meta"), r"bn1\.weight: expected plain .*on meta"),
        ("bn1.weight", lambda value: value.to(torch.complex64), r"bn1\.weight: expected plain .*complex64"),
        ("bn1.weight", lambda value: value.to(torch.float8_e5m2), r"bn1\.weight: expected plain .*float8"),
        (
            "bn1.weight",
            lambda value: value.double() + 1e300,
            r"bn1\.weight holds numbers that are not finite",
        ),
    ],
)
def test_odd_tensors_are_refused_before_they_are_touched(
    tmp_path: Path, trained: Any, key: str, make: Any, message: str, counted: bool
) -> None:
    state = trained.state_dict()
    changed = state | {key: make(state[key])}
    if not counted:
        changed = {name: value for name, value in changed.items() if not name.endswith("tracked")}
    path = files.write(tmp_path / "a.pth", files.mmsegmentation(changed))
    assert path.stat().st_size < 20e6
    with pytest.raises(ModelError, match=rf"a\.pth: .*{message}"):
        load(path, layout="mmsegmentation", head_bias=False)


def test_counters_are_not_read(tmp_path: Path, trained: Any) -> None:
    state = trained.state_dict() | {"bn1.num_batches_tracked": torch.tensor(torch.nan)}
    found, _ = load(files.write(tmp_path / "a.pth", files.hrnet(state)))
    torch.testing.assert_close(scores(found), scores(trained), rtol=0, atol=0)


def test_scales_in_half_precision_are_corrected_in_float32(tmp_path: Path, trained: Any) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    found, _ = load(files.write(tmp_path / "a.pth", files.hrnet_torch04(halves)))
    expected = halves["bn1.weight"].float() + 1e-5
    torch.testing.assert_close(found.state_dict()["bn1.weight"], expected, rtol=0, atol=0)
