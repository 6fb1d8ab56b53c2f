# SPDX-License-Identifier: MIT
"""Encoders: what they give for photos of any size, and what happens if one does not do what its card says."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hostile_models import looping
from semcbir import DeviceError, Encoder, Grid, ModelError
from semcbir.inference import network, runtime, watchdog
from semcbir.inference.canvas import Placement, lay_whole
from semcbir.inference.model_file import ModelFile
from semcbir.inference.network import PhotoError
from semcbir.inference.photo_model import blame
from semcbir.networks.specs import SizeSpec
from tiny_models import DIM, MEAN, STD, cell_vectors, encoder_card, encoder_network, tiny_encoder, tiny_model

RATIO = {"rule": "long_side", "length": 64, "multiple": 16, "pad": [255, 0, 255]}
SHAPES = [(1, 1), (2, 1), (1, 99), (31, 33), (48, 48), (64, 64), (37, 211), (300, 200), (1000, 7)]


@pytest.fixture(scope="module")
def squash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("squash") / "m.onnx")


@pytest.fixture(scope="module")
def ratio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("ratio") / "m.onnx", size=RATIO)


def photos(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


def expected(encoder: Encoder, image: np.ndarray, stride: int = 8) -> np.ndarray:
    """The tiny encoder's cells (h, w, D) in float64, from the canvas that the network is given."""
    laid = lay_whole(image, encoder.card.input, encoder.card.size).transpose(1, 2, 0).astype(np.float64)
    colours = 255 * (laid * STD + MEAN)
    h, w = colours.shape[0] // stride, colours.shape[1] // stride
    return cell_vectors(colours.reshape(h, stride, w, stride, 3).mean(axis=(1, 3)))


def same(one: Grid, other: Grid) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("cells", "rows", "columns")
    )


# --- what a grid is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["squash", "ratio"])
def test_the_cells_are_what_the_graph_gives_for_the_canvas(
    model: str, request: pytest.FixtureRequest
) -> None:
    encoder = Encoder(request.getfixturevalue(model), device="cpu", threads=1)
    images = photos(*SHAPES)
    for image, grid in zip(images, encoder.encode(images), strict=True):
        right = expected(encoder, image)
        assert (grid.cells.dtype, grid.rows.dtype, grid.columns.dtype) == (np.float32, np.int32, np.int32)
        assert grid.cells.shape == right.shape
        assert grid.cells.flags.c_contiguous
        assert np.abs(grid.cells - right).max() < 1e-5
        assert (grid.rows.shape, grid.columns.shape) == ((image.shape[0],), (image.shape[1],))
        for places, side in ((grid.rows, grid.cells.shape[0]), (grid.columns, grid.cells.shape[1])):
            assert places[0] >= 0
            assert places[-1] < side
            assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("size", [None, RATIO, {"rule": "long_side", "length": 96, "multiple": 96}])
