# SPDX-License-Identifier: MIT
"""Features with whole rows on disk: rows of their own beside those that the others share."""

from __future__ import annotations

import json
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_signatures import assert_same, made_signatures, with_whole_rows
from semcbir import HOG, KAZE, Extractor, Index, IndexStorageError, Recipe, Signatures, explain, search
from semcbir.explanation import WHOLE_IMAGE
from semcbir.extractor import Analysis, Extraction
from semcbir.features import FEATURES, Feature
from semcbir.index.segments import map_segment, write_segment
from semcbir.pictures.explanation import explanation_picture


@dataclass(frozen=True)
class Patches(HOG):
    """HOG's descriptors under another name, with whole rows."""

    name: ClassVar[str] = "patches"
    whole_row: ClassVar[bool] = True  # type: ignore[misc]


MODEL = {"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}
DIMS = {"kaze": 64, "hog": 36, "patches": 36}
KINDS: dict[str, Feature] = {"kaze": KAZE(), "hog": HOG(), "patches": Patches()}
MIXES = [("patches",), ("kaze", "patches"), ("patches", "kaze"), ("kaze", "patches", "hog")]


def made_recipe(names: tuple[str, ...]) -> Recipe:
    return Recipe(MODEL, tuple(KINDS[name] for name in names), 512)


def made_batch(names: tuple[str, ...], n: int, seed: int = 0) -> dict[str, Signatures]:
    """Features of the same images."""
    batch = {}
    for name in names:
        plain = made_signatures(n, dim=64, seed=seed)
        cut = np.ascontiguousarray(plain.centroids[:, : DIMS[name]])
        plain = Signatures(**{**vars(plain), "centroids": cut})
        batch[name] = with_whole_rows(plain, seed=seed) if name == "patches" else plain
    return batch


def header_of(path: Path) -> list[str]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return [name for name in json.loads(data[8 : 8 + length]) if name != "__metadata__"]


@pytest.mark.parametrize("names", MIXES)
def test_a_segment_comes_back_bit_for_bit(tmp_path: Path, names: tuple[str, ...]) -> None:
    batch, recipe = made_batch(names, 30), made_recipe(names)
    path = tmp_path / write_segment(tmp_path, [batch]).name
    segment = map_segment(path, recipe)
    assert len(segment) == 30
    for name in names:
        assert_same(segment.batch[name], batch[name])
        assert segment.batch[name].recipe == recipe.for_feature(name)
    tensors = safetensors.numpy.load_file(path)
    for column in ("offsets", "classes", "proportions", "counts", "centroids"):
        stored = tensors[f"{column}.patches"]
        np.testing.assert_array_equal(stored, getattr(batch["patches"], column))
    assert ("offsets" in tensors) == (len(names) > 1)


@pytest.mark.parametrize("names", MIXES)
def test_batches_are_joined_as_concatenation_would(tmp_path: Path, names: tuple[str, ...]) -> None:
    batches, start = [], 0
    for n in (3, 0, 5):
        ids = np.arange(start, start + n)
        made = made_batch(names, n, seed=n)
        batches.append({name: Signatures(**{**vars(one), "ids": ids}) for name, one in made.items()})
        start += n
    segment = map_segment(tmp_path / write_segment(tmp_path, batches).name, made_recipe(names))
    for name in names:
        assert_same(segment.batch[name], Signatures.concatenate([batch[name] for batch in batches]))


def test_without_whole_rows_the_layout_is_that_of_older_indexes(tmp_path: Path) -> None:
    path = tmp_path / write_segment(tmp_path, [made_batch(("kaze", "hog"), 5)]).name
    features = ["centroids.kaze", "centroids.hog", "counts.kaze", "counts.hog"]
    assert header_of(path) == ["ids", "offsets", *features, "proportions", "classes"]


def test_a_recipe_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Whole(KAZE):
        whole_row: ClassVar[bool] = True  # type: ignore[misc]

    path = tmp_path / write_segment(tmp_path, [made_batch(("kaze",), 3)]).name
    with pytest.raises(IndexStorageError, match=r"tensor offsets\.kaze is missing"):
        map_segment(path, Recipe(MODEL, (Whole(),), 512))
    path = tmp_path / write_segment(tmp_path, [made_batch(("patches",), 3)]).name
    with pytest.raises(IndexStorageError, match="tensor offsets is missing"):
        map_segment(path, made_recipe(("hog",)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path, position: float, bit: int) -> None:
    source, names = tmp_path / "source", ("kaze", "patches")
    if not source.exists():
        source.mkdir()
        write_segment(source, [made_batch(names, 4)])
    data = bytearray(next(source.iterdir()).read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    flipped = tmp_path / "flipped.safetensors"
    flipped.write_bytes(data)
    try:
        segment = map_segment(flipped, made_recipe(names))
    except IndexStorageError as error:
        assert "flipped" in str(error)  # noqa: PT017 -- both outcomes are right
        return
    for signatures in segment.batch.values():
        assert len(signatures) == 4
        assert signatures.offsets[0] == 0
        assert (np.diff(signatures.offsets) >= 0).all()
        assert signatures.offsets[-1] == len(signatures.classes) == len(signatures.centroids)
        assert not len(signatures.classes) or signatures.classes.max() < 20 + signatures.whole


@pytest.fixture
def whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches are a feature as others are, and the extractor makes their whole rows."""
    monkeypatch.setitem(FEATURES, "patches", Patches)
    signatures_of = Extractor.signatures_of

    def with_whole(extractor: Extractor, analysis: Analysis) -> Extraction:
        found = dict(signatures_of(extractor, analysis))
        seed = int(analysis.image.sum())
        found["patches"] = with_whole_rows(found["patches"], seed=seed)
        return Extraction(found, analysis.damage)

    monkeypatch.setattr(Extractor, "signatures_of", with_whole)


@pytest.mark.usefixtures("whole_rows")
@pytest.mark.parametrize("features", ["patches", "kaze,patches"])
def test_an_index_works_as_without(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, features: str
) -> None:
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=features)
    before = index.signatures("patches")
    assert (before.whole, len(before), (before.classes == 5).sum()) == (True, 12, 12)
    query = photo_folder / "beach" / "1.jpg"
    hits = search(query, index, k=12, feature="patches")
    assert (hits[0].path, hits[0].distance) == (query, 0.0)

    gone = photo_folder / "meadow" / "1.jpg"
    key = index.find(gone).id  # type: ignore[union-attr]
    gone.unlink()
    index.refresh()
    index.compact()
    assert index.check() == []
    opened = Index.open(index.path)
    assert_same(opened.signatures("patches"), before[before.ids != key])
    left = [(hit.id, hit.distance) for hit in hits if hit.id != key]
    assert [(hit.id, hit.distance) for hit in search(query, opened, k=12, feature="patches")] == left

    why = explain(query, photo_folder / "town" / "1.jpg", opened, "patches")
    assert WHOLE_IMAGE in {row.name for row in why.rows}
    assert explanation_picture(why).width > 0


@pytest.mark.usefixtures("whole_rows")
def test_signatures_are_appended_if_they_are_as_the_recipe_says(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    whole = Index.build(photo_folder, tmp_path / "all", model=tiny_model, features="kaze,patches")
    path = photo_folder / "beach" / "1.jpg"
    key = whole.find(path).id  # type: ignore[union-attr]
    batch = {name: whole.signatures(name, ids=[key]) for name in ("kaze", "patches")}
    index = Index.build(photo_folder / "town", tmp_path / "town", model=tiny_model, features="kaze,patches")
    assert index.append(batch, [path]).added == 1
    assert index.check() == []
    appended = index.signatures("patches", ids=[index.find(path).id])  # type: ignore[union-attr]
    np.testing.assert_array_equal(appended.dense(), batch["patches"].dense())

    patches = batch["patches"]
    one = patches.offsets[1] - 1
    plain = {"offsets": [0, one], "whole": False}
    plain |= {name: getattr(patches, name)[:-1] for name in ("classes", "proportions", "counts", "centroids")}
    wrong = {
        "whole=True for patches, as its recipe says, got False": plain,
        "dim=36 for patches, as its recipe says, got 35": {"centroids": patches.centroids[:, :35]},
        "n_classes=5 for patches, as its recipe says, got 6": {
            "n_classes": 6,
            "classes": np.where(patches.classes == 5, 6, patches.classes),
        },
        "other proportions for patches than for kaze": {"proportions": patches.proportions / 2},
    }
    for message, change in wrong.items():
        with pytest.raises(ValueError, match=f"signatures: expected .*{message}"):
            index.append({**batch, "patches": Signatures(**{**vars(patches), **change})}, [path])
    assert index.check() == []


@pytest.mark.usefixtures("whole_rows")
def test_check_compares_the_classes_of_features(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A segment whose checksum is right, but whose features are not those of the same images."""
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="kaze,patches")
    assert index.check() == []
    kaze, patches = index.signatures("kaze"), index.signatures("patches")
    swapped = Signatures(**{**vars(patches[np.arange(len(patches))[::-1]]), "ids": patches.ids})
    written = write_segment(index.path / "segments", [{"kaze": kaze, "patches": swapped}])
    with sqlite3.connect(index.path / "catalog.sqlite") as connection:
        listed = (written.name, written.images, written.size, written.sha256)
        connection.execute("UPDATE segments SET name = ?, images = ?, size = ?, sha256 = ?", listed)
    (problem,) = Index.open(index.path).check()
    assert "its images have other classes or shares for patches than for its first feature" in problem
