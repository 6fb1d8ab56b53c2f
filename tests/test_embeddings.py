# SPDX-License-Identifier: MIT
"""The benchmarks that measure how good a ranking is: plain embeddings, one class of a photo."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from made_signatures import made_signatures
from semcbir import Searcher, Signatures, load_image, smoothed
from semcbir.evaluation.datasets import Dataset, with_distractors
from semcbir.evaluation.layouts import by_folder
from semcbir.evaluation.measuring import measure_signatures
from semcbir.evaluation.rankings import DISTRACTOR
from semcbir.segmentation.segmenter import Segmenter

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("benchmarks/ is not part of this copy", allow_module_level=True)
sys.path.append(str(FOLDER))

import embeddings  # noqa: E402
import one_class  # noqa: E402


def colours(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=(0, 1), dtype=np.float64)


@pytest.fixture
def two_kinds(photo_folder: Path, tmp_path: Path) -> Dataset:
    town = (photo_folder / "town").rename(tmp_path / "a town")
    return with_distractors(by_folder(photo_folder), [town])


def test_signatures_of_vectors_rank_by_cosine() -> None:
    vectors = np.random.default_rng(1).normal(size=(40, 7)) * np.arange(1, 41)[:, None]
    signatures = embeddings.signatures_of(list(vectors))
    found = Searcher(signatures).search(signatures, 40, None).ids
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_array_equal(found, np.argsort(-unit @ unit.T, axis=1, kind="stable"))


def test_embeddings_are_measured_with_distractors_and_smoothed(two_kinds: Dataset) -> None:
    scores = embeddings.measured(colours, two_kinds, 2)
    paths = [*two_kinds.distractors, *two_kinds.paths]  # "a town" comes before "photos"
    batch = embeddings.signatures_of([colours(load_image(path)) for path in paths])
    labels = np.array([DISTRACTOR] * 4 + two_kinds.labels.tolist())
    assert {name: one.means() for name, one in scores.items()} == {
        "": measure_signatures(batch, labels).means(),
        ", smoothed 2": measure_signatures(smoothed(batch, 2), labels).means(),
    }
    assert scores[""].means()["none"] == scores[""].means()["drop"]  # one class: the filter keeps all


def test_pooled_features_are_those_that_the_classifier_reads(made_photos: Path) -> None:
    """With the classifier of the shipped model applied to them, the mean of its scores comes out."""
    file, embed = embeddings.pooled()
    image = load_image(made_photos / "beach" / "0.jpg")
    vector = embed(image)
    graph = embeddings.onnx.load(file).graph
    weights = {one.name: embeddings.onnx.numpy_helper.to_array(one) for one in graph.initializer}
    _, kernel, bias = graph.node[-1].input
    segmenter = Segmenter()
    canvas = embeddings.lay_whole(image, segmenter.card.input, segmenter.card.size)
    session = embeddings.onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    scores = session.run(None, {session.get_inputs()[0].name: canvas[None]})[0][0]
    # 96 x 128 becomes 192 x 256: the canvas has no padding.
    expected = scores.mean(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(weights[kernel][:, :, 0, 0] @ vector + weights[bias], expected, atol=1e-3)


def test_mobilenet_reads_photos_as_its_card_says(shared_dir: Path, made_photos: Path) -> None:
    file = shared_dir / "models" / "mobilenetv2_imagenet.onnx"
    if not file.is_file():
        pytest.skip("needs ../shared/models/mobilenetv2_imagenet.onnx")
    card = json.loads(file.with_suffix(".json").read_text())["preprocessing"]
    assert (card["channel_order"], card["scale"]) == ("RGB", "x/255 then (x-mean)/std")
    image = cv2.resize(load_image(made_photos / "town" / "0.jpg"), (224, 224), interpolation=cv2.INTER_LINEAR)
    given = ((image / 255 - card["mean"]) / card["std"]).transpose(2, 0, 1)[None].astype(np.float32)
    session = embeddings.onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["embedding"], {"image": given})
    embed = embeddings.mobilenetv2(file)
    np.testing.assert_allclose(embed(image), expected[0], atol=1e-3)
    assert embed(image[:100]).shape == (1280,)


def test_rows_of_length_1_and_their_rankings() -> None:
    batch = made_signatures(25, n_classes=4, dim=3)
    unit = one_class.of_length_1(batch)
    norms = np.linalg.norm(unit.centroids, axis=1)
    null = ~batch.centroids.any(axis=1)
    np.testing.assert_allclose(norms[~null], 1, rtol=1e-6)
    assert not norms[null].any()
    cosines = (unit.centroids * batch.centroids).sum(axis=1) / np.linalg.norm(
        batch.centroids + null[:, None], axis=1
    )
    np.testing.assert_allclose(cosines[~null], 1, rtol=1e-5)

    batch = Signatures(**{**vars(batch), "ids": np.arange(25)})
    labels = (np.arange(25) < 5).astype(np.int64)
    judged = one_class.rankings(batch, np.array([0, 2]), labels)
    found = Searcher(batch).search(batch[[0, 2]], 25, None).ids
    np.testing.assert_array_equal(judged.relevant, found < 5)
    assert judged.n_relevant.tolist() == [4, 4]