def test_a_pixel_has_the_vector_of_the_place_it_shows(size: dict[str, Any] | None, tmp_path: Path) -> None:
    """Four quarters of one colour each: away from their borders, a pixel's cell has its own colour."""
    encoder = Encoder(tiny_encoder(tmp_path / "m.onnx", size=size), device="cpu")
    colours = np.array([[[250, 10, 20], [30, 240, 50]], [[60, 70, 230], [90, 95, 99]]], np.uint8)
    image = np.repeat(np.repeat(colours, 120, axis=0), 160, axis=1)
    (grid,) = encoder.encode([image])
    given_to = grid.cells[grid.rows[:, None], grid.columns]
    wrong = np.abs(given_to - cell_vectors(image)).max(axis=2) > 0.02
    assert not wrong[:80, :100].any()
    assert not wrong[160:, 220:].any()
    assert not wrong[:80, 220:].any()
    assert not wrong[160:, :100].any()
    assert wrong.mean() < 0.4


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600), st.integers(1, 64), st.integers(1, 80)
)
def test_a_pixels_cell_is_that_of_its_centre(
    height: int, width: int, length: int, multiple: int, cells: int
) -> None:
    for size in (
        SizeSpec(rule="squash", length=length),
        SizeSpec(rule="long_side", length=length, multiple=multiple),
    ):
        image = np.broadcast_to(np.uint8(0), (height, width, 3))
        placement = Placement.of(image, size)
        given_to = placement.cells((cells, cells + 3))
        for axis, (places, side) in enumerate(zip(given_to, (cells, cells + 3), strict=True)):
            photo, crop, canvas = placement.photo[axis], placement.crop[axis], placement.canvas[axis]
            for pixel in {0, photo // 3, photo // 2, photo - 1}:
                centre = Fraction(2 * pixel + 1, 2) * crop / photo
                assert places[pixel] == floor(centre * side / canvas)
            assert places[-1] * canvas < crop * side  # not in a cell of padding alone


def test_the_largest_sizes_do_not_overflow() -> None:
    placement = Placement((2**24, 1), (2**13, 1), (2**13, 1))
    rows, _ = placement.cells((2**10, 1))
    assert (np.bincount(rows) == 2**14).all()


def test_any_batch_and_any_order_give_the_same_bits(
    ratio: Path, squash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photos(*SHAPES) * 2
    for model in (ratio, squash):
        encoder = Encoder(model, device="cpu", threads=1)
        alone = [encoder.encode([image])[0] for image in images]
        assert all(map(same, encoder.encode(images), alone))
        assert all(map(same, encoder.encode(images[::-1]), alone[::-1]))
        assert encoder.encode([]) == []
        with ThreadPoolExecutor(4) as pool:
            assert all(map(same, pool.map(lambda image, e=encoder: e.encode([image])[0], images), alone))
        monkeypatch.setitem(network.BATCH, "cpu", 3)
        together = Encoder(model, device="cpu", threads=1)
        assert together.batch_size == 3
        outputs = together.run(images, [together.lay(image) for image in images])
        assert all(map(same, map(together.grid, images, outputs), alone))  # type: ignore[arg-type]
        monkeypatch.undo()


def test_a_graph_with_a_fixed_batch_gets_that_many(tmp_path: Path, ratio: Path) -> None:
    images = photos(*SHAPES)
    fixed = Encoder(tiny_encoder(tmp_path / "m.onnx", size=RATIO, batch=4), device="cpu")
    assert fixed.batch_size == 4
    assert all(map(same, fixed.encode(images), Encoder(ratio, device="cpu").encode(images)))


def test_what_an_encoder_says_of_itself(squash: Path) -> None:
    encoder = Encoder(squash.with_suffix(".json"), device="cpu", threads=2)
    assert (encoder.model_path, encoder.device, encoder.dim, encoder.tuned) == (squash, "cpu", DIM, False)
    assert encoder.providers == ["CPUExecutionProvider"]
    assert (encoder.batches, encoder.output_bytes) == (False, 4 * DIM * 48 * 48)
    encoder.try_blank()
    assert encoder.output_bytes == 4 * DIM * 6 * 6
    assert repr(encoder) == f"Encoder({str(squash)!r}, device='cpu', dim={DIM})"


@pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_an_encoder_can_be_pickled_and_copied(again: Callable[[Any], Any], squash: Path) -> None:
    encoder = Encoder(squash, device="cpu", threads=1)
    twin = again(encoder)
    images = photos(*SHAPES)
    assert twin.model_path == encoder.model_path
    assert all(map(same, twin.encode(images), encoder.encode(images)))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_half_and_double_precision_come_out_as_float32(kind: int, tmp_path: Path, squash: Path) -> None:
    graph = encoder_network()
    graph.graph.node.append(helper.make_node("Cast", ["grid"], ["cast"], to=kind))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("cast", kind, ["N", DIM, "h", "w"]))
    encoder = Encoder(tiny_encoder(tmp_path / "m.onnx", network=graph, output="cast"), device="cpu")
    images = photos((40, 30))
    (cast,), (plain,) = encoder.encode(images), Encoder(squash, device="cpu").encode(images)
    assert cast.cells.dtype == np.float32
    assert np.abs(cast.cells - plain.cells).max() < 2e-3


# --- CUDA, as far as it can be told without one -------------------------------------------------------------


class PretendedCuda:
    """A session on the CPU that says it has CUDA, and notes the shapes that it is given."""

    def __init__(self, session: Any) -> None:
        self.session, self.shapes = session, []  # type: ignore[var-annotated]

    def get_providers(self) -> list[str]:
        return [runtime.CUDA, runtime.CPU]

    def run(self, outputs: Any, inputs: dict[str, np.ndarray], options: Any = None) -> Any:
        self.shapes += [value.shape for value in inputs.values()]
        return self.session.run(outputs, inputs, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


def test_on_a_gpu_images_go_in_batches_of_one_shape(
    squash: Path, ratio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[bool] = []

    def open_session(file: ModelFile, device: str, threads: int, *, tune: bool) -> Any:
        tuned.append(tune)
        return PretendedCuda(runtime.open_session(file, "cpu", threads))

    images = photos(*SHAPES)
    plain = Encoder(squash, device="cpu").encode(images)
    monkeypatch.setattr(network, "open_session", open_session)
    encoder = Encoder(squash, device="cuda", tune=True)
    assert (encoder.device, encoder.batches, encoder.batch_size, encoder.tuned) == ("cuda", True, 8, True)
    assert all(map(same, encoder.encode(images), plain))
    assert encoder._network._session.shapes == [(8, 3, 48, 48)] * 2
    Encoder(ratio, device="cuda", tune=True)
    assert tuned == [True, False]  # several sizes of canvas: planning longer would be in vain


def test_a_gpu_that_is_not_there_is_an_error(squash: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_cuda_obstacle", lambda: "there is none")
    with pytest.raises(DeviceError, match="device='cuda' is not available: there is none"):
        Encoder(squash, device="cuda")
    assert Encoder(squash, device="cpu").device == "cpu"


# --- encoders that do not do what their card says -----------------------------------------------------------


def logarithmic() -> onnx.ModelProto:
    """The tiny encoder, but with the logarithm of every number: not finite where a mean is not above 0."""
    graph = encoder_network()
    graph.graph.node.append(helper.make_node("Log", ["grid"], ["logs"]))
    graph.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("logs", TensorProto.FLOAT, ["N", DIM, "h", "w"])
    )
    return graph


def test_numbers_that_are_not_finite_are_that_photos_error(tmp_path: Path) -> None:
    encoder = Encoder(tiny_encoder(tmp_path / "m.onnx", network=logarithmic(), output="logs"), device="cpu")
    good = np.full((40, 50, 3), (250, 10, 250), np.uint8)
    bad = good.copy()
    bad[:9, :9] = 0
    encoder.encode([good])
    with pytest.raises(PhotoError, match=r"m\.onnx: gave descriptors that are not finite") as caught:
        encoder.encode([good, bad])
    assert caught.value.reason == "gave descriptors that are not finite"
    outputs = encoder.run([good, bad, good], [encoder.lay(image) for image in (good, bad, good)])
    assert np.isfinite(encoder.grid(good, outputs[2]).cells).all()  # type: ignore[arg-type]


def test_an_encoder_that_fails_on_a_blank_image_too_is_to_blame(tmp_path: Path, squash: Path) -> None:
    error = PhotoError("m.onnx: failed", reason="failed")
    assert blame(Encoder(squash, device="cpu"), error) is error
    broken = Encoder(tiny_encoder(tmp_path / "m.onnx", network=logarithmic(), output="logs"), device="cpu")
    with pytest.raises(ModelError, match="not finite") as caught:
        blame(broken, error)
    assert not isinstance(caught.value, PhotoError)


def reshaped(*shape: int, declared: list[Any] | None, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """The tiny encoder, but its output is of ``shape``, whatever it declares."""
    graph = encoder_network()
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape"))
    graph.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["zeros"]))
    graph.graph.node.append(helper.make_node("Cast", ["zeros"], ["cast"], to=kind))
    graph.graph.node.append(helper.make_node("Identity", ["cast"], ["made"]))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("made", kind, declared))
    return graph


def written(path: Path, graph: onnx.ModelProto, **changes: Any) -> Path:
    """Write a graph that contradicts itself, which onnx.checker would refuse, and its card."""
    path.write_bytes(graph.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(encoder_card(path) | changes), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("shape", "declared", "kind", "said"),
    [
        ((1, 5, 6, 6), [1, 5, 6, 6], TensorProto.FLOAT, "gives vectors of length 5, its card says dim 4"),
        ((1, 4, 6), [1, 4, 6], TensorProto.FLOAT, r"of shape \(N, 4, h, w\), got \[1, 4, 6\]"),
        ((1, 4, 6, 6), [1, 4, 6, 6], TensorProto.INT64, r"grid of floats, the graph gives tensor\(int64\)"),
        ((1, 4, 2000, 1), [1, 4, 2000, 1], TensorProto.FLOAT, "1 to 1024 cells a side, got 2000 x 1"),
    ],
)
def test_a_graph_that_cannot_be_what_its_card_says_is_refused(
    shape: tuple[int, ...], declared: list[Any], kind: int, said: str, tmp_path: Path
) -> None:
    model = written(tmp_path / "m.onnx", reshaped(*shape, declared=declared, kind=kind), output="made")
    with pytest.raises(ModelError, match=said):
        Encoder(model, device="cpu")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 5, 6, 6), r"expected a grid of shape \(1, 4, h, w\), got \(1, 5, 6, 6\)"),
        ((2, 4, 6, 6), r"expected a grid of shape \(1, 4, h, w\), got \(2, 4, 6, 6\)"),
        ((1, 4, 0, 6), "1 to 1024 cells a side, got 0 x 6"),
        ((1, 4, 1025, 1), "1 to 1024 cells a side, got 1025 x 1"),
    ],
)
def test_a_graph_that_gives_another_shape_fails_on_the_photo(
    shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    graph = reshaped(*shape, declared=None)
    # The shape comes with the photo, so that it is known only when the graph runs.
    graph.graph.initializer.remove(next(one for one in graph.graph.initializer if one.name == "shape"))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "fixed"))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.int64), "none"))
    graph.graph.node.insert(0, helper.make_node("Add", ["fixed", "extra"], ["shape"]))
    graph.graph.node.insert(0, helper.make_node("Mul", ["whole", "none"], ["extra"]))
    graph.graph.node.insert(0, helper.make_node("Cast", ["largest"], ["whole"], to=TensorProto.INT64))
    graph.graph.node.insert(0, helper.make_node("ReduceMax", ["image"], ["largest"], keepdims=0))
    encoder = Encoder(written(tmp_path / "m.onnx", graph, output="made"), device="cpu")
    with pytest.raises(PhotoError, match=said):
        encoder.encode(photos((30, 30)))


