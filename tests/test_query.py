# SPDX-License-Identifier: MIT
"""search(): one query, many queries, every kind of query, and the same answer for all of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from semcbir import (
    ImageError,
    Index,
    IndexStorageError,
    RecipeMismatchError,
    Results,
    Signatures,
    explain,
    load_image,
    search,
)
from semcbir.index import catalog, ready


@pytest.fixture(scope="module")
def index(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index.build(
        made_photos, tmp_path_factory.mktemp("search") / "index", model=tiny_model, features="kaze,hog"
    )


def test_a_photo_finds_itself_first_and_its_kind_before_others(index: Index, made_photos: Path):
    results = search(made_photos / "meadow" / "1.jpg", index, k=12)
    assert isinstance(results, Results)
    assert len(results) == 12
    assert results[0].path == made_photos / "meadow" / "1.jpg"
    assert results[0].distance == results[0].histogram_distance == 0
    assert not results[0].penalized
    assert {hit.path.parent.name for hit in results[:4]} == {"meadow"}
    assert [hit.rank for hit in results] == list(range(1, 13))
    assert results.kept == sum(not hit.penalized for hit in results)
    for penalized in (False, True):
        distances = [hit.distance for hit in results if hit.penalized is penalized]
        assert distances == sorted(distances)
    assert all(hit.penalized == (hit.histogram_distance > 0.9) for hit in results)


def test_every_kind_of_query_gives_the_same(index: Index, made_photos: Path):
    path = made_photos / "town" / "0.jpg"
    expected = search(path, index, k=5)
    assert search(str(path), index.path, k=5) == expected
    assert search(load_image(path), str(index.path), k=5) == expected
    signatures = index.extractor().extract([path])
    assert search(signatures, index, k=5) == [expected]
    mixed = search([path, signatures, load_image(path)], index, k=5)
    assert mixed == [expected] * 3
    stored = index.signatures()
    assert search(stored, index, k=5)[8] == expected
    assert search([], index) == []
    data = path.read_bytes()
    for encoded in (data, bytearray(data), memoryview(data)):
        assert search(encoded, index, k=5) == expected
    with Image.open(path) as photo:
        assert search(photo, index, k=5) == expected
        assert search((one for one in (photo, data, signatures, path)), index, k=5) == [expected] * 4
        assert search((photo,), index, k=5) == [expected]
    assert index.extractor().extract(data).recipe == signatures.recipe


def test_dropping_leaves_the_penalised_out(index: Index, made_photos: Path):
    path = made_photos / "beach" / "0.jpg"
    last = search(path, index, k=12)
    assert 0 < last.kept < 12
    drop = search(path, index, k=12, penalized="drop")
    assert list(drop) == list(last[: last.kept])
    assert search(path, index, k=12, epsilon=None).kept == 12
    assert [hit.distance for hit in search(path, index, k=12, epsilon=2)] == sorted(
        hit.distance for hit in last
    )
    only_itself = search(path, index, k=12, epsilon=0, penalized="drop")
    assert [hit.path for hit in only_itself] == [path]


def test_the_feature_decides_the_order(index: Index, made_photos: Path):
    path = made_photos / "beach" / "0.jpg"
    kaze, hog = search(path, index, k=12), search(path, index, k=12, feature="hog")
    assert search(path, index, k=12, feature="kaze") == kaze
    assert [hit.distance for hit in hog] != [hit.distance for hit in kaze]
    assert hog.kept == kaze.kept


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected an integer from 1 to"),
        ({"k": -1}, ValueError, "k: expected"),
        ({"k": 2.0}, TypeError, "k: expected an integer .*, got 2.0"),
        ({"k": True}, TypeError, "k: expected an integer .*, got True"),
        ({"epsilon": -0.1}, ValueError, "epsilon: expected a number of 0 or more"),
        ({"epsilon": float("nan")}, ValueError, "epsilon: expected a number of 0 or more, .* got nan"),
        ({"epsilon": "0.9"}, TypeError, "epsilon: expected a number"),
        ({"penalized": "first"}, ValueError, "penalized: expected 'last' or 'drop', got 'first'"),
        ({"feature": "surf"}, ValueError, "feature: expected 'kaze' or 'hog'"),
        ({"query": 7}, TypeError, "query: expected a path, .* got 7"),
        ({"query": [7]}, TypeError, "query: expected a path, .* got 7"),
        ({"query": np.zeros((4, 4), np.uint8)}, ValueError, r"query: .* \(4, 4\)"),
        ({"query": np.zeros((4, 4, 3))}, TypeError, "query: .* float64"),
        ({"index": 7}, TypeError, "index: expected an Index, or the path"),
    ],
)
def test_wrong_arguments(index: Index, made_photos: Path, arguments, error, message):
    call = {"query": made_photos / "beach" / "0.jpg", "index": index, **arguments}
    with pytest.raises(error, match=message):
        search(**call)


def test_k_may_exceed_what_is_there(index: Index, made_photos: Path):
    assert len(search(made_photos / "beach" / "0.jpg", index, k=10**9)) == 12


def test_signatures_without_a_recipe_or_of_another_are_refused(index: Index):
    stored = index.signatures()
    with pytest.raises(RecipeMismatchError, match="carry no recipe"):
        search(Signatures(**{**vars(stored), "recipe": None}), index)
    with pytest.raises(RecipeMismatchError, match="features: kaze / hog"):
        search(index.signatures("hog"), index)


def test_what_is_no_index(tmp_path: Path, made_photos: Path):
    for place in (tmp_path / "absent", made_photos / "beach" / "0.jpg"):
        with pytest.raises(IndexStorageError, match="is not an index|is not there"):
            search(made_photos / "beach" / "0.jpg", place)


def test_tiny_and_featureless_images_are_valid_queries(index: Index):
    for shape in ((1, 1, 3), (1, 50, 3), (64, 64, 3)):
        results = search(np.zeros(shape, np.uint8), index, k=3)
        assert len(results) == 3
        assert np.isfinite([hit.distance for hit in results]).all()


def test_results_behave_like_a_sequence(index: Index, made_photos: Path):
    results = search(made_photos / "beach" / "0.jpg", index, k=4)
    assert results[-1] is results[3]
    assert list(results[1:3]) == [results[1], results[2]]
    assert results[0] in results
    assert repr(results) == f"Results(4 hits, {results.kept} images pass the filter)"
    assert (results.epsilon, results[1:].epsilon) == (0.9, 0.9)
    unfiltered = search(made_photos / "beach" / "0.jpg", index, k=4, epsilon=None)
    assert (unfiltered.epsilon, repr(unfiltered)) == (None, "Results(4 hits, no filter)")
    assert "filter" not in unfiltered._repr_html_()
    assert unfiltered != Results(unfiltered, unfiltered.kept, 0.5)
    with pytest.raises(IndexError):
        results[4]


def test_what_cannot_be_decoded(index: Index):
    with pytest.raises(ImageError, match="^encoded image: this is not an image"):
        search(b"not a photo", index)
    with pytest.raises(ImageError, match="^encoded image: "):
        search(b"", index)
    with pytest.raises(ImageError, match="^Pillow image: 0 x 0 pixels"):
        search(Image.new("RGB", (0, 0)), index)


def test_explaining_a_photo_in_memory(index: Index, made_photos: Path):
    path = made_photos / "town" / "0.jpg"
    expected = explain(path, 3, index)
    with Image.open(path) as photo:
        for query in (path.read_bytes(), photo, load_image(path)):
            found = explain(query, 3, index.path)
            assert (found.rows, found.query_path) == (expected.rows, None)


def test_a_folder_of_photos_is_an_index(photo_folder: Path, monkeypatch: pytest.MonkeyPatch):
    path = photo_folder / "town" / "0.jpg"
    found = search(path, photo_folder, k=20, feature="hog")
    own = Index.open(photo_folder / ".semcbir")
    assert own.features == ("hog",)
    assert found == search(path, own, k=20)
    assert len(found) == 12
    (photo_folder / "new.jpg").write_bytes((photo_folder / "town" / "1.jpg").read_bytes())
    assert len(search(path.read_bytes(), str(photo_folder), k=20)) == 13
    assert len(own) == 12
    assert explain(path, photo_folder / "new.jpg", photo_folder).hit.id == 12
    (photo_folder / "other.jpg").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="feature: expected 'hog', got 'kaze'"):
        search(path, photo_folder, feature="kaze")
    assert len(Index.open(own.path)) == 13  # the argument was looked at first
    with catalog.writer_lock(own.path), pytest.warns(RuntimeWarning, match="another process is writing"):
        assert len(search(path, photo_folder, k=20)) == 13
    refused = SimpleNamespace(access=lambda *_: False, PathLike=os.PathLike, W_OK=os.W_OK)
    monkeypatch.setattr(ready, "os", refused)
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        assert len(search(path, photo_folder, k=20)) == 13
    monkeypatch.undo()
    assert len(search(path, photo_folder, k=20)) == 14


def test_a_bad_query_costs_no_run(photo_folder: Path, tmp_path: Path):
    for query in (tmp_path / "none.jpg", b"x", [photo_folder / "beach" / "0.jpg", b"x"]):
        with pytest.raises(ImageError):
            search(query, photo_folder)
    with pytest.raises(ValueError, match="features: expected some of"):
        search(photo_folder / "beach" / "0.jpg", photo_folder, feature="orb")
    assert not (photo_folder / ".semcbir").exists()
