# SPDX-License-Identifier: MIT
"""Classifiers: graphs that give a vector or a grid for a photo, their cards, and docs/baselines.md."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from semcbir import Encoder, ModelError
from semcbir.baselines import Classifier, embedding_card
from semcbir.inference.canvas import lay_whole
from semcbir.inference.network import PhotoError
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.specs import InputSpec, SizeSpec
from tiny_models import DIM, MEAN, STD, cell_vectors, encoder_network, tiny_encoder

SHAPES = [(1, 1), (1, 99), (31, 33), (48, 48), (300, 200), (20, 60)]
DOCS = Path(__file__).resolve().parents[1] / "docs" / "baselines.md"


def photos(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


def classifier(
    batch: str | int = "N", *, axes: int = 2, declared: Any = "", dim: int = DIM
) -> onnx.ModelProto:
    """(N, 3, H, W) float32 normalised -> "embedding", the tiny encoder's vector of the mean colour; "logits".

    The embedding has ``axes`` axes; it is declared as it is, or as ``declared``.
    """
    graph = encoder_network(batch, 8)
    shape = [batch, dim, 1, 1][:axes]
    if dim != DIM:  # the same vector again and again
        graph.graph.initializer.append(numpy_helper.from_array(np.array([1, dim // DIM, 1, 1]), "times"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, dim, 1, 1][:axes]), "shape"))
    nodes = [
        helper.make_node("GlobalAveragePool", ["grid"], ["pooled"]),
        *([helper.make_node("Tile", ["pooled", "times"], ["tiled"])] if dim != DIM else []),
        helper.make_node("Reshape", ["tiled" if dim != DIM else "pooled", "shape"], ["embedding"]),
        helper.make_node("Softmax", ["embedding"], ["logits"], axis=1),
    ]
    graph.graph.node.extend(nodes)
    del graph.graph.output[:]
    for name in ("logits", "embedding"):
        graph.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape if declared == "" else declared)
        )
    return graph


def made(path: Path, graph: onnx.ModelProto | None = None, **facts: Any) -> EncoderCard:
    """Write a classifier as ``path`` and return its card."""
    path.write_bytes((graph or classifier()).SerializeToString())
    facts = {"dim": DIM, "output": "embedding", "size": SizeSpec(rule="squash", length=48)} | facts
    return embedding_card(path, **facts)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EncoderCard]:
    path = tmp_path_factory.mktemp("classifier") / "m.onnx"
    return path, made(path)


def expected(image: np.ndarray, card: EncoderCard) -> np.ndarray:
    """The vector of a classifier in float64, from the canvas that it is given."""
    laid = lay_whole(image, card.input, card.size).transpose(1, 2, 0).astype(np.float64)
    return cell_vectors((255 * (laid * STD + MEAN)).mean(axis=(0, 1)))


def test_the_vector_of_a_photo(model: tuple[Path, EncoderCard]) -> None:
    path, card = model
    made_of = Classifier(path, card=card, device="cpu", threads=1)
    images = photos(*SHAPES)
    vectors = made_of.describe_many(iter(images))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [expected(image, card) for image in images], atol=1e-5)
    for image, vector in zip(images, vectors, strict=True):
        assert np.array_equal(made_of.describe(image), vector)
    assert made_of.describe_many([]).shape == (0, DIM)


def test_cosine_is_l2_of_vectors_of_length_1(model: tuple[Path, EncoderCard]) -> None:
    path, card = model
    images = photos(*SHAPES)
    plain = Classifier(path, card=card, device="cpu").describe_many(images).astype(np.float64)
    unit = Classifier(path, "cosine", card=card, device="cpu").describe_many(images)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)
    assert not np.allclose(unit, plain, atol=0.1)


@pytest.mark.parametrize("axes", [2, 4])
@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_vectors_with_and_without_sides_in_any_batch(
    axes: int, batch: str | int, tmp_path: Path, model: tuple[Path, EncoderCard]
) -> None:
    path, card = model
    images = photos(*SHAPES)
    plain = Classifier(path, card=card, device="cpu").describe_many(images)
    other = made(tmp_path / "m.onnx", classifier(batch, axes=axes))
    found = Classifier(tmp_path / "m.onnx", card=other, device="cpu").describe_many(images)
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_few_images_are_held_at_a_time(model: tuple[Path, EncoderCard], monkeypatch: Any) -> None:
    path, card = model
    made_of = Classifier(path, card=card, device="cpu")
    images = photos(*SHAPES)
    whole = made_of.describe_many(images)
    monkeypatch.setattr("semcbir.baselines.classifier._AT_ONCE", 2)
    taken: list[int] = []
    seen: list[int] = []

    def given() -> Iterator[np.ndarray]:
        for number, image in enumerate(images):
            taken.append(number)
            yield image

    run = made_of._network.run
    monkeypatch.setattr(made_of._network, "run", lambda *a: (seen.append(len(taken)), run(*a))[1])
    assert np.array_equal(made_of.describe_many(given()), whole)
    assert seen == [2, 2, 4, 4, 6, 6]


def test_the_mean_of_an_encoders_grid_counts_without_padding(tmp_path: Path) -> None:
    size = {"rule": "long_side", "length": 64, "multiple": 64, "pad": [255, 0, 255]}
    path = tiny_encoder(tmp_path / "m.onnx", size=size)
    images = photos((64, 64), (24, 64), (64, 16), (200, 300))
    found = Classifier(path, device="cpu").describe_many(images)
    for image, vector, grid in zip(images, found, Encoder(path, device="cpu").encode(images), strict=True):
        cells = grid.cells[: grid.rows[-1] + 1, : grid.columns[-1] + 1].astype(np.float64)
        np.testing.assert_allclose(vector, cells.mean(axis=(0, 1)), rtol=1e-6, atol=1e-6)
        if image.shape[0] != image.shape[1]:
            assert np.abs(vector - grid.cells.mean(axis=(0, 1))).max() > 0.01


def test_a_card_beside_the_file_or_in_its_place(model: tuple[Path, EncoderCard], tmp_path: Path) -> None:
    path, card = model
    images = photos((30, 40))
    plain = Classifier(path, card=card, device="cpu").describe_many(images)
    moved = tmp_path / "m.onnx"
    moved.write_bytes(path.read_bytes())
    card.save(tmp_path / "m.json")
    for named in (moved, str(moved), tmp_path / "m.json"):
        beside = Classifier(named, device="cpu")
        assert beside.card == card
        assert np.array_equal(beside.describe_many(images), plain)


def test_the_default_encoder_by_its_name() -> None:
    image = photos((40, 50))[0]
    named = Classifier("efficientnet-lite0", device="cpu")
    (grid,) = Encoder(device="cpu").encode([image])
    np.testing.assert_allclose(named.describe(image), grid.cells.mean(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_a_classifier_can_be_pickled_and_copied(
    again: Callable[[Any], Any], model: tuple[Path, EncoderCard]
) -> None:
    path, card = model
    made_of = Classifier(path, "cosine", card=card, device="cpu", threads=1)
    twin = again(made_of)
    assert repr(twin) == repr(made_of) == f"Classifier({str(path)!r}, metric='cosine', device='cpu', dim=4)"
    assert np.array_equal(twin.describe_many(photos(*SHAPES)), made_of.describe_many(photos(*SHAPES)))


def test_what_a_classifier_says_of_itself(model: tuple[Path, EncoderCard]) -> None:
    path, card = model
    made_of = Classifier(path, card=card, device="cpu")
    assert (made_of.metric, made_of.dim, made_of.device, made_of.tuned) == ("l2", DIM, "cpu", False)
    assert (made_of.card, made_of.model_path) == (card, path)
    made_of.try_blank()
    assert made_of.output_bytes == 4 * DIM


def test_mobilenetv2_as_the_benchmark_has_it(shared_dir: Path) -> None:
    import onnxruntime

    path = shared_dir / "models" / "mobilenetv2_imagenet.onnx"
    if not path.is_file():
        pytest.skip("needs ../shared/models/mobilenetv2_imagenet.onnx")
    spec = InputSpec(layout="NCHW", dtype="float32", mean=(127 / 255,) * 3, std=(127.5 / 255,) * 3)
    card = embedding_card(path, dim=1280, output="embedding", input=spec)
    image = photos((60, 90))[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    canvas = lay_whole(image, spec, SizeSpec(rule="squash", length=224))[None]
    ((plain,),) = session.run(["embedding"], {"image": canvas})
    found = Classifier(path, card=card, device="cpu").describe(image)
    np.testing.assert_allclose(found, plain, atol=1e-4 * np.abs(plain).max())
    assert plain.any()


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metric": "l1"}, ValueError, "metric: expected 'l2' or 'cosine', got 'l1'"),
        ({"card": {}}, TypeError, "card: expected an EncoderCard or None, got {}"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
        ({"device": "gpu"}, ValueError, "device: expected 'auto', 'cuda' or 'cpu', got 'gpu'"),
        ({"tune": 1}, TypeError, "tune: expected True or False, got 1"),
    ],
)
def test_wrong_arguments(
    arguments: dict[str, Any], error: type[Exception], said: str, model: tuple[Path, EncoderCard]
) -> None:
    path, card = model
    with pytest.raises(error, match=re.escape(said)):
        Classifier(path, **{"card": card, **arguments})


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (np.zeros((4, 4, 3), np.uint8), TypeError, r"images: expected several images, got one"),
        (7, TypeError, "images: expected images as arrays, got 7"),
        ([*photos(*SHAPES), np.zeros((4, 4), np.uint8)], ValueError, r"images\[6\]: .* shape \(4, 4\)"),
        ([np.zeros((4, 4, 3))], TypeError, r"images\[0\]: .*float64"),
    ],
)
def test_what_are_no_images(
    bad: Any,
    error: type[Exception],
    said: str,
    model: tuple[Path, EncoderCard],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, card = model
    monkeypatch.setattr("semcbir.baselines.classifier._AT_ONCE", 4)
    with pytest.raises(error, match=said):
        Classifier(path, card=card, device="cpu").describe_many(bad)
    with pytest.raises(ValueError, match=r"^image: .* got shape \(4, 4\)"):
        Classifier(path, card=card, device="cpu").describe(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("graph", "facts", "said"),
    [
        (classifier(), {"dim": 5}, "gives vectors of length 4, its card says dim 5"),
        (classifier(), {"output": "features"}, "has no output 'features', only logits, embedding"),
        (classifier(axes=3), {}, r"to be of shape \(N, 4, h, w\), got"),
        (classifier(axes=4), {"dim": 5}, "gives vectors of length 4, its card says dim 5"),
    ],
)
def test_a_graph_that_is_not_what_its_card_says(
    graph: onnx.ModelProto, facts: dict[str, Any], said: str, tmp_path: Path
) -> None:
    card = made(tmp_path / "m.onnx", graph, **facts)
    with pytest.raises(ModelError, match=rf"m\.onnx: .*{said}"):
        Classifier(tmp_path / "m.onnx", card=card, device="cpu")


def test_vectors_of_integers_are_refused(tmp_path: Path) -> None:
    graph = classifier()
    graph.graph.node.append(helper.make_node("Cast", ["embedding"], ["whole"], to=TensorProto.INT64))
    graph.graph.output.append(helper.make_tensor_value_info("whole", TensorProto.INT64, ["N", DIM]))
    card = made(tmp_path / "m.onnx", graph, output="whole")
    with pytest.raises(
        ModelError, match=r"'whole' to be a vector of floats, the graph gives tensor\(int64\)"
    ):
        Classifier(tmp_path / "m.onnx", card=card, device="cpu")


def test_a_graph_that_gives_another_length_than_it_declares(tmp_path: Path) -> None:
    graph = classifier(declared=None, dim=8)
    # The shape comes with the photo, so that it is known only when the graph runs.
    next(one for one in graph.graph.initializer if one.name == "shape").name = "fixed"
    graph.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "none"))
    graph.graph.node.insert(0, helper.make_node("Add", ["fixed", "extra"], ["shape"]))
    graph.graph.node.insert(0, helper.make_node("Mul", ["whole", "none"], ["extra"]))
    graph.graph.node.insert(0, helper.make_node("Cast", ["largest"], ["whole"], to=TensorProto.INT64))
    graph.graph.node.insert(0, helper.make_node("ReduceMax", ["image"], ["largest"], keepdims=0))
    card = made(tmp_path / "m.onnx", graph)
    fails = Classifier(tmp_path / "m.onnx", card=card, device="cpu")
    with pytest.raises(PhotoError, match=r"expected a grid of shape \(1, 4, h, w\), got \(1, 8, 1, 1\)"):
        fails.describe(photos((30, 30))[0])


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    graph = classifier()
    graph.graph.node.append(helper.make_node("Log", ["embedding"], ["logs"]))
    graph.graph.output.append(helper.make_tensor_value_info("logs", TensorProto.FLOAT, ["N", DIM]))
    card = made(tmp_path / "m.onnx", graph, output="logs")
    for metric in ("l2", "cosine"):
        fails = Classifier(tmp_path / "m.onnx", metric, card=card, device="cpu")
        with pytest.raises(PhotoError, match=r"m\.onnx: gave a vector that is not finite"):
            fails.describe(np.zeros((9, 9, 3), np.uint8))  # the logarithm of numbers below 0


def test_numbers_that_are_infinite(tmp_path: Path) -> None:
    graph = classifier()
    graph.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    graph.graph.node.append(helper.make_node("Div", ["logits", "zero"], ["infinite"]))
    graph.graph.output.append(helper.make_tensor_value_info("infinite", TensorProto.FLOAT, ["N", DIM]))
    card = made(tmp_path / "m.onnx", graph, output="infinite")
    for metric in ("l2", "cosine"):
        fails = Classifier(tmp_path / "m.onnx", metric, card=card, device="cpu")
        with pytest.raises(PhotoError, match=r"m\.onnx: gave a vector that is not finite"):
            fails.describe(np.zeros((9, 9, 3), np.uint8))


def test_a_file_that_is_not_the_cards(model: tuple[Path, EncoderCard], tmp_path: Path) -> None:
    _, card = model
    made(tmp_path / "other.onnx", classifier(1))
    with pytest.raises(ModelError, match="not the file that its card 'm' describes"):
        Classifier(tmp_path / "other.onnx", card=card, device="cpu")
    with pytest.raises(ModelError, match="cannot read the model"):
        Classifier(tmp_path / "none.onnx", card=card, device="cpu")
    with pytest.raises(ModelError, match="no such model file"):
        Classifier(tmp_path / "none.onnx", device="cpu")


# --- cards --------------------------------------------------------------------------------------------------


def test_an_embedding_card(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"some bytes")
    card = embedding_card(tmp_path / "net.onnx", dim=7, output="fc7", licence="MIT", source="here", notes="n")
    assert (card.name, card.file, card.dim, card.output) == ("net", "net.onnx", 7, "fc7")
    assert card.sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert (card.licence, card.source, card.notes) == ("MIT", "here", "n")
    assert card.size == SizeSpec(rule="squash", length=224)
    assert (card.input.layout, card.input.colour) == ("NCHW", "RGB")
    assert (card.input.mean, card.input.std) == (tuple(MEAN), tuple(STD))
    assert embedding_card(tmp_path / "net.onnx", dim=7, name="other").name == "other"
    card.save(tmp_path / "net.json")
    assert EncoderCard.load(tmp_path / "net.json") == card
    with pytest.raises(ModelError, match=r"none\.onnx: cannot read the model"):
        embedding_card(tmp_path / "none.onnx", dim=7)
    with pytest.raises(ValueError, match="dim: expected an integer from 1 to 65536, got 0"):
        embedding_card(tmp_path / "net.onnx", dim=0)


def test_the_card_in_the_documentation_can_be_read() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    card = EncoderCard.from_dict(json.loads(text) | {"sha256": "0" * 64})
    assert (card.name, card.dim, card.output, card.size.length) == ("alexnet", 4096, "embedding", 224)


class Network(SimpleNamespace):
    """Stands in for torchvision's: what was asked of it, and the layers of its classifier."""

    def eval(self) -> Network:
        return self


