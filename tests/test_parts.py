# SPDX-License-Identifier: MIT
"""Parts of an index, made by themselves and merged: the same index as one that was made at once."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Run
from made_signatures import assert_same
from semcbir import ImageError, Index, IndexStorageError, RecipeMismatchError, find, search
from semcbir.index import merge_indexes as merging
from semcbir.index.check import check_index
from semcbir.index.part import Part, part_of

FEATURES = "hog,kaze"


def build(folder: Path, place: Path, model: Path, part: str | None = None, **options: Any) -> Index:
    options = {"features": FEATURES, "device": "cpu"} | options
    return Index.build(folder, place, model=model, part=part, **options)


def parts_of(folder: Path, place: Path, model: Path, n: int, **options: Any) -> list[Path]:
    """Make all parts of a folder's index."""
    for number in range(1, n + 1):
        build(folder, place / f"part.{number}", model, f"{number}/{n}", **options)
    return [place / f"part.{number}" for number in range(1, n + 1)]


def assert_alike(merged: Index, whole: Index) -> None:
    """Both hold the same images under the same ids, with the same bits, and give the same hits."""
    assert merged.check() == []
    assert [(r.id, r.path, r.size, r.mtime_ns) for r in merged] == [
        (r.id, r.path, r.size, r.mtime_ns) for r in whole
    ]
    assert merged.skipped == whole.skipped
    assert merged.damaged == whole.damaged
    assert merged.roots == whole.roots
    assert merged.classes == whole.classes
    for name in whole.features:
        assert_same(merged.signatures(name), whole.signatures(name))
        queries = whole.signatures(name)[:3] if len(whole) else whole.signatures(name)
        for epsilon in (0.9, None):
            mine = merged.searcher(name).search(queries, len(whole) + 2, epsilon)
            theirs = whole.searcher(name).search(queries, len(whole) + 2, epsilon)
            for column in ("ids", "distances", "histogram_distances", "kept"):
                np.testing.assert_array_equal(getattr(mine, column), getattr(theirs, column))


