# SPDX-License-Identifier: MIT
"""Models and features that fail on some photos: those are left out, and the others are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hostile_models import looping
from semcbir import Index
from semcbir.errors import ImageError, ModelError
from semcbir.extractor import Extractor
from semcbir.features import KAZE
from semcbir.index import run
from semcbir.inference import network, watchdog
from semcbir.networks.specs import InferenceSpec
from test_runtime import PretendedCuda, cuda
from tiny_models import labels_network, logits_network, tiny_model

__all__ = ["PretendedCuda", "cuda"]

GOOD, BAD = (90, 30, 20), (255, 255, 255)
"""Colours of photos: the networks below fail where a photo is brighter than 240."""

Network = Callable[[], onnx.ModelProto]


def without_finite_scores() -> onnx.ModelProto:
    """Scores + 0 sqrt(2.2 - the highest value): normalised white lies above 2.2."""
    graph = logits_network("N")
    (node,) = graph.graph.node
    node.output[0] = "scores"
    for name, value in (("most", 2.2), ("zero", 0.0)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["image"], ["highest"], keepdims=1, axes=[1, 2, 3]),
            helper.make_node("Sub", ["most", "highest"], ["room"]),
            helper.make_node("Sqrt", ["room"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
            helper.make_node("Add", ["scores", "nothing"], ["logits"]),
        ]
    )
    return graph


def brightest(graph: onnx.ModelProto) -> None:
    """Compute "bright" from a batch of bytes: the highest value, as an integer."""
    graph.graph.node.insert(0, helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.INT64))
    graph.graph.node.insert(1, helper.make_node("ReduceMax", ["numbers"], ["bright"], keepdims=0))


def failing() -> onnx.ModelProto:
    """Looks up each photo's highest value in a table that ends before white."""
    graph = labels_network("N")
    brightest(graph)
    graph.graph.node[1].attribute.append(helper.make_attribute("axes", [1, 2, 3]))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1, 1]), "rows"))
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros(241, np.uint8), "table"))
    graph.graph.node[-1].output[0] = "found"
    graph.graph.node.append(helper.make_node("Reshape", ["bright", "rows"], ["row"]))
    graph.graph.node.append(helper.make_node("Gather", ["table", "row"], ["nothing"]))
    graph.graph.node.append(helper.make_node("Add", ["found", "nothing"], ["labels"]))
    return graph


def of_an_unknown_class() -> onnx.ModelProto:
    """Adds 100 to the labels of photos with white."""
    graph = failing()
    table = np.repeat(np.array([0, 100], np.uint8), [241, 20])
    graph.graph.initializer[-1].CopyFrom(numpy_helper.from_array(table, "table"))
    return graph


def endless() -> onnx.ModelProto:
    """Loops for ever over photos with white."""
    graph = labels_network("N")
    brightest(graph)
    looping(graph)
    graph.graph.initializer.append(numpy_helper.from_array(np.array(240), "limit"))
    graph.graph.node.insert(2, helper.make_node("Greater", ["bright", "limit"], ["white"]))
    graph.graph.node[-1].input[1] = "white"
    return graph


NETWORKS = {
    "not finite": (without_finite_scores, "the model gave scores that are not finite"),
    "failing": (failing, "the model failed on an input of shape"),
    "unknown class": (of_an_unknown_class, "the model gave label 10"),
    "endless": (endless, "the model did not answer within 0.5 s"),
}


def model_of(name: str, path: Path) -> Path:
    make, _ = NETWORKS[name]
    return tiny_model(path, "logits" if name == "not finite" else "labels", network=make())