@pytest.mark.parametrize(("name", "dim"), [("alexnet", 4096), ("vgg16", 4096), ("resnet50", 2048)])
def test_the_documented_export(name: str, dim: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch and torchvision are pretended: what is tested is the card, and that the script runs.
    script = next(
        block
        for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
        if "import torchvision" in block
    )
    asked: list[str] = []

    def network(weights: str) -> Network:
        asked.append(weights)
        return Network(classifier=["fc6", "fc7", "fc8"], fc="classes")

    def export(given: Network, images: Any, file: str, **options: Any) -> None:
        assert (given.classifier, given.fc) in ((["fc6", "fc7"], "classes"), (["fc6", "fc7", "fc8"], None))
        assert (given.fc is None) == (name == "resnet50")
        assert images == ("zeros (1, 3, 224, 224)",)
        assert options["output_names"] == ["embedding"]
        Path(file).write_bytes(classifier(dim=dim).SerializeToString())

    torch = SimpleNamespace(
        zeros=lambda *shape: f"zeros {shape}",
        nn=SimpleNamespace(Identity=lambda: None),
        onnx=SimpleNamespace(export=export),
    )
    torchvision = SimpleNamespace(models=SimpleNamespace(**{name: network}), __version__="9")
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "argv", ["export_classifier.py", name])
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "export_classifier.py", "exec"), {"__name__": "__main__"})
    exported = Classifier(tmp_path / f"{name}.onnx", device="cpu")
    assert exported.describe(photos((20, 30))[0]).shape == (dim,)
    assert asked == ["IMAGENET1K_V1"]
    assert exported.card.source == f"torchvision 9, {name}, IMAGENET1K_V1"