@pytest.fixture
def odd_folder(photo_folder: Path) -> Path:
    """Photos, with files that cannot be read, one that is damaged, and names of all kinds."""
    photo = next(photo_folder.rglob("*.jpg"))
    (photo_folder / "broken.jpg").write_bytes(b"no image")
    (photo_folder / "town" / "empty.png").write_bytes(b"")
    (photo_folder / "half.jpg").write_bytes(photo.read_bytes()[: photo.stat().st_size * 2 // 3])
    for name in ("a-1.png", "a/IMG 2.png", "a/ü.png", os.fsdecode(b"a/\xff.png")):
        (photo_folder / name).parent.mkdir(exist_ok=True)
        with (photo_folder / name).open("wb") as file:
            Image.new("RGB", (90, 60), "red").save(file, "PNG")
    return photo_folder


# --- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 16])
def test_parts_are_disjoint_and_complete(n: int) -> None:
    names = [f"{number // 7}/photo {number}.jpg".encode() for number in range(2000)]
    parts = [Part(number, n) for number in range(1, n + 1)]
    held = [[name for name in names if part.has(name)] for part in parts]
    assert sorted(itertools.chain(*held)) == sorted(names)
    assert min(map(len, held)) > 0.7 * len(names) / n, "of about one size"
    assert all(str(part_of(name, n)) in map(str, parts) for name in names[:10])


def test_which_part_a_photo_belongs_to_never_changes() -> None:
    assert [part_of(f"{n}.jpg".encode(), 16).number for n in range(8)] == [12, 2, 10, 5, 13, 13, 8, 9]


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1/0", "1", "a/b", "1/4/2", " 1/4", "-1/4", "1/9999999"])
def test_what_is_no_part_is_refused(made_photos: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="part: expected I/N with I from 1 to N"):
        Index.build(made_photos, tmp_path / "index", part=text)
    assert not (tmp_path / "index").exists()


def test_a_part_keeps_to_its_part(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    one, two = (Index.open(path) for path in parts_of(photo_folder, tmp_path, tiny_model, 2))
    assert (one.part, two.part) == ("1/2", "2/2")
    assert {r.path for r in one}.isdisjoint(r.path for r in two)
    assert len(one) + len(two) == 12
    for number in range(20):
        Image.new("RGB", (60, 40), "blue").save(photo_folder / f"new {number}.png")
    before = len(one), len(two)
    assert one.refresh().added + two.refresh().added == 20
    assert one.refresh().added == two.refresh().added == 0
    assert min(len(one) - before[0], len(two) - before[1]) > 3
    assert all(Part(1, 2).has(os.fsencode(r.path.relative_to(photo_folder))) for r in one)
    again = build(photo_folder, one.path, tiny_model)
    assert (again.part, again.report.unchanged) == ("1/2", len(one)), "without a part it keeps its own"
    theirs = next(iter(two)).path
    with pytest.raises(ValueError, match=r"belongs to part 2/2 of its folder, and index .* is part 1/2"):
        one.add(theirs)
    with pytest.raises(ValueError, match="belongs to part 2/2"):
        one.append({name: two.signatures(name)[:1] for name in two.features}, [theirs])
    with pytest.raises(ValueError, match=r"is of part 1/2 of its folders, got 2/2; choose another place"):
        build(photo_folder, one.path, tiny_model, "2/2")
    whole = build(photo_folder, tmp_path / "whole", tiny_model)
    assert whole.part is None
    with pytest.raises(ValueError, match=r"is of all photos of its folders, got 1/2"):
        build(photo_folder, whole.path, tiny_model, "1/2")


# --- merging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5])
def test_merged_parts_are_the_index_of_one_run(
    odd_folder: Path, tiny_model: Path, tmp_path: Path, n: int
) -> None:
    whole = build(odd_folder, tmp_path / "whole", tiny_model)
    parts = parts_of(odd_folder, tmp_path, tiny_model, n)
    before = {path: path.read_bytes() for part in parts for path in part.rglob("*") if path.is_file()}
    random.Random(n).shuffle(parts)
    merged = Index.merge(parts, tmp_path / "merged")
    assert_alike(merged, whole)
    assert merged.part is None
    assert {path: path.read_bytes() for path in before} == before, "the parts stay as they are"
    report = merged.refresh()
    assert (report.added, report.updated, report.removed) == (0, 0, 0), "nothing is read again"
    assert [record.id for record in merged.records(merged.select("date:1990..2100"))] == [
        record.id for record in whole.records(whole.select("date:1990..2100"))
    ]
    query = next(iter(whole)).path
    assert [tuple(h) for h in _told(search(query, merged))] == [tuple(h) for h in _told(search(query, whole))]
    assert [image.id for image in find(merged, "red")] == [image.id for image in find(whole, "red")]


def _told(results: Any) -> Any:
    return [(h.rank, h.id, h.path, h.distance, h.histogram_distance, h.penalized) for h in results]


def test_what_happened_to_parts_happened_to_the_index(
    odd_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Removed and vanished photos, changed ones and many segments leave no trace in the merged index."""
    parts = [Index.open(path) for path in parts_of(odd_folder, tmp_path, tiny_model, 3)]
    photos = sorted(path for path in odd_folder.rglob("*.jpg") if path.name != "broken.jpg")
    photos[0].unlink()
    shutil.copy(photos[1], photos[2])
    os.utime(photos[2])
    for part in parts:
        part.refresh()
    removed = photos[3]
    for part in parts:
        if removed in part:
            part.remove(removed)
    merged = Index.merge([part.path for part in parts], tmp_path / "merged")
    whole = build(odd_folder, tmp_path / "whole", tiny_model)
    whole.remove(removed)
    assert_alike(merged, whole)
    assert merged.refresh().left_out == 1, "what was removed by hand stays out"
    assert removed not in merged
    # A photo that moves is recognised by its fingerprint, which came along.
    photos[4].rename(photos[4].with_name("another name.jpg"))
    assert merged.refresh().moved == 1


def test_indexes_of_other_folders_are_merged(made_photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    kinds = [path for path in made_photos.iterdir() if path.is_dir()]
    places = [build(kind, tmp_path / f"index {kind.name}", tiny_model).path for kind in kinds]
    merged = Index.merge(places, tmp_path / "merged")
    together = Index.build(kinds, tmp_path / "together", model=tiny_model, features=FEATURES, device="cpu")
    assert [(r.id, r.path) for r in merged] == [(r.id, r.path) for r in together]
    assert set(merged.roots) == set(together.roots)
    for name in together.features:
        assert_same(merged.signatures(name), together.signatures(name))


def test_photos_and_model_may_be_elsewhere(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole = build(photo_folder, tmp_path / "whole", tiny_model)
    parts = parts_of(photo_folder, tmp_path, tiny_model, 2)
    model = tiny_model.with_name("moved.onnx")
    photo_folder.rename(tmp_path / "away")
    tiny_model.rename(model)
    try:
        merged = Index.merge(parts, tmp_path / "merged")
        assert [(r.id, r.path) for r in merged] == [(r.id, r.path) for r in whole]
        assert_same(merged.signatures("hog"), whole.signatures("hog"))
    finally:
        model.rename(tiny_model)
        (tmp_path / "away").rename(photo_folder)
    assert merged.refresh().unchanged == 12


def test_what_cannot_be_merged_is_said(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    one, two, three = parts_of(photo_folder, tmp_path, tiny_model, 3)
    out = tmp_path / "merged"
    with pytest.raises(ValueError, match=r"parts: expected all of them, 1 part missing: 3/3"):
        Index.merge([one, two], out)
    with pytest.raises(ValueError, match=r"2 parts missing: 1/3, 3/3"):
        Index.merge([two], out)
    with pytest.raises(ValueError, match="at least one index"):
        Index.merge([], out)
    copy = tmp_path / "copy"
    shutil.copytree(one, copy)
    with pytest.raises(ValueError, match=r"each part once, got 1/3 in .* and 1/3 in "):
        Index.merge([one, two, three, copy], out)
    with pytest.raises(ValueError, match=r"each index once, got .*part\.2 twice"):
        Index.merge([one, two, three, two], out)
    town = build(photo_folder / "town", tmp_path / "a town", tiny_model).path
    village = build(photo_folder / "town", tmp_path / "the same town", tiny_model).path
    with pytest.raises(ValueError, match=r"each file in one of them, got .* in both .*town and .*town"):
        Index.merge([town, village], out)
    with pytest.raises(IndexStorageError, match="is not there"):
        Index.merge([one, tmp_path / "nothing"], out)
    other = build(photo_folder, tmp_path / "hog", tiny_model, "2/3", features="hog")
    with pytest.raises(RecipeMismatchError, match="hog"):
        Index.merge([one, other.path, three], out)
    quarter = build(photo_folder, tmp_path / "quarter", tiny_model, "1/4")
    with pytest.raises(ValueError, match=r"parts of one number of parts, got 1/3 in .* and 1/4 in"):
        Index.merge([one, quarter.path], out)
    inner = build(photo_folder / "town", tmp_path / "town", tiny_model)
    with pytest.raises(ValueError, match=r"folders apart from one another, got .*town in "):
        Index.merge([one, two, three, inner.path], out)
    assert not out.exists(), "nothing is begun before all is known"
    with pytest.raises(IndexStorageError, match=r"merged is inside the index .*part\.1; choose another"):
        Index.merge([one, two, three], one / "merged")
    merged = Index.merge([one, two], out, partial=True)
    assert 0 < len(merged) < 12
    with pytest.raises(IndexStorageError, match="were not all read"):
        Index.merge([out, town], tmp_path / "of a merge")
    assert merged.refresh().added == 12 - len(Index.open(one)) - len(Index.open(two))
    assert len(Index.merge([one, two, three], tmp_path / "whole")) == 12
    with pytest.raises(IndexStorageError, match="is another index; choose another place"):
        Index.merge([one, two, three], one)
    with pytest.raises(IndexStorageError, match="is another index"):
        Index.merge([one, two, three], out)
    assert len(Index.merge([three, one, two], tmp_path / "whole")) == 12, "again: there is nothing to do"
    Index.open(one).remove(next(iter(Index.open(one))).path)
    with pytest.raises(IndexStorageError, match="is another index"):
        Index.merge([three, one, two], tmp_path / "whole")


def test_parts_are_of_the_same_folders(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Else photos would be missing in the merged index, or would be in it twice after a refresh."""
    other = tmp_path / "other"
    shutil.copytree(photo_folder, other)
    one = Index.build([photo_folder, other], tmp_path / "1", model=tiny_model, features="hog", part="1/2")
    two = build(photo_folder, tmp_path / "2", tiny_model, "2/2", features="hog")
    moved = build(other, tmp_path / "3", tiny_model, "2/2", features="hog")
    for pair in ([one.path, two.path], [two.path, one.path]):
        with pytest.raises(ValueError, match=r"parts of the same folders, got .*other in .*1 and not in .*2"):
            Index.merge(pair, tmp_path / "merged", partial=True)
    first = build(photo_folder, tmp_path / "4", tiny_model, "1/2", features="hog")
    with pytest.raises(ValueError, match=r"the same folders, .*`semcbir info PART --root NEW`"):
        Index.merge([first.path, moved.path], tmp_path / "merged")
    moved.rebase(photo_folder)
    assert len(Index.merge([first.path, moved.path], tmp_path / "merged")) == 12
    two.add(other)
    assert len(Index.merge([one.path, two.path], tmp_path / "both")) == 24


def test_a_part_that_was_not_read_to_its_end_is_not_merged(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(photo_folder, tmp_path / "part.1", tiny_model, "1/2", on_progress=stop)
    build(photo_folder, tmp_path / "part.2", tiny_model, "2/2")
    with pytest.raises(IndexStorageError, match=r"part\.1 were not all read; run its `semcbir index`"):
        Index.merge([tmp_path / "part.1", tmp_path / "part.2"], tmp_path / "merged")
    build(photo_folder, tmp_path / "part.1", tiny_model, "1/2")
    assert len(Index.merge([tmp_path / "part.1", tmp_path / "part.2"], tmp_path / "merged")) == 12


def test_damage_is_not_merged(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    parts = parts_of(photo_folder, tmp_path, tiny_model, 2)
    segment = next((parts[0] / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    data[-9] ^= 1
    segment.write_bytes(data)
    with pytest.raises(IndexStorageError, match=r"is damaged and cannot be merged; run `semcbir check`"):
        Index.merge(parts, tmp_path / "merged")
    with pytest.raises(IndexStorageError, match="is only merged in part; run its `semcbir merge`"):
        Index.open(tmp_path / "merged")
    data[-9] ^= 1
    segment.write_bytes(data)
    assert len(Index.merge(parts, tmp_path / "merged")) == 12
    segment.unlink()
    with pytest.raises(IndexStorageError, match="is not there"):
        Index.merge(parts, tmp_path / "another")


def test_a_merge_that_goes_on_in_another_order_is_the_same(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same folder under two names: whichever part comes first, ids and names are the same."""
    monkeypatch.setattr(merging, "LARGEST", 2)
    (tmp_path / "a link").symlink_to(photo_folder)
    one = build(photo_folder, tmp_path / "p1", tiny_model, "1/2").path
    two = build(tmp_path / "a link", tmp_path / "p2", tiny_model, "2/2").path
    other = tmp_path / "m"
    shutil.copytree(photo_folder / "town", other)
    three = build(other, tmp_path / "p3", tiny_model).path
    left = 2

    def stop(progress: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Index.merge([one, two, three], tmp_path / "merged", on_progress=stop)
    merged = Index.merge([three, two, one], tmp_path / "merged")
    again = Index.merge([two, three, one], tmp_path / "again")
    assert merged.check() == []
    assert len(merged) == len(again) == 12 + len(list(other.iterdir()))
    assert [(r.id, r.path) for r in merged] == [(r.id, r.path) for r in again]
    assert merged.roots == again.roots
    assert len(merged.roots) == 2


def test_a_part_whose_photos_are_lost_is_not_merged(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "deep" / "index"
    build(photo_folder, place, tiny_model)
    photo_folder.rename(tmp_path / "moved")
    photo_folder.mkdir()
    Image.new("RGB", (60, 40), "red").save(photo_folder / "another.png")
    (tmp_path / "some" / "where").mkdir(parents=True)
    (tmp_path / "deep").rename(tmp_path / "some" / "where" / "else")
    place = tmp_path / "some" / "where" / "else" / "index"
    with pytest.raises(IndexStorageError, match=r"holds none of the photos of .*; say where they are now"):
        Index.merge([place], tmp_path / "merged")
    Index.open(place).rebase(tmp_path / "moved")
    assert len(Index.merge([place], tmp_path / "merged")) == 12


def test_what_is_merged_is_made_to_its_end_whenever_it_was_killed(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(photo_folder, tmp_path, tiny_model, 2)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merging, "tidy", killed)
        with pytest.raises(KeyboardInterrupt):
            Index.merge(parts, tmp_path / "merged")
    assert len(Index.merge(parts, tmp_path / "merged")) == 12
    assert len(Index.merge([tmp_path / "merged"], tmp_path / "again")) == 12, "it can be merged further"


def test_single_files_around_a_folder(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A root of single files around one that is followed: its paths begin before and end after it."""
    places = []
    for number, names in enumerate((["a.png", "z.png"], ["zz.png"])):
        index = build(photo_folder / "meadow", tmp_path / f"p{number}", tiny_model, f"{number + 1}/2")
        places.append(index.path)
        for name in names:
            Image.new("RGB", (60, 40), "red").save(photo_folder / name)
    whole = [build(photo_folder / kind, tmp_path / f"i {kind}", tiny_model) for kind in ("town", "beach")]
    whole[0].add([photo_folder / "a.png", photo_folder / "z.png"])
    whole[1].add([photo_folder / "zz.png"])
    merged = Index.merge([index.path for index in whole], tmp_path / "merged")
    assert merged.check() == []
    paths = [record.path for record in merged]
    assert paths == sorted(paths, key=os.fsencode)
    assert len(paths) == 8 + 3
    one = Index.open(places[0])
    with pytest.raises(ValueError, match=r"a\.png is in no folder of index .* which is part 1/2"):
        one.add(photo_folder / "a.png")
    before = one.roots
    with pytest.raises(ValueError, match="nothing was added"):
        one.add([photo_folder / "a.png", photo_folder / "town"])
    with pytest.raises(ValueError, match=r"holds .*meadow, which index .* follows: a part of another folder"):
        one.refresh(photo_folder)
    assert Index.open(places[0]).roots == before, "nothing was added, not even a folder"


@pytest.mark.parametrize("key", [2**33, 2**40, 2**62])
def test_ids_that_nobody_gave_take_no_memory(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, key: int
) -> None:
    index = build(photo_folder, tmp_path / "index", tiny_model)
    with closing(sqlite3.connect(index.path / "catalog.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO images (id, root, path, state, reason) VALUES (?, 1, ?, 'skipped', 'x')", (key, b"x")
        )
    with pytest.raises(IndexStorageError, match=f"image {key}: expected ids below the number of rows"):
        Index.merge([index.path], tmp_path / "merged")


def test_ids_below_zero_are_damage(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    index = build(photo_folder, tmp_path / "index", tiny_model)
    with closing(sqlite3.connect(index.path / "catalog.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO images (id, root, path, state, reason) VALUES (-1, 1, ?, 'skipped', 'x')", (b"x",)
        )
    with pytest.raises(IndexStorageError, match="is damaged"):
        Index.merge([index.path], tmp_path / "merged")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_more_parts_than_files_may_be_open(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(merging, "_PIECES", 16)

    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(60):
        Image.new("RGB", (24, 16), (4 * number, 0, 0)).save(photos / f"{number}.png")
    parts = parts_of(photos, tmp_path, tiny_model, 60, features="hog")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
    try:
        merged = Index.merge(parts, tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(merged) == 60


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_merge_that_was_stopped_goes_on(
    odd_folder: Path, tiny_model: Path, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "LARGEST", 3)
    whole = build(odd_folder, tmp_path / "whole", tiny_model)
    parts = parts_of(odd_folder, tmp_path, tiny_model, 4)
    left = after

    def stop(progress: Any) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1

    with pytest.raises(KeyboardInterrupt):
        Index.merge(parts, tmp_path / "merged", on_progress=stop)
    with pytest.raises(IndexStorageError, match="only merged in part"):
        Index.open(tmp_path / "merged")
    with pytest.raises(IndexStorageError, match="a merge of other indexes, or they have changed"):
        Index.merge(parts[:2], tmp_path / "merged", partial=True)
    with pytest.raises(IndexStorageError, match="is being merged"):
        Index.merge([tmp_path / "merged"], tmp_path / "another")
    seen: list[int] = []
    merged = Index.merge(parts, tmp_path / "merged", on_progress=lambda p: seen.append(p.done))
    assert seen == sorted(seen)
    assert seen[-1] == len(whole)
    assert_alike(merged, whole)


def test_a_part_that_changes_meanwhile_is_noticed(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    parts = parts_of(photo_folder, tmp_path, tiny_model, 2)

    def change(progress: Any) -> None:
        index = Index.open(parts[1])
        index.remove(next(iter(index)).path)

    with pytest.raises(IndexStorageError, match=r"part\.2 was changed meanwhile; merge again"):
        Index.merge(parts, tmp_path / "merged", on_progress=change)


MERGE = """
import sys
from semcbir import Index
from semcbir.index import merge_indexes as merging
from semcbir.index.check import check_index
merging.LARGEST = 8
print("go", flush=True)
Index.merge(sys.argv[2:], sys.argv[1])
"""


@pytest.mark.slow
def test_sixteen_parts_merged_through_thirty_kills(tiny_model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(240):
        Image.new("RGB", (48, 32), (number, 255 - number, 40)).save(photos / f"{number}.png")
    (photos / "broken.jpg").write_bytes(b"no image")
    whole = build(photos, tmp_path / "whole", tiny_model, features="hog")
    parts = parts_of(photos, tmp_path, tiny_model, 16, features="hog")
    out, kills, partial, wait = tmp_path / "merged", 0, 0, 0.01
    chance = random.Random(3)
    for number in range(400):
        command = [sys.executable, "-c", MERGE, str(out), *map(str, parts)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 2 * wait))
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
        kills += killed
        if (out / "catalog.sqlite").exists():
            assert check_index(out) == []
            try:
                found = len(Index.open(out))
            except IndexStorageError:  # it is only merged in part
                partial += 1
            else:
                assert found == len(whole), "what can be opened is complete"
                shutil.rmtree(out)
        wait *= 1.1 if killed and number % 3 else 0.95
        if kills >= 30 and partial >= 10:
            break
    assert (kills >= 30, partial >= 10) == (True, True)
    assert_alike(Index.merge(parts, out), whole)


# --- the commands -------------------------------------------------------------------------------------------


def test_the_commands(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    made = ["--model", tiny_model, "--features", "hog"]
    refused = run("index", photo_folder, *made, "--part", "1/2")
    assert (refused.code, "needed for a part" in refused.err) == (2, True)
    for number in (1, 2):
        assert (
            run("index", photo_folder, "-o", tmp_path / f"p{number}", *made, "--part", f"{number}/2").code
            == 0
        )
    told = run("info", tmp_path / "p1")
    assert "part       1/2 of their photos" in told.out
    assert run("info", tmp_path / "p1", "--json").json["part"] == "1/2"
    missing = run("merge", tmp_path / "p1", "-o", tmp_path / "all")
    assert (missing.code, "1 part missing: 2/2" in missing.err) == (1, True)
    done = run("merge", tmp_path / "p1", tmp_path / "p2", "-o", tmp_path / "all")
    assert (done.code, "12 images" in done.out) == (0, True)
    assert run("info", tmp_path / "all", "--json").json["part"] is None
    assert run("info", tmp_path / "all", "--json").json["complete"] is True
    told = run("merge", tmp_path / "p1", "-o", tmp_path / "half", "--partial", "--json")
    assert 0 < told.json["images"] < 12
    assert "parts are missing; `semcbir refresh " in told.err
    assert run("info", tmp_path / "half", "--json").json["complete"] is False
    assert "complete   no; `semcbir refresh` reads the other photos" in run("info", tmp_path / "half").out
    run("refresh", tmp_path / "half")
    assert run("info", tmp_path / "half", "--json").json["complete"] is True
    wrong = run("index", photo_folder, "-o", tmp_path / "p3", *made, "--part", "3/2")
    assert (wrong.code, "--part: expected I/N" in wrong.err) == (2, True)
    with pytest.raises(ImageError):
        Index.build(tmp_path / "nothing", tmp_path / "p4", part="1/2")
