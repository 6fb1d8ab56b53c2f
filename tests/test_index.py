# SPDX-License-Identifier: MIT
"""Index: what it holds follows the files on disk, under ids that stay."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from made_signatures import assert_same
from semcbir import (
    HOG,
    Extractor,
    ImageError,
    Index,
    IndexLockedError,
    IndexStorageError,
    ModelError,
    RecipeMismatchError,
    search,
)
from semcbir.index import catalog, merge
from semcbir.index.report import Damaged
from tiny_models import tiny_model as write_tiny_model


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="kaze,hog")


def paths(index: Index) -> list[Path]:
    return [record.path for record in index]


def all_photos(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=os.fsencode)


def test_ids_follow_the_sorted_paths(index: Index, photo_folder: Path):
    assert len(index) == 12
    assert [record.id for record in index] == list(range(12))
    assert paths(index) == all_photos(photo_folder)
    assert index.report.added == 12
    assert index.skipped == []
    assert index.roots == (photo_folder,)
    assert index.features == ("kaze", "hog")
    assert index.check() == []


def test_signatures_are_the_extractors(index: Index, tiny_model: Path):
    for name in ("kaze", "hog"):
        expected = Extractor(tiny_model, name).extract(paths(index))
        assert_same(index.signatures(name), expected)
    assert_same(index.signatures(), index.signatures("kaze"))
    some = index.signatures(ids=[7, 0, 3])
    assert_same(some, index.signatures()[[7, 0, 3]])
    with pytest.raises(ValueError, match="id 12 is not in index"):
        index.signatures(ids=[3, 12, -1])
    with pytest.raises(ValueError, match="feature: expected 'kaze' or 'hog', got 'sift'"):
        index.signatures("sift")


def test_an_opened_index_is_the_built_one(index: Index):
    opened = Index.open(index.path)
    assert_same(opened.signatures(), index.signatures())
    assert list(opened) == list(index)
    assert opened.recipe == index.recipe


def test_find_and_records(index: Index, photo_folder: Path, tmp_path: Path):
    record = index.find(photo_folder / "beach" / "1.jpg")
    assert record is not None
    assert index.records([record.id]) == [record]
    assert record.size == record.path.stat().st_size
    assert index.find(tmp_path / "elsewhere.jpg") is None
    assert index.find(photo_folder / "beach" / "none.jpg") is None
    with pytest.raises(KeyError, match="no image with id 99"):
        index.records([99])


def test_refresh_follows_the_files(index: Index, photo_folder: Path):
    before = {record.path: record for record in index}
    (photo_folder / "beach" / "0.jpg").unlink()
    shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "aaa.JPG")
    changed = photo_folder / "meadow" / "2.jpg"
    shutil.copy(photo_folder / "town" / "2.jpg", changed)
    report = index.refresh()
    assert (report.added, report.updated, report.removed, report.unchanged) == (1, 1, 1, 10)
    assert paths(index) != []
    assert sorted(paths(index), key=os.fsencode) == all_photos(photo_folder)
    after = {record.path: record.id for record in index}
    assert after[photo_folder / "aaa.JPG"] == 12
    assert after[changed] == before[changed].id
    expected = index.extractor().extract([changed])
    mine = index.signatures()
    np.testing.assert_array_equal(mine[mine.ids == after[changed]].dense(), expected.dense())
    assert index.check() == []
    again = index.refresh()
    assert (again.added, again.updated, again.removed, again.unchanged) == (0, 0, 0, 12)


def test_ids_are_never_reused(index: Index, photo_folder: Path, tmp_path: Path):
    last = photo_folder / "town" / "3.PNG"
    shutil.move(last, tmp_path / "kept.png")
    index.refresh()
    shutil.copy(photo_folder / "town" / "0.jpg", photo_folder / "town" / "4.jpg")
    index.refresh()
    assert index.find(photo_folder / "town" / "4.jpg").id == 12
    shutil.move(tmp_path / "kept.png", last)
    index.refresh()
    assert index.find(last).id == 11


def test_refresh_without_changes_never_loads_the_network(index: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Extractor, "stream", None)
    assert index.refresh().unchanged == 12


def test_removed_images_stay_out_until_they_are_added(index: Index, photo_folder: Path):
    path = photo_folder / "town" / "0.jpg"
    assert index.remove([path, 0]) == 2
    assert len(index) == 10
    assert 0 not in index.signatures().ids
    assert path not in [hit.path for hit in search(path, index, k=12)]
    index.refresh()
    assert len(index) == 10
    with pytest.raises(ValueError, match="id 0 is not in index"):
        index.remove(0)
    with pytest.raises(ValueError, match=r"0\.jpg is not in index"):
        index.remove([5, path])
    assert index.find(photo_folder / "town" / "1.jpg") is not None
    index.add(path)
    assert len(index) == 11
    assert search(path, index, k=1)[0].path == path
    assert index.check() == []


def test_single_files_and_further_folders(index: Index, photo_folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(photo_folder / "beach", other / "beach")
    report = index.add(other / "beach" / "0.jpg")
    assert report.added == 1
    assert index.refresh().unchanged == 13  # the other photos of that folder were not asked for
    index.refresh([other])
    assert len(index) == 16
    assert index.add([other / "beach" / "1.jpg", photo_folder / "town"]).unchanged == 5
    assert index.check() == []


def test_a_root_inside_a_root_counts_once(index: Index, photo_folder: Path):
    index.add(photo_folder.parent / "photos" / "town")
    index.refresh([photo_folder.parent])
    assert len(index) == 12
    assert index.check() == []


def test_nested_folders_given_together_count_once(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    for number, folders in enumerate(
        ([photo_folder, photo_folder / "town"], [photo_folder / "town", photo_folder])
    ):
        index = Index.build(folders, tmp_path / f"index{number}", model=tiny_model)
        assert sorted(paths(index), key=os.fsencode) == all_photos(photo_folder)
        (photo_folder / "town" / "0.jpg").touch()
        assert (index.refresh().updated, index.report.unchanged) == (1, 11)
        assert index.check() == []


def test_bad_images_are_recorded_and_the_rest_goes_on(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    good = (photo_folder / "beach" / "0.jpg").read_bytes()
    (photo_folder / "empty.jpg").touch()
    (photo_folder / "text.jpg").write_text("not a photo")
    (photo_folder / "cut.jpg").write_bytes(good[:60])
    odd = photo_folder / os.fsdecode(b"sp ace'quote\"new\nline\xff.jpg")
    odd.write_bytes(good)
    seen = []
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, on_progress=seen.append)
    assert len(index) == 13
    assert {skipped.path.name for skipped in index.skipped} == {"empty.jpg", "text.jpg", "cut.jpg"}
    reasons = {skipped.path.name: skipped.reason for skipped in index.skipped}
    assert "0 bytes" in reasons["empty.jpg"]
    assert "not an image" in reasons["text.jpg"]
    assert "JPEG" in reasons["cut.jpg"]
    assert index.report.skipped == index.skipped
    assert (seen[-1].done, seen[-1].total, seen[-1].skipped) == (16, 16, 3)
    assert search(odd, index, k=1)[0].path in (odd, photo_folder / "beach" / "0.jpg")
    assert index.find(odd) is not None
    report = index.refresh()
    assert (report.unchanged, report.skipped) == (13, [])
    (photo_folder / "empty.jpg").write_bytes(good)
    assert index.refresh().added == 1
    assert index.check() == []


def cut_short(photo: Path) -> Path:
    photo.write_bytes(photo.read_bytes()[:-2])
    return photo


def test_damaged_images_are_indexed_with_a_note_that_stays(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    photo = cut_short(photo_folder / "beach" / "0.jpg")
    note = Damaged(photo, "the file ends early")
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    assert (index.report.added, index.report.skipped, index.report.damaged) == (12, [], [note])
    assert Index.open(index.path).damaged == [note]
    report = index.refresh()
    assert (report.unchanged, report.damaged) == (12, [])
    assert index.damaged == [note]
    index.compact()
    assert index.damaged == [note]
    assert index.check() == []
    index.remove(photo)
    assert index.damaged == []
    assert index.add(photo).added == 1  # put back, not read again
    assert index.report.damaged == []
    assert index.damaged == [note]
    photo.write_bytes((photo_folder / "beach" / "1.jpg").read_bytes())
    assert index.refresh().updated == 1
    assert index.damaged == []


def test_a_skipped_image_leaves_no_note_when_it_goes(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    (photo_folder / "bad.jpg").write_text("nothing")
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    (photo_folder / "bad.jpg").unlink()
    index.refresh()
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "bad.jpg")
    assert index.refresh().added == 1
    assert index.damaged == index.skipped == []


@pytest.mark.parametrize("device", ["cpu", "batches"])
def test_a_stream_says_what_is_damaged(
    photo_folder: Path, tiny_model: Path, device: str, monkeypatch: pytest.MonkeyPatch
):
    photos = [cut_short(photo_folder / "beach" / "0.jpg"), photo_folder / "beach" / "1.jpg"]
    extractor = Extractor(tiny_model)
    if device == "batches":
        monkeypatch.setattr(type(extractor._stream_segmenter), "batches", True)
    found = list(extractor.stream(photos))
    assert [one.damage for one in found] == ["the file ends early", None]
    assert [extractor.analyse(photo).damage for photo in photos] == ["the file ends early", None]


def test_max_pixels_skips_and_tries_again(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, max_pixels=100)
    assert len(index) == 0
    assert all("exceed the limit of 100 pixels" in skipped.reason for skipped in index.skipped)
    recipe = index.recipe
    for most, expected in ((100, 0), (99, 0), (6000, 0), (10**6, 12), (10**6, 0)):
        extractor = index.extractor(max_pixels=most)
        report = index.refresh(extractor=extractor)
        assert (report.added, len(report.skipped)) == (expected, 12 * (most == 6000))
    assert index.recipe == recipe
    assert index.skipped == []
    again = Index.build(photo_folder, tmp_path / "index", model=tiny_model, max_pixels=None)
    assert again.report.unchanged == 12
    small = Index.build(photo_folder, tmp_path / "small", model=tiny_model, max_pixels=100)
    assert small.refresh().added == 12  # by default as many as ever
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_pixels"):
            Extractor(tiny_model, max_pixels=wrong)


def test_pictures_that_are_not_read_are_counted_by_kind(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    for name in ("a.nef", "b.NEF", "beach/c.jxl", "notes.txt"):
        (photo_folder / name).touch()
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    assert index.report.ignored == {"NEF": 2, "JXL": 1}
    assert index.report.skipped == index.skipped == []
    assert index.refresh().ignored == {"NEF": 2, "JXL": 1}
    assert index.add(photo_folder / "beach").ignored == {"JXL": 1}


def test_an_index_made_before_finds_new_kinds(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Image.open(photo_folder / "beach" / "0.jpg") as photo:
        photo.save(photo_folder / "new.gif")
    with monkeypatch.context() as before:
        before.setattr("semcbir.images.find._ENDINGS", (".jpg", ".png", ".webp"))
        index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    assert index.report.added == 12
    assert index.refresh().added == 1


def test_folders_of_nothing_and_folders_that_are_not_there(tiny_model: Path, tmp_path: Path):
    (tmp_path / "none").mkdir()
    index = Index.build(tmp_path / "none", tmp_path / "index", model=tiny_model)
    assert len(index) == 0
    assert list(index) == []
    assert len(index.signatures()) == 0
    assert index.check() == []
    picture = np.zeros((40, 40, 3), np.uint8)
    results = search(picture, index)
    assert len(results) == 0
    assert results.kept == 0
    with pytest.raises(ImageError, match="absent is not there"):
        Index.build(tmp_path / "absent", tmp_path / "other", model=tiny_model)
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="at least one folder"):
        Index.build([], tmp_path / "other", model=tiny_model)
    with pytest.raises(ImageError, match="absent is not there"):
        index.add(tmp_path / "absent")


def test_an_unmounted_folder_does_not_empty_the_index(index: Index, photo_folder: Path, tmp_path: Path):
    photo_folder.rename(tmp_path / "moved")
    with pytest.raises(IndexStorageError, match="--root NEW"):
        index.refresh()
    photo_folder.mkdir()  # an empty mount point
    assert index.refresh().missing == [photo_folder]
    assert len(Index.open(index.path)) == 12
    index.rebase(tmp_path / "moved")
    assert index.refresh().unchanged == 12
    assert paths(index)[0].is_relative_to(tmp_path / "moved")
    with pytest.raises(ValueError, match="old: expected one of the index's folders"):
        index.rebase(tmp_path / "moved", tmp_path / "elsewhere")


def test_a_missing_folder_does_not_keep_the_others_waiting(index: Index, photo_folder: Path, tmp_path: Path):
    other = Path(shutil.copytree(photo_folder / "beach", tmp_path / "disk" / "beach"))
    index.refresh(other)
    shutil.rmtree(other)
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "new.jpg")
    report = index.refresh()
    assert (report.added, report.missing) == (1, [other])
    assert len(index) == 17
    assert index.remove(other) == 4
    assert index.refresh().missing == []
    assert index.roots == (photo_folder,)
    assert len(index) == 13
    assert index.check() == []
    shutil.copytree(photo_folder / "beach", other)
    index.refresh(other)
    assert len(index) == 13  # removed images stay out until they are added
    assert index.add(other).added == 4
    assert index.check() == []


def test_what_comes_back_as_it_was_is_not_read_again(
    index: Index, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = index.signatures()
    (photo_folder / "town").rename(tmp_path / "town")
    assert index.refresh().removed == 4
    assert len(index) == 8
    assert index.check() == []
    (tmp_path / "town").rename(photo_folder / "town")
    index.remove(0)
    monkeypatch.setattr(Extractor, "stream", None)
    assert index.refresh().added == 4
    assert index.add(photo_folder / "beach" / "0.jpg").added == 1
    assert_same(index.signatures(), expected)
    assert index.check() == []
    assert search(expected[0], index, k=12)[0][0].id == 0


def test_an_index_copied_alone_or_linked_follows_its_own_photos(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    inside = photo_folder / ".semcbir"
    Index.build(photo_folder, inside, model=tiny_model)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(photo_folder / "beach" / "0.jpg", other / "private.jpg")
    (other / "link").symlink_to(inside)
    shutil.copytree(inside, other / "copy")
    for name in ("link", "copy"):
        index = Index.open(other / name)
        assert index.roots == (photo_folder,)
        assert index.refresh().unchanged == 12
    shutil.copytree(photo_folder, tmp_path / "whole")
    assert Index.open(tmp_path / "whole" / ".semcbir").roots == (tmp_path / "whole",)


def test_overlapping_paths_count_once(index: Index, photo_folder: Path, tmp_path: Path):
    shutil.copy(photo_folder / "town" / "0.jpg", photo_folder / "beach" / "new.jpg")
    assert index.refresh([photo_folder / "beach"]).added == 1
    other = Path(shutil.copytree(photo_folder / "beach", tmp_path / "o" / "beach"))
    assert index.add([other / "1.jpg", other, other.parent, other / "1.jpg"]).added == 5
    assert len(index) == 18
    assert set(index.roots) == {photo_folder, tmp_path / "o"}
    assert index.refresh().unchanged == 18
    assert index.check() == []


def test_single_files_under_odd_names_stay_while_they_are_there(
    index: Index, photo_folder: Path, tmp_path: Path
):
    odd = tmp_path / "lone" / "photo-without-suffix"
    odd.parent.mkdir()
    shutil.copy(photo_folder / "beach" / "0.jpg", odd)
    hidden = Path(shutil.copy(odd, photo_folder / ".hidden"))
    assert index.add([odd, hidden]).added == 2
    assert index.refresh().unchanged == 14
    odd.unlink()
    assert index.refresh().removed == 1
    hidden.unlink()
    assert index.refresh().removed == 1
    assert index.refresh([odd.parent]).unchanged == 12


def test_file_times_beyond_reason(index: Index, photo_folder: Path):
    os.utime(photo_folder / "beach" / "0.jpg", ns=(10**19, 10**19))
    assert index.refresh().updated == 1
    assert index.refresh().unchanged == 12


def test_merging_does_not_launder_damage(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = Index.build(photo_folder / "beach", tmp_path / "index", model=tiny_model)
    index.refresh(photo_folder)
    segment = min((index.path / "segments").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[-100] ^= 1
    segment.write_bytes(data)
    with pytest.raises(IndexStorageError, match=f"{segment.name} is damaged and cannot be merged"):
        index.compact()
    assert len(index.check()) == 1
    with pytest.warns(RuntimeWarning, match="could not be merged"):
        assert index.remove([0, 1, 2]) == 3  # most of that segment
    assert len(index) == 9
    assert len(index.check()) == 1


def test_numpy_ids_are_ids(index: Index):
    assert index.records(np.arange(2)) == index.records([0, 1])
    assert index.remove(np.int64(3)) == 1
    assert index.remove(np.array([4, 5])) == 2
    assert len(index) == 9


def test_a_folder_that_cannot_be_looked_into_keeps_its_images(
    index: Index, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    real = os.scandir

    def scandir(path: object) -> object:
        if Path(os.fsdecode(path)) == photo_folder / "town":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (photo_folder / "beach" / "0.jpg").unlink()
    report = index.refresh()
    assert report.removed == 1
    assert report.unreadable == [photo_folder / "town"]
    assert len(index) == 11
    monkeypatch.undo()
    assert index.refresh().unchanged == 11


def test_weights_beside_the_model_file_are_refused(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    """They would be neither checked nor copied with it."""
    model = onnx.load(tiny_model)
    path = tmp_path / "outside.onnx"
    for tensor in model.graph.initializer:
        tensor.raw_data = numpy_helper.to_array(tensor).tobytes() if not tensor.raw_data else tensor.raw_data
    options = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0}
    onnx.save_model(model, path, **options)
    card = json.loads(tiny_model.with_suffix(".json").read_text())
    card |= {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    assert (tmp_path / "w.data").exists()
    with pytest.raises(ModelError, match=r"outside\.onnx"):
        Index.build(photo_folder, tmp_path / "index", model=path)
    assert not (tmp_path / "index").exists()


def test_an_index_inside_its_folder_moves_with_it(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    inside = photo_folder / ".semcbir"
    Index.build(photo_folder, inside, model=tiny_model)
    photo_folder.rename(tmp_path / "moved")
    moved = Index.open(tmp_path / "moved" / ".semcbir")
    assert moved.roots == (tmp_path / "moved",)
    assert moved.refresh().unchanged == 12
    hit = search(tmp_path / "moved" / "beach" / "0.jpg", moved, k=1)[0]
    assert hit.path.is_file()


def test_the_index_stands_alone_with_its_copy_of_the_model(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_model.parent, tmp_path / "model")
    index = Index.build(photo_folder, tmp_path / "index", model=folder / tiny_model.name)
    shutil.rmtree(folder)
    assert search(photo_folder / "beach" / "0.jpg", Index.open(index.path))[0].distance == 0


def test_a_large_model_is_referred_to(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("semcbir.index.model.LARGEST_MODEL", 10)
    folder = shutil.copytree(tiny_model.parent, tmp_path / "model")
    index = Index.build(photo_folder, tmp_path / "index", model=folder / tiny_model.name)
    assert not (index.path / "model").exists()
    assert search(photo_folder / "beach" / "0.jpg", index)[0].distance == 0
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not at .* any more; say where it is now"):
        Index.open(index.path).extractor()
    assert index.extractor() is index.extractor()
    assert index.extractor(model=tmp_path / "elsewhere" / tiny_model.name).recipe == index.recipe
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "cache" / "models")
    assert Index.open(index.path).extractor().recipe == index.recipe


def test_another_recipe_is_refused_by_what_differs(index: Index, photo_folder: Path, tiny_model: Path):
    with pytest.raises(RecipeMismatchError, match="features: kaze, hog / kaze"):
        Index.build(photo_folder, index.path, model=tiny_model, features="kaze")
    with pytest.raises(RecipeMismatchError, match="long_side: 512 / 256"):
        Index.build(photo_folder, index.path, model=tiny_model, features="kaze,hog", long_side=256)
    other = Extractor(tiny_model, ["kaze", HOG(gamma_correction=True)])
    with pytest.raises(RecipeMismatchError, match="gamma"):
        index.add(photo_folder, extractor=other)
    queries = Extractor(tiny_model, "kaze", long_side=100).extract([photo_folder / "beach" / "0.jpg"])
    with pytest.raises(RecipeMismatchError, match="long_side: 512 / 100"):
        search(queries, index)
    assert len(index) == 12


def test_a_network_that_cannot_do_the_same_is_another(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    scores = write_tiny_model(tmp_path / "scores.onnx", "logits")
    index = Index.build(photo_folder, tmp_path / "index", model=scores, features="hog", inference="flip")
    with pytest.raises(RecipeMismatchError, match=r"index .*: this model cannot do .*; use the model"):
        index.extractor(model=tiny_model)
    with pytest.raises(ValueError, match="device: expected 'auto', 'cuda' or 'cpu'"):
        index.extractor(device="gpu")


def test_building_again_completes_what_is_missing(index: Index, photo_folder: Path, tiny_model: Path):
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "new.jpg")
    again = Index.build(photo_folder, index.path, model=tiny_model, features="kaze,hog")
    assert (again.report.added, again.report.unchanged) == (1, 12)


def test_a_folder_with_other_things_is_not_made_an_index(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    with pytest.raises(IndexStorageError, match="neither an index nor empty: it holds beach"):
        Index.build(photo_folder, photo_folder, model=tiny_model)
    (tmp_path / "file").touch()
    with pytest.raises(IndexStorageError, match="cannot be made"):
        Index.build(photo_folder, tmp_path / "file" / "index", model=tiny_model)
    assert sorted(entry.name for entry in photo_folder.iterdir()) == ["beach", "meadow", "town"]


def test_segments_are_merged_as_they_pile_up(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("semcbir.index.run.BATCH_LIMIT", 1)
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    assert len(list((index.path / "segments").iterdir())) == 5  # eight became one, four are left
    assert index.check() == []
    expected = Extractor(tiny_model).extract(paths(index))
    assert_same(index.signatures(), expected)
    index.remove([3, 8])
    assert index.check() == []
    compact = search(photo_folder / "beach" / "0.jpg", index, k=10)
    index.compact()
    assert len(list((index.path / "segments").iterdir())) == 1
    assert index.check() == []
    assert search(photo_folder / "beach" / "0.jpg", index, k=10) == compact
    index.compact()
    index.remove([record.id for record in index])
    index.compact()
    assert len(index) == 0
    assert list((index.path / "segments").iterdir()) == []
    assert index.check() == []


def test_a_snapshot_survives_what_others_do(index: Index, photo_folder: Path):
    old = Index.open(index.path)
    expected = search(photo_folder / "beach" / "0.jpg", old, k=12)
    index.remove(list(range(6)))
    index.compact()
    assert len(old) == 12
    assert search(photo_folder / "beach" / "0.jpg", old, k=12) == expected
    assert len(Index.open(index.path)) == 6


def test_a_second_writer_gets_a_clear_error_and_readers_go_on(index: Index, photo_folder: Path):
    with catalog.writer(index.path):
        with pytest.raises(IndexLockedError, match="another process is writing"):
            index.refresh()
        with pytest.raises(IndexLockedError):
            index.compact()
        assert len(Index.open(index.path)) == 12
        assert search(photo_folder / "beach" / "0.jpg", index.path)[0].distance == 0
    index.refresh()


def test_litter_is_cleared_by_the_next_writer(index: Index):
    litter = index.path / "segments" / ".0123456789abcdef.safetensors.tmp"
    litter.write_bytes(b"half a segment")
    assert index.check() == []
    index.refresh()
    assert not litter.exists()


def test_mostly_dead_segments_are_rewritten(index: Index):
    size = sum(file.stat().st_size for file in (index.path / "segments").iterdir())
    index.remove(list(range(8)))
    assert sum(file.stat().st_size for file in (index.path / "segments").iterdir()) < size / 2
    assert len(index) == 4
    assert index.check() == []


def test_tiers_hold_a_bounded_number_of_segments():
    def stored(*images: int) -> list[merge._Stored]:
        return [merge._Stored(i, merge.SegmentFile("", n, 0, ""), []) for i, n in enumerate(images)]

    assert merge._choose(stored(*[1] * 7)) == []
    eight = stored(*[1] * 7, 7)
    assert merge._choose(eight) == eight
    assert merge._choose(stored(*[1] * 7, 8)) == []
    assert merge._choose(stored(*[40000] * 30)) == []