def photo(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((48, 64, 3), colour, np.uint8)


def folder_of(folder: Path, colours: list[tuple[int, int, int]]) -> Path:
    folder.mkdir()
    for number, colour in enumerate(colours):
        Image.fromarray(photo(colour)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, "0.5")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_photo_that_the_model_fails_on_is_skipped_alone(name: str, tmp_path: Path) -> None:
    colours = [GOOD, GOOD, BAD, GOOD, BAD, GOOD]
    photos = folder_of(tmp_path / "photos", colours)
    model = model_of(name, tmp_path / "m.onnx")
    index = Index.build(photos, tmp_path / "index", model=model, features="hog", device="cpu")
    _, why = NETWORKS[name]
    assert [record.path.name for record in index] == ["0.png", "1.png", "3.png", "5.png"]
    assert [skipped.path.name for skipped in index.skipped] == ["2.png", "4.png"]
    for skipped in index.skipped:
        assert skipped.reason.startswith(why)
    report = index.refresh()
    again = 2 if name == "failing" else 0  # it may be the computer's fault, so it is tried again
    assert (len(report.skipped), report.unchanged) == (again, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stream_through_a_gpu_leaves_out_the_same(
    name: str,
    tmp_path: Path,
    cuda: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(network.BATCH, "cuda", 3)
    model = model_of(name, tmp_path / "m.onnx")
    extractor = Extractor(model, "hog", device="cuda", threads=2)
    colours = [GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD]
    found = list(extractor.stream([photo(colour) for colour in colours]))
    assert [isinstance(one, ImageError) for one in found] == [colour == BAD for colour in colours]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_single_photo_that_the_model_fails_on_is_an_image_error(name: str, tmp_path: Path) -> None:
    extractor = Extractor(model_of(name, tmp_path / "m.onnx"), "hog", device="cpu")
    for work in (extractor.analyse, extractor.extract):
        with pytest.raises(ImageError, match=f"^array: {NETWORKS[name][1]}"):
            work(photo(BAD))
    assert len(extractor.extract([photo(GOOD)])) == 1


@pytest.mark.parametrize(
    "inference", [InferenceSpec(flip=True), InferenceSpec(crop=33)], ids=["flip", "windows"]
)
def test_a_photo_that_is_averaged_is_skipped_alone(inference: InferenceSpec, tmp_path: Path) -> None:
    model = model_of("not finite", tmp_path / "m.onnx")
    extractor = Extractor(model, "hog", device="cpu", inference=inference)
    good, bad, other = extractor.stream([photo(GOOD), photo(BAD), photo(GOOD)])
    assert isinstance(good, dict)
    assert isinstance(other, dict)
    assert isinstance(bad, ImageError)
    assert bad.reason == "the model gave scores that are not finite"


def test_a_model_that_fails_on_every_photo_ends_the_run(tmp_path: Path) -> None:
    graph = logits_network("N")
    bias = np.array([0, np.nan, 0, 0, 0], np.float32)
    graph.graph.initializer[1].CopyFrom(numpy_helper.from_array(bias, "b"))
    extractor = Extractor(tiny_model(tmp_path / "m.onnx", "logits", network=graph), "hog", device="cpu")
    with pytest.raises(ModelError, match=r"m\.onnx: gave scores that are not finite"):
        list(extractor.stream([photo(GOOD)] * 3))
    with pytest.raises(ModelError, match=r"m\.onnx: gave scores that are not finite"):
        extractor.analyse(photo(GOOD))


def test_a_model_that_seldom_answers_ends_the_run_and_what_is_ready_is_kept(tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", [GOOD, GOOD, BAD, BAD, BAD, BAD, GOOD])
    model = model_of("endless", tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="3 times in a row; it may never end"):
        Index.build(photos, tmp_path / "index", model=model, features="hog", device="cpu", threads=1)
    assert [record.path.name for record in Index.open(tmp_path / "index")] == ["0.png", "1.png"]


def test_whatever_ends_a_run_what_is_ready_is_committed(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_SECONDS", 1000.0)

    class BrokenError(Exception):
        pass

    def stop(progress: run.Progress) -> None:
        if progress.done == 5:
            raise BrokenError

    with pytest.raises(BrokenError):
        Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog", on_progress=stop)
    assert len(Index.open(tmp_path / "index")) == 5


@pytest.mark.parametrize(
    ("raised", "why", "transient"),
    [
        (cv2.error("bad size"), "no features can be found in it (bad size)", False),
        (MemoryError(), "no features can be found in it (MemoryError)", True),
        (ValueError("odd"), "no features can be found in it (odd)", False),
        (RuntimeError("odd"), "no features can be found in it (odd)", False),
    ],
)
def test_a_photo_that_a_feature_fails_on_is_skipped_alone(
    raised: Exception,
    why: str,
    transient: bool,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really = KAZE._compute

    def compute(self: KAZE, grey: np.ndarray) -> Any:
        if grey.min() > 240:
            raise raised
        return really(self, grey)

    monkeypatch.setattr(KAZE, "_compute", compute)
    extractor = Extractor(tiny_model, "kaze", device="cpu")
    good, bad, other = extractor.stream([photo(GOOD), photo(BAD), photo(GOOD)])
    assert isinstance(good, dict)
    assert isinstance(other, dict)
    assert isinstance(bad, ImageError)
    assert (bad.reason, bad.transient) == (why, transient)
    with pytest.raises(ImageError, match="no features can be found in it"):
        extractor.analyse(photo(BAD))


@pytest.mark.parametrize("raised", [cv2.error("bad size"), MemoryError()])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_photo_that_cannot_be_laid_out_is_skipped_alone(
    device: str,
    raised: Exception,
    tiny_model: Path,
    cuda: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if device == "cpu":
        monkeypatch.undo()
        monkeypatch.setenv(watchdog.VARIABLE, "0.5")
    from semcbir.inference import photo_model

    really = photo_model.lay_whole

    def lay_whole(image: np.ndarray, *rest: Any) -> Any:
        if image.min() > 240:
            raise raised
        return really(image, *rest)

    monkeypatch.setattr(photo_model, "lay_whole", lay_whole)
    extractor = Extractor(tiny_model, "hog", device=device)
    found = list(extractor.stream([photo(GOOD), photo(BAD), photo(GOOD)]))
    assert [isinstance(one, ImageError) for one in found] == [False, True, False]
