# SPDX-License-Identifier: MIT
"""An index and its photos move, together and apart, again and again: it takes no other photos for its own."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from folder_machine import fake_stream
from semcbir import Extractor, Index, IndexStorageError
from semcbir.cli.app import app
from semcbir.index import vanished
from semcbir.index.catalog import read
from semcbir.index.database import NAME
from semcbir.index.ready import ready_index

MANY = vanished.MANY + 1


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the folders of a test, in which a "photo" is a number: this takes no time."""
    monkeypatch.setattr(Extractor, "stream", fake_stream)
    return tmp_path


def write(folder: Path, count: int = 3, digits: int = 3) -> Path:
    """Write the photos ``IMG_0.jpg`` and so on: cameras count alike, but files of other sizes are others."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"IMG_{number}.jpg").write_text(str(10 ** (digits - 1) + number))
    return folder


def own(folder: Path, model: Path) -> Path:
    """Make the own index of a folder; return it."""
    return Index.build(folder, folder / ".semcbir", model=model).path


def ids(index: Index) -> dict[Path, int]:
    return {record.path: record.id for record in index}


def state(index: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in index.rglob("*") if path.is_file()}


def stored(index: Path) -> list[tuple[bytes, bytes | None]]:
    with read(index) as catalog:
        return [(row.path, row.relative) for row in catalog.roots()]


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        app([os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments], "semcbir")
    return int(stop.value.code or 0)


# --- a copy of an index is no folder's ----------------------------------------------------------------------


def test_a_copy_of_a_moved_index_knows_where_the_photos_are(top: Path, tiny_model: Path):
    own(write(top / "2024", MANY), tiny_model)
    trip = (top / "2024").rename(top / "trip")
    index = Index.open(trip / ".semcbir")
    before = ids(index)
    index.refresh()
    (top / "bk").mkdir()
    write(top / "bk" / "others", 2, digits=5)
    copy = Index.open(shutil.copytree(index.path, top / "bk" / "trip.index"))
    assert ids(copy) == before
    report = copy.refresh()
    assert (report.unchanged, report.removed, report.added, report.missing) == (MANY, 0, 0, [])
    assert (ids(copy), copy.roots, copy.check()) == (before, (trip,), [])


@pytest.mark.parametrize("others", [0, 5])
def test_a_copy_that_has_lost_the_photos_keeps_them(top: Path, tiny_model: Path, others: int):
    """Nothing was stored after the move: the copy cannot know where the photos are, but it loses nothing."""
    own(write(top / "2024", MANY), tiny_model)
    (top / "2024").rename(top / "trip")
    (top / "bk").mkdir()
    # Some have the photos' names, and some do not; none are the photos.
    write(top / "bk", others, digits=5)
    write(top / "bk" / "more", others, digits=5)
    copy = Index.open(shutil.copytree(top / "trip" / ".semcbir", top / "bk" / "trip.index"))
    before = ids(copy)
    with pytest.raises(IndexStorageError, match=r"no folder of .* is there with its images: .*2024"):
        copy.refresh()
    assert command("refresh", copy.path) == 1
    assert (ids(Index.open(copy.path)), copy.check()) == (before, [])
    copy.rebase(top / "trip")
    assert copy.refresh().unchanged == MANY
    assert set(ids(copy).values()) == set(before.values())


def test_of_two_folders_a_lost_one_is_named_and_keeps_its_images(
    top: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    folder, far = write(top / "2024", MANY), write(top / "far")
    index = Index.build([folder, far], folder / ".semcbir", model=tiny_model)
    before = {path: key for path, key in ids(index).items() if path.parent == folder}
    folder.rename(top / "trip")
    write(top / "bk", 2, digits=5)
    copy = Index.open(shutil.copytree(top / "trip" / ".semcbir", top / "bk" / "trip.index"))
    (far / "new.jpg").write_text("7")
    report = copy.refresh()
    assert (report.added, report.removed, report.missing) == (1, 0, [folder])
    assert before.items() <= ids(copy).items()
    assert len(copy) == MANY + 4
    capsys.readouterr()
    assert command("refresh", copy.path) == 3
    assert f"{folder} is not there" in capsys.readouterr().err


def test_a_folder_with_a_few_of_the_photos_is_not_theirs(top: Path, tiny_model: Path):
    folder = write(top / "2024", MANY)
    index = Index.open(own(folder, tiny_model))
    (top / "best").mkdir()
    shutil.copy2(folder / "IMG_0.jpg", top / "best")
    copy = Index.open(shutil.copytree(index.path, top / "best" / "index"))
    assert copy.roots == (folder,)
    assert (copy.refresh().removed, ids(copy)) == (0, ids(index))


# --- the next move starts from the last ---------------------------------------------------------------------


def test_another_folder_where_the_photos_were_is_another(top: Path, tiny_model: Path):
    own(write(top / "st" / "cam"), tiny_model)
    trip = (top / "st" / "cam").rename(top / "st" / "trip")
    Index.open(trip / ".semcbir").refresh()
    write(top / "st" / "cam", digits=5)
    (top / "tidy").mkdir()
    index = Index.open((trip / ".semcbir").rename(top / "tidy" / "trip.index"))
    assert {record.path.parent for record in index} == {trip}
    assert index.refresh().unchanged == 3


def test_another_folder_where_the_photos_were_before_it_was_known_is_lost(top: Path, tiny_model: Path):
    own(write(top / "st" / "cam"), tiny_model)
    trip = (top / "st" / "cam").rename(top / "st" / "trip")
    cam = write(top / "st" / "cam", digits=5)
    (top / "tidy").mkdir()
    index = Index.open((trip / ".semcbir").rename(top / "tidy" / "trip.index"))
    before = set(ids(index).values())
    stale = ready_index(index.path, model=tiny_model).stale
    assert stale is not None
    assert f"of {cam} are there any more" in stale
    with pytest.raises(IndexStorageError, match="is there with its images"):
        index.refresh()
    # The new folder can be followed all the same, and so can the photos when they are found.
    report = index.refresh(cam)
    assert (report.added, report.updated, report.removed, report.missing) == (3, 0, 0, [cam])
    assert {record.id for record in index} > before
    assert index[cam / "IMG_0.jpg"].id not in before
    index.rebase(trip, cam)
    assert (index.refresh().unchanged, index.report.missing) == (6, [])
    assert {index[path].id for path in trip.glob("*.jpg")} == before
    assert index.check() == []


def test_an_index_beside_its_photos_starts_from_its_last_place(top: Path, tiny_model: Path):
    write(top / "a" / "ph")
    index = Index.build(top / "a" / "ph", top / "a" / "ix", model=tiny_model)
    before = set(ids(index).values())
    (top / "a").rename(top / "b")
    Index.open(top / "b" / "ix").refresh()
    (top / "c").mkdir()
    moved = Index.open((top / "b" / "ix").rename(top / "c" / "ix"))
    assert moved.roots == (top / "b" / "ph",)
    assert moved.refresh().unchanged == 3
    assert (set(ids(moved).values()), moved.check()) == (before, [])


@pytest.mark.parametrize("change", ["refresh", "add", "remove", "compact", "append"])
def test_every_writer_stores_where_the_photos_are(top: Path, tiny_model: Path, change: str):
    folder = write(top / "one" / "ph")
    index = Index.build(folder, folder / ".semcbir", model=tiny_model)
    path = (top / "one").rename(top / "two") / "ph"
    index = Index.open(path / ".semcbir")
    if change == "add":
        index.add(path / "IMG_0.jpg")
    elif change == "remove":
        index.remove(0)
    elif change == "append":
        index.append(index.signatures(ids=[0]), path / "IMG_0.jpg")
    else:
        getattr(index, change)()
    assert stored(index.path) == [(os.fsencode(path), b"..")]
    # The index alone: only the way from it to the photos changes.
    index = Index.open((path / ".semcbir").rename(top / "ix"))
    index.compact()
    assert stored(index.path) == [(os.fsencode(path), b"../two/ph")]


def test_looking_changes_nothing(top: Path, tiny_model: Path):
    own(write(top / "one"), tiny_model)
    index = Index.open((top / "one").rename(top / "two") / ".semcbir")
    before = state(index.path)
    assert {path.parent for path in ids(index)} == {top / "two"}
    assert index.find(top / "two" / "IMG_0.jpg") is not None
    assert ready_index(index.path, model=tiny_model).stale is None
    assert index.check() == []
    assert state(index.path) == before


def test_a_disk_that_is_not_mounted_is_not_forgotten(top: Path, tiny_model: Path):
    """Where photos were not seen, nothing is stored, even if the index moves in the meantime."""
    disk, near = write(top / "media" / "disk"), write(top / "near", 2, digits=4)
    index = Index.build([disk, near], top / "home" / "ix", model=tiny_model)
    before = ids(index)
    away = (top / "media").rename(top / "away")
    write(top / "x" / "media" / "disk", digits=5)
    (top / "x" / "home").mkdir()
    index = Index.open((top / "home" / "ix").rename(top / "x" / "home" / "ix"))
    report = index.refresh()
    assert (report.missing, report.unchanged, report.added, report.removed) == ([disk], 2, 0, 0)
    away.rename(top / "media")
    assert (index.refresh().unchanged, index.report.missing) == (5, [])
    assert ids(index) == before


def test_photos_that_were_put_in_order_on_the_way_keep_their_ids(top: Path, tiny_model: Path):
    """None is where it was in the folder: the user says where that is now, and the photos show it."""
    own(write(top / "2024"), tiny_model)
    trip = (top / "2024").rename(top / "trip")
    (trip / "sea").mkdir()
    index = Index.open(trip / ".semcbir")
    before = set(ids(index).values())
    for photo in trip.glob("*.jpg"):
        photo.rename(trip / "sea" / photo.name)
    with pytest.raises(IndexStorageError, match="info INDEX --root NEW"):
        index.refresh()
    stale = ready_index(trip, model=tiny_model).stale
    assert stale is not None
    assert "info" in stale
    with pytest.raises(ValueError, match="new: expected a folder with images of the one that moved"):
        index.rebase(write(top / "other" / "photos", digits=5).parent)
    index.rebase(trip)
    report = index.refresh()
    assert (report.moved, report.added, report.removed) == (3, 0, 0)
    assert ({record.path.parent for record in index}, set(ids(index).values())) == ({trip / "sea"}, before)


# --- what still moves together ------------------------------------------------------------------------------


def test_copies_without_their_times_move_together(top: Path, tiny_model: Path):
    own(write(top / "one"), tiny_model)
    for file in (top / "one").glob("*.jpg"):
        os.utime(file, ns=(1, 1))
    copy = Index.open(Path(shutil.copytree(top / "one", top / "two", copy_function=shutil.copy)) / ".semcbir")
    assert copy.roots == (top / "two",)
    copy.refresh()
    assert {path.parent for path in ids(copy)} == {top / "two"}
    assert Index.open(top / "one" / ".semcbir").roots == (top / "one",)


def test_one_photo_of_many_shows_where_the_others_were(top: Path, tiny_model: Path):
    """However many are gone, and wherever in the folder the one is."""
    folder = top / "one"
    for name in "abcz":
        write(folder / name, 40)
    own(folder, tiny_model)
    for photo in sorted(folder.rglob("*.jpg"))[:-1]:
        photo.unlink()
    (folder / "a").rmdir()
    index = Index.open(folder.rename(top / "two") / ".semcbir")
    assert index.roots == (top / "two",)
    report = index.refresh()
    # Folders that are empty now keep theirs: their disks may not be mounted.
    assert (report.unchanged, report.missing) == (1, [top / "two" / "b", top / "two" / "c"])


def test_an_index_of_nothing_yet_moves_along(top: Path, tiny_model: Path):
    (top / "one").mkdir()
    own(top / "one", tiny_model)
    write((top / "one").rename(top / "two"))
    index = Index.open(top / "two" / ".semcbir")
    assert index.refresh().added == 3
    assert stored(index.path) == [(os.fsencode(top / "two"), b"..")]


def test_a_folder_removed_and_moved_takes_its_ids_along(top: Path, tiny_model: Path):
    write(top / "one" / "ph")
    index = Index.build(top / "one" / "ph", top / "one" / "ix", model=tiny_model)
    before = set(ids(index).values())
    index.remove(top / "one" / "ph")
    (top / "one").rename(top / "two")
    index = Index.open(top / "two" / "ix")
    assert index.add(top / "two" / "ph").added == 3
    assert set(ids(index).values()) == before


def test_sizes_of_no_sense_find_nothing(top: Path, tiny_model: Path):
    """Whatever a catalogue says about its photos, the folder beside it is not taken by mistake."""
    path = own(write(top / "one"), tiny_model)
    with sqlite3.connect(path / NAME) as connection:
        connection.execute("UPDATE images SET size = -1, mtime_ns = -1")
    index = Index.open((top / "one").rename(top / "two") / ".semcbir")
    with pytest.raises(IndexStorageError, match="is there with its images"):
        index.refresh()
    assert len(index) == 3