def test_an_output_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no output 'features', only grid"):
        Encoder(tiny_encoder(tmp_path / "m.onnx", output="features"), device="cpu")


def test_a_graph_of_one_size_must_be_that_of_the_card(tmp_path: Path, squash: Path) -> None:
    graph = encoder_network()
    for place, side in (("input", 40), ("output", 5)):
        shape = getattr(graph.graph, place)[0].type.tensor_type.shape
        for axis in (2, 3):
            shape.dim[axis].Clear()
            shape.dim[axis].dim_value = side
    fitting = {"rule": "squash", "length": 40}
    encoder = Encoder(tiny_encoder(tmp_path / "m.onnx", network=graph, size=fitting), device="cpu")
    assert encoder.encode(photos((9, 70)))[0].cells.shape == (5, 5, DIM)
    with pytest.raises(ModelError, match="but the card's size rule gives other sides"):
        Encoder(tiny_encoder(tmp_path / "n.onnx", network=graph), device="cpu")


def test_another_file_than_the_cards_is_refused(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path / "m.onnx")
    model.write_bytes(encoder_network(batch=2).SerializeToString())
    with pytest.raises(ModelError, match="not the file that its card 'tiny-encoder' describes"):
        Encoder(model)


def test_an_endless_encoder_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, "0.5")
    graph = encoder_network()
    looping(graph, "grid", TensorProto.FLOAT, "ndhw")
    encoder = Encoder(tiny_encoder(tmp_path / "m.onnx", network=graph, output="last"), device="cpu")
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(PhotoError, match=r"m\.onnx: did not answer within 0\.5 s$"):
            encoder.encode(photos((30, 30)))
    with pytest.raises(ModelError, match="3 times in a row; it may never end"):
        encoder.encode(photos((30, 30)))
    assert 1.5 <= time.monotonic() - start < 30


def test_a_segmentation_model_is_no_encoder(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx")
    for given_as in (model, model.with_suffix(".json")):
        with pytest.raises(
            ModelError, match="expected the card of an encoder, this is that of a segmentation model"
        ):
            Encoder(given_as)


@pytest.mark.parametrize(
    ("images", "error", "said"),
    [
        (np.zeros((3, 3, 3), np.uint8), TypeError, r"pass \[image\]"),
        ([np.zeros((3, 3, 3))], TypeError, "image 0: expected an array of uint8, got float64"),
        ([np.zeros((3, 0, 3), np.uint8)], ValueError, r"image 0: expected shape \(H, W, 3\)"),
        ([np.zeros((3, 3), np.uint8)], ValueError, r"image 0: expected shape \(H, W, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(images: Any, error: type[Exception], said: str, squash: Path) -> None:
    with pytest.raises(error, match=said):
        Encoder(squash, device="cpu").encode(images)
