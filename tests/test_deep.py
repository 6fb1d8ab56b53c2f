# SPDX-License-Identifier: MIT
"""The feature deep, from an encoder and a photo to an index and a search; weighting of any feature."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from semcbir import (
    KAZE,
    Extractor,
    Index,
    ModelError,
    Recipe,
    RecipeMismatchError,
    Signatures,
    build_grid_signatures,
    explain,
    search,
    smoothed,
    weighted,
)
from semcbir.encoding.encoder import Grid
from semcbir.features import Deep, feature_from_dict, parse_features
from tiny_models import DIM, encoder_network, tiny_encoder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "encoder.onnx")


@pytest.fixture
def deep(encoder: Path) -> Deep:
    return Deep(encoder)


def photos_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".semcbir" not in path.parts)


def columns(signatures: Signatures) -> list[bytes]:
    names = ("offsets", "classes", "proportions", "counts", "centroids")
    return [getattr(signatures, name).tobytes() for name in names]


def test_signatures_are_those_of_the_grids(photo_folder: Path, tiny_model: Path, deep: Deep):
    extractor = Extractor(tiny_model, deep)
    files = photos_in(photo_folder)
    found = extractor.extract(files)
    analyses = [extractor.analyse(file) for file in files]
    grids = [one.features["deep"] for one in analyses]
    assert all(isinstance(grid, Grid) and grid.cells.shape[2] == DIM for grid in grids)
    plain = build_grid_signatures(
        [one.label_map for one in analyses], grids, n_classes=found.n_classes, void=found.recipe.void
    )
    assert columns(found) == columns(weighted(plain, deep.whole_share))
    assert (found.whole, found.dim, len(found)) == (True, DIM, 12)
    squares = np.array([(photo.centroids.astype(float) ** 2).sum() for photo in found])
    np.testing.assert_allclose(squares, 1, atol=1e-6)  # a^2 + b^2, as every pixel has a label
    bare = Extractor(tiny_model, Deep(deep.source, weighting="none")).extract(files)
    assert columns(bare) == columns(plain)
    assert bare.recipe.differences(found.recipe) == ["features.deep.weighting: 'none' / 'share'"]


def test_many_threads_and_batches_give_the_same_bits(
    photo_folder: Path, tiny_model: Path, deep: Deep, monkeypatch: pytest.MonkeyPatch
):
    files = photos_in(photo_folder)
    expected = columns(Extractor(tiny_model, deep, threads=1).extract(files))
    for threads in (2, 7):
        assert columns(Extractor(tiny_model, deep, threads=threads).extract(files)) == expected
    batches = Extractor(tiny_model, deep, threads=2)
    monkeypatch.setattr(type(batches._stream_segmenter), "batches", True)
    assert columns(batches.extract(files)) == expected


def test_an_index_of_deep_and_local_features(
    photo_folder: Path, tiny_model: Path, deep: Deep, tmp_path: Path
):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=["kaze", deep])
    alone = Index.build(photo_folder, tmp_path / "alone", model=tiny_model, features="kaze")
    assert index.features == ("kaze", "deep")
    assert columns(index.signatures("kaze")) == columns(alone.signatures())
    files = photos_in(photo_folder)
    assert columns(index.signatures("deep")) == columns(Extractor(tiny_model, deep).extract(files))
    index.remove(files[:2])
    shutil.copy(files[0], photo_folder / "new.jpg")
    assert index.refresh().added == 1
    index.compact()
    assert index.check() == []
    opened = pickle.loads(pickle.dumps(index))
    for feature in ("kaze", "deep"):
        hit = search(photo_folder / "new.jpg", opened, k=1, feature=feature)[0]
        assert (hit.path, hit.distance) == (photo_folder / "new.jpg", 0)


def test_there_is_no_filter_unless_it_is_asked_for(
    photo_folder: Path, tiny_model: Path, deep: Deep, tmp_path: Path
):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=[deep, "kaze"])
    query = photos_in(photo_folder)[0]
    assert search(query, index).kept == 12
    assert search(query, index, epsilon=0.9).kept == search(query, index, feature="kaze").kept < 12


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (64, 1, 3), (3, 2, 3)])
def test_a_photo_of_few_pixels_is_a_query(
    photo_folder: Path, tiny_model: Path, deep: Deep, tmp_path: Path, shape: tuple[int, int, int]
):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=deep)
    for smooth in (None, 3):
        found = search(np.full(shape, 99, np.uint8), index, k=12, smooth=smooth)
        distances = np.array([hit.distance for hit in found])
        assert len(found) == 12
        assert ((distances >= 0) & (distances <= 2)).all()


def test_the_index_keeps_the_encoder(photo_folder: Path, tiny_model: Path, encoder: Path, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=Deep(encoder))
    expected = columns(index.signatures())
    encoder.unlink()
    encoder.with_suffix(".json").unlink()
    index = Index.open(shutil.copytree(tmp_path / "index", tmp_path / "copy"))
    files = photos_in(photo_folder)
    assert columns(index.extractor().extract(files)) == expected
    copy = tmp_path / "copy" / "encoder" / "encoder.onnx"
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert index.check() == [f"encoder {copy}: its sha256 is not the recipe's"]
    with pytest.raises(ModelError, match="not the file that its card"):
        search(files[0], Index.open(tmp_path / "copy"))
    shutil.rmtree(copy.parent)
    with pytest.raises(ModelError, match=r"the encoder of index .*, tiny-encoder, is not at .*; say"):
        Index.open(tmp_path / "copy").extractor()
    again = tiny_encoder(tmp_path / "elsewhere.onnx")
    assert columns(Index.open(tmp_path / "copy").extractor(encoder=again).extract(files)) == expected


def test_a_large_encoder_is_not_copied(
    photo_folder: Path, tiny_model: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("semcbir.index.model.LARGEST_MODEL", 10)
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=Deep(encoder))
    assert not (index.path / "encoder").exists()
    assert index.check() == []
    assert search(photos_in(photo_folder)[0], Index.open(index.path))[0].distance == 0


def test_a_large_encoder_that_is_gone_is_found_in_the_cache_by_its_sha256(
    photo_folder: Path, tiny_model: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("semcbir.index.model.LARGEST_MODEL", 10)
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=Deep(encoder))
    expected = columns(index.signatures())
    gone = rf"the encoder of index .*, tiny-encoder, is not at {encoder} any more; say where it is now"
    kept = tmp_path / "cache" / "models"
    kept.mkdir(parents=True)
    (kept / "damaged.json").write_text("{")
    shutil.copy(tiny_model, kept / tiny_model.name)
    shutil.copy(tiny_model.with_suffix(".json"), kept)  # of another kind
    tiny_encoder(kept / "other.onnx", network=encoder_network(stride=16))
    card = shutil.copy(encoder.with_suffix(".json"), kept / "resnet50.json")
    encoder.rename(tmp_path / "elsewhere.onnx")
    with pytest.raises(ModelError, match=gone):  # a card without its file, which it calls encoder.onnx
        Index.open(index.path).extractor()
    shutil.copy(tmp_path / "elsewhere.onnx", kept / "resnet50.onnx")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"file": "resnet50.onnx"}))
    files = photos_in(photo_folder)
    assert columns(Index.open(index.path).extractor().extract(files)) == expected
    assert search(files[0], index.path)[0].distance == 0
    with (kept / "resnet50.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"resnet50\.onnx: not the file that its card"):
        search(files[0], index.path)


def test_another_encoder_is_refused(photo_folder: Path, tiny_model: Path, encoder: Path, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=Deep(encoder))
    other = tiny_encoder(tmp_path / "other.onnx", network=encoder_network(stride=16))
    with pytest.raises(RecipeMismatchError, match="encoder.sha256"):
        index.extractor(encoder=other)
    photo = photos_in(photo_folder)[0]
    query = Extractor(tiny_model, Deep(encoder, whole_share=0.5)).extract([photo])
    with pytest.raises(RecipeMismatchError, match=r"features.deep.whole_share: 0\.\d+ / 0\.5"):
        search(query, index)
    with pytest.raises(
        ModelError, match="expected the card of an encoder, this is that of a segmentation model"
    ):
        Deep(tiny_model)


def test_recipes_are_read_without_the_encoder(tiny_model: Path, encoder: Path, deep: Deep):
    recipe = Extractor(tiny_model, ["kaze", deep]).recipe
    read = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert read == recipe
    assert read.agrees(recipe)
    assert hash(read) == hash(recipe)
    feature = read.feature("deep")
    assert (feature.path, feature.dim, feature.whole_row, feature.epsilon) == (None, DIM, True, None)


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": None},
        {"encoder": {}},
        {"whole_share": 1.5},
        {"whole_share": "much"},
        {"weighting": "tfidf"},
        {"octaves": 3},
        {"dim": 3},
    ],
)
def test_wrong_parameters_are_refused(deep: Deep, change: dict):
    with pytest.raises((TypeError, ValueError)):
        feature_from_dict({**deep.to_dict(), **change})
    encoder = {**deep.encoder, "dim": 0}
    with pytest.raises(ValueError, match="deep: encoder: .*dim"):
        feature_from_dict({**deep.to_dict(), "encoder": encoder})


def test_local_features_are_weighted_if_asked(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    files = photos_in(photo_folder)
    plain = Extractor(tiny_model, "kaze").extract(files)
    found = Extractor(tiny_model, KAZE(weighting="share")).extract(files)
    assert columns(found) == columns(weighted(plain))
    assert KAZE(weighting="share").to_dict()["weighting"] == "share"
    assert "weighting" not in KAZE().to_dict()
    assert feature_from_dict(KAZE(weighting="share").to_dict()) == KAZE(weighting="share") != KAZE()
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=KAZE(weighting="share"))
    assert search(files[3], index)[0].path == files[3]
    with pytest.raises(RecipeMismatchError, match="weighting"):
        search(plain[0], index)
    with pytest.raises(ValueError, match="weighting: expected 'none' or 'share', got 'idf'"):
        KAZE(weighting="idf")


def test_explanations_have_a_line_for_the_whole(
    photo_folder: Path, tiny_model: Path, deep: Deep, tmp_path: Path
):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=deep)
    files = photos_in(photo_folder)
    explained = explain(files[0], files[5], index)
    assert explained.rows[0].name == "whole image" or "whole image" in {row.name for row in explained.rows}
    np.testing.assert_allclose(sum(row.squared_distance for row in explained.rows), explained.distance**2)


def test_names_of_features(encoder: Path):
    assert [feature.name for feature in parse_features(["kaze", Deep(encoder)])] == ["kaze", "deep"]
    with pytest.raises(ValueError, match="each once"):
        parse_features([Deep(encoder), Deep(encoder, whole_share=0.1)])


def test_whole_rows_are_smoothed_too(photo_folder: Path, tiny_model: Path, deep: Deep, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=deep)
    plain, found = index.signatures(), smoothed(index.signatures(), 2)
    order = index.searcher().search(plain, 3, None).ids
    wholes = plain.dense()[:, -1].astype(float)
    weights = np.array([1, 2 / 3, 1 / 3])
    expected = np.einsum("nkd,k->nd", wholes[order], weights) / weights.sum()
    np.testing.assert_allclose(found.dense()[:, -1], expected, atol=1e-6)
    np.testing.assert_array_equal(found.histograms().shape, plain.histograms().shape)
    query = photos_in(photo_folder)[4]
    assert search(query, index, smooth=2)[0].path == query
