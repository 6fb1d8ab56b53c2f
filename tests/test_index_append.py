# SPDX-License-Identifier: MIT
"""Index.append: signatures from elsewhere are as good as the index's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from made_signatures import assert_same
from semcbir import (
    Extractor,
    ImageError,
    Index,
    IndexLockedError,
    IndexStorageError,
    RecipeMismatchError,
    Signatures,
    search,
)
from semcbir.index import append as appending
from semcbir.index import catalog, segments

FEATURES = "kaze,hog"


@pytest.fixture
def whole(made_photos: Path, tiny_model: Path, tmp_path: Path) -> Index:
    """An index of all photos, made on another machine, say."""
    return Index.build(made_photos, tmp_path / "whole", model=tiny_model, features=FEATURES)


@pytest.fixture
def half(made_photos: Path, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    """An index that follows a copy of the photos, but has read only those of the beach."""
    rest = tmp_path / "rest"
    for kind in ("meadow", "town"):
        shutil.move(photo_folder / kind, rest / kind)
    index = Index.build(photo_folder, tmp_path / "half", model=tiny_model, features=FEATURES)
    for kind in ("meadow", "town"):
        shutil.move(rest / kind, photo_folder / kind)
    return index


def others(whole: Index, made_photos: Path, photo_folder: Path) -> tuple[dict[str, Signatures], list[Path]]:
    """What ``half`` lacks: signatures by feature, and where the same photos are here."""
    records = [record for record in whole if record.path.parent.name != "beach"]
    ids = [record.id for record in records]
    paths = [photo_folder / record.path.relative_to(made_photos) for record in records]
    return {name: whole.signatures(name, ids=ids) for name in whole.features}, paths


def test_building_half_and_appending_half_is_building_all(
    whole: Index, half: Index, made_photos: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    shuffled = np.random.default_rng(0).permutation(len(paths))
    report = half.append(
        {name: one[shuffled] for name, one in signatures.items()}, (paths[i] for i in shuffled)
    )
    assert (report.added, report.updated, len(half)) == (8, 0, 12)
    assert half.report is report
    for opened in (half, Index.open(half.path)):
        for name in whole.features:
            assert_same(opened.signatures(name), whole.signatures(name))
        assert [record.path.name for record in opened] == [record.path.name for record in whole]
    assert half.check() == []
    query = made_photos / "town" / "1.jpg"
    for name in whole.features:
        here, there = search(query, half, k=12, feature=name), search(query, whole, k=12, feature=name)
        assert [(hit.id, hit.distance) for hit in here] == [(hit.id, hit.distance) for hit in there]
    monkeypatch.setattr(Extractor, "stream", None)
    assert half.refresh().unchanged == 12  # nothing is read again
    assert half.roots == (photo_folder,)


def test_it_survives_merges_and_a_changed_file_is_read(
    whole: Index, half: Index, made_photos: Path, photo_folder: Path
) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    for i, path in enumerate(paths):
        half.append({name: one[i] for name, one in signatures.items()}, path)
    half.compact()
    for name in whole.features:
        assert_same(half.signatures(name), whole.signatures(name))
    shutil.copy(made_photos / "beach" / "0.jpg", paths[0])
    paths[1].unlink()
    report = half.refresh()
    assert (report.updated, report.removed, report.unchanged) == (1, 1, 10)
    assert half.check() == []


def test_what_is_known_is_replaced_and_what_was_removed_comes_back(
    whole: Index, half: Index, made_photos: Path, photo_folder: Path
) -> None:
    half.remove(photo_folder / "beach" / "1.jpg")
    swapped = {name: whole.signatures(name, ids=[5, 4]) for name in whole.features}
    report = half.append(swapped, [photo_folder / "beach" / "1.jpg", photo_folder / "beach" / "0.jpg"])
    assert (report.added, report.updated, len(half)) == (1, 1, 4)
    for name in half.features:
        mine = half.signatures(name)
        np.testing.assert_array_equal(mine.dense()[:2], whole.signatures(name, ids=[4, 5]).dense())
    assert [record.id for record in half] == [0, 1, 2, 3]
    assert half.check() == []


def test_one_feature_needs_no_mapping(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    paths = sorted((photo_folder / "beach").iterdir())
    index = Index.build(photo_folder / "town", tmp_path / "index", model=tiny_model, features="hog")
    made = Extractor(tiny_model, "hog").extract(paths)
    assert index.append(made, paths).added == 4
    assert index.append(made[0], paths[0]).updated == 1
    assert index.append(made[:0], []).added == 0
    np.testing.assert_array_equal(index.signatures().dense()[4:], made.dense())
    # The beach is no root: its files are followed alone.
    assert index.refresh().unchanged == 8
    shutil.copy(paths[0], paths[0].with_name("new.jpg"))
    paths[0].unlink()
    report = index.refresh()
    assert (report.added, report.removed) == (0, 1)
    assert index.roots == (photo_folder / "town", photo_folder / "beach")
    assert index.check() == []
    reread = index.extractor().extract_all(paths[1:3])
    assert index.append(reread, paths[1:3]).updated == 2


def test_paths_are_files_each_once(whole: Index, half: Index, made_photos: Path, photo_folder: Path) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    before = half.signatures()
    absent = photo_folder / "absent.jpg"
    for wrong, error, message in (
        ([*paths[:3], absent, *paths[4:]], ImageError, r"absent\.jpg is not there; nothing was added"),
        ([*paths[:7], photo_folder], ImageError, "is not a regular file; nothing was added"),
        (paths[:7], ValueError, "paths: expected 8 paths, one for each image, got 7"),
        ([*paths[:7], paths[0]], ValueError, r"paths: expected each file once, got .*0\.jpg again"),
    ):
        with pytest.raises(error, match=message):
            half.append(signatures, wrong)
    assert_same(Index.open(half.path).signatures(), before)
    if os.name == "posix":
        (photo_folder / "link").symlink_to(photo_folder / "town")
        linked = photo_folder.parent / "elsewhere"
        linked.symlink_to(photo_folder)
        with pytest.raises(ValueError, match="paths: expected each file once"):
            half.append(signatures, [*paths[:7], linked / paths[0].relative_to(photo_folder)])
    assert half.check() == []


def test_signatures_must_fit_the_index(
    whole: Index, half: Index, made_photos: Path, photo_folder: Path, tiny_logits_model: Path
) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    kaze, hog = signatures["kaze"], signatures["hog"]
    other = Extractor(tiny_logits_model, FEATURES).extract_all(paths)
    bare = Signatures(**{**vars(hog), "recipe": None})
    for wrong, error, message in (
        (
            kaze,
            ValueError,
            "signatures: expected a mapping with a Signatures for 'kaze' and 'hog', got only one",
        ),
        ({"kaze": kaze}, ValueError, "signatures: expected a mapping .* got one with 'kaze'"),
        ({"kaze": kaze, "hog": None}, TypeError, "signatures: expected a mapping .* got None"),
        ({**signatures, "sift": hog}, ValueError, "signatures: expected a mapping .* got one with .*'sift'"),
        (
            {"kaze": kaze, "hog": hog[::-1]},
            ValueError,
            "signatures: expected the same images in the same order",
        ),
        (
            {"kaze": hog, "hog": kaze},
            RecipeMismatchError,
            "index .*half: the signatures of kaze .* kaze / hog",
        ),
        (other, RecipeMismatchError, "the signatures of kaze are made differently"),
        ({"kaze": kaze, "hog": bare}, RecipeMismatchError, "the signatures of hog carry no recipe"),
    ):
        with pytest.raises(error, match=message):
            half.append(wrong, paths)
    assert len(Index.open(half.path)) == 4


def test_values_are_looked_at(whole: Index, half: Index, made_photos: Path, photo_folder: Path) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    broken = signatures["hog"].centroids.copy()
    broken[0, 0] = np.nan
    unseen = Signatures._unchecked(**{**vars(signatures["hog"]), "centroids": broken})
    with pytest.raises(ValueError, match="centroids: expected finite numbers"):
        half.append({**signatures, "hog": unseen}, paths)
    assert len(Index.open(half.path)) == 4


def test_one_writer_and_a_full_disk(
    whole: Index, half: Index, made_photos: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures, paths = others(whole, made_photos, photo_folder)
    with catalog.writer_lock(half.path), pytest.raises(IndexLockedError):
        half.append(signatures, paths)
    monkeypatch.setattr(appending, "LARGEST", 3)
    real, calls = segments.write_segment, []

    def full(*args: object) -> object:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr("semcbir.index.merge.write_segment", full)
    with pytest.raises(IndexStorageError, match="No space left"):
        half.append(signatures, paths)
    assert len(half) == len(Index.open(half.path)) == 4
    monkeypatch.setattr("semcbir.index.merge.write_segment", real)
    assert half.append(signatures, paths).added == 8  # three segments, one commit
    for name in whole.features:
        assert_same(half.signatures(name), whole.signatures(name))
    assert half.check() == []
    assert len(list((half.path / "segments").iterdir())) == 4  # no litter


def test_a_closed_index(half: Index) -> None:
    half.close()
    with pytest.raises(ValueError, match="is closed"):
        half.append({}, [])
