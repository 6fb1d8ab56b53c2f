# SPDX-License-Identifier: MIT
"""Folders that are nested, linked, moved, emptied, removed and come back: the index follows, ids stay."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import folder_machine
from folder_machine import Folders, fake_stream
from semcbir import Extractor, Index
from semcbir.extractor import Extraction
from semcbir.index import plan, vanished
from semcbir.index.catalog import NAME, Catalog

READ: list[Path] = []
"""The files that the tests' indexes have read, in order."""


@pytest.fixture
def numbers(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of "photos" that are numbers: ``a/0.jpg`` .. ``a/2.jpg``, and ``b/0.jpg``."""

    def stream(self: Extractor, images: Iterable[Path]) -> Iterator[Extraction]:
        for path in images:
            READ.append(path)
            yield from fake_stream(self, [path])

    monkeypatch.setattr(Extractor, "stream", stream)
    write(*(tmp_path / "p" / "a" / f"{number}.jpg" for number in range(3)), tmp_path / "p" / "b" / "0.jpg")
    READ.clear()
    return tmp_path / "p"


@pytest.fixture
def index(numbers: Path, tiny_model: Path, tmp_path: Path) -> Index:
    index = Index.build(numbers, tmp_path / "index", model=tiny_model)
    READ.clear()
    return index


def write(*files: Path) -> None:
    """Write files that differ, in time too."""
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number + 1}{abs(hash(file)) % 1000:03}")
        os.utime(file, ns=(number, 10**9 * (number + 1)))


def ids(index: Index) -> dict[Path, int]:
    return {record.path: record.id for record in index}


# --- nested and forgotten folders ---------------------------------------------------------------------------


def test_a_folder_removed_and_added_in_parts_keeps_its_ids(index: Index, numbers: Path):
    before = ids(index)
    index.remove(numbers)
    assert index.add(numbers / "a").added == 3
    assert ids(index).items() <= before.items()
    assert index.add(numbers).added == 1
    assert ids(index) == before
    index.remove(numbers)
    index.add(numbers / "b" / "0.jpg")
    index.remove(numbers / "b")
    index.add(numbers)
    assert ids(index) == before
    assert (index.roots, index.check()) == ((numbers,), [])


def test_photos_may_move_to_where_a_forgotten_folder_was(index: Index, numbers: Path, tmp_path: Path):
    before = ids(index)
    shutil.copytree(numbers, tmp_path / "q")
    write(tmp_path / "q" / "more.jpg")
    index.add(tmp_path / "q")
    more = ids(index)[tmp_path / "q" / "more.jpg"]
    index.remove(tmp_path / "q")
    shutil.rmtree(numbers)
    index.rebase(tmp_path / "q", numbers)
    assert ids(index) == {tmp_path / "q" / path.relative_to(numbers): key for path, key in before.items()}
    assert index.refresh().unchanged == 4
    index.add(tmp_path / "q")
    assert ids(index)[tmp_path / "q" / "more.jpg"] == more
    assert (index.roots, index.check()) == ((tmp_path / "q",), [])


def test_an_id_that_another_has_superseded_stays_reserved(index: Index, numbers: Path, tmp_path: Path):
    shutil.copytree(numbers, tmp_path / "q")
    last = max(record.id for record in index)
    index.add(tmp_path / "q")
    index.remove(tmp_path / "q")
    shutil.rmtree(numbers)
    index.rebase(tmp_path / "q", numbers)
    index.compact()
    write(tmp_path / "q" / "new.jpg")
    index.refresh()
    assert ids(index)[tmp_path / "q" / "new.jpg"] == last + 4 + 1
    for key in range(last + 1, last + 5):
        with pytest.raises(ValueError, match=f"id {key} is not in index"):
            index.remove(key)
    assert index.records([last + 1])[0].path.parent.name == ".superseded"
    assert index.check() == []


# --- links --------------------------------------------------------------------------------------------------


def test_a_folder_and_a_link_to_it_are_one(index: Index, numbers: Path, tiny_model: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(numbers)
    before = ids(index)
    for change in (index.refresh, index.add):
        report = change([link, link / "a"])
        assert (report.added, report.unchanged) == (0, 4)
        assert change([link / "a"]).added == 0
    assert index.add(link / "a" / "0.jpg").unchanged == 1
    assert (ids(index), index.roots) == (before, (numbers,))
    found = index.find(link / "b" / "0.jpg")
    assert found is not None
    assert (found.path, found.id) == (numbers / "b" / "0.jpg", before[numbers / "b" / "0.jpg"])
    with pytest.raises(ValueError, match="new: expected a folder apart from"):
        index.add(write_more(tmp_path / "other"))
        index.rebase(link / "a", tmp_path / "other")
    assert index.remove([link / "a" / "0.jpg", link / "b"]) == 2
    assert index.remove(link) == 2
    both = Index.build([link, numbers], tmp_path / "both", model=tiny_model)
    assert (len(both), both.roots) == (4, (link,))
    assert both.refresh([numbers]).unchanged == 4


def write_more(folder: Path) -> Path:
    write(folder / "0.jpg")
    return folder


def test_a_folder_that_becomes_a_link_to_another_counts_once(index: Index, numbers: Path, tmp_path: Path):
    before = ids(index)
    other = Path(shutil.copytree(numbers / "a", tmp_path / "other"))
    assert index.refresh(other).added == 3
    shutil.rmtree(other)
    other.symlink_to(numbers / "a")
    index.refresh()
    assert (ids(index), index.roots, index.check()) == (before, (numbers,), [])


# --- moved files --------------------------------------------------------------------------------------------


def test_a_renamed_folder_keeps_its_ids_and_is_not_read(index: Index, numbers: Path):
    before = ids(index)
    (numbers / "a").rename(numbers / "z")
    report = index.refresh()
    assert (report.moved, report.added, report.removed, report.unchanged, READ) == (3, 0, 0, 1, [])
    assert ids(index) == {
        numbers / "z" / path.name if path.parent.name == "a" else path: key for path, key in before.items()
    }
    (numbers / "z").rename(numbers / "a")
    assert index.refresh().moved == 3
    assert (ids(index), READ, index.check()) == (before, [], [])


def test_a_thousand_moved_photos_are_not_read(index: Index, numbers: Path):
    write(*(numbers / "many" / f"{number}.jpg" for number in range(1000)))
    index.refresh()
    READ.clear()
    (numbers / "many").rename(numbers / "else")
    assert (index.refresh().moved, READ) == (1000, [])


def test_what_moved_is_recognised_later_and_elsewhere(index: Index, numbers: Path, tmp_path: Path):
    before = ids(index)
    photo, new = numbers / "a" / "1.jpg", tmp_path / "q" / "other name.jpg"
    new.parent.mkdir()
    kept = photo.rename(tmp_path / "kept")
    assert index.refresh().removed == 1
    kept.rename(new)
    assert index.add(new).added == 1
    assert ids(index)[new] == before[photo]
    # Before a refresh has seen it go, too.
    new.rename(new.with_name("third name.jpg"))
    assert index.add(new.parent).moved == 1
    assert ids(index)[new.with_name("third name.jpg")] == before[photo]
    assert (READ, index.check()) == ([], [])


def test_a_moved_photo_whose_signature_is_dropped_keeps_its_id(index: Index, numbers: Path, tmp_path: Path):
    photo, new = numbers / "a" / "1.jpg", numbers / "new.jpg"
    key = ids(index)[photo]
    photo.rename(tmp_path / "kept")
    index.refresh()
    index.compact()
    (tmp_path / "kept").rename(new)
    assert index.refresh().added == 1
    assert (ids(index)[new], READ) == (key, [new])


def test_copies_are_never_taken_for_one_another(index: Index, numbers: Path):
    first = numbers / "a" / "0.jpg"
    copy = Path(shutil.copy2(first, numbers / "b" / "copy.jpg"))
    index.refresh()
    before = ids(index)
    shutil.copy2(first, numbers / "third.jpg")  # the original is still there
    assert index.refresh().moved == 0
    (numbers / "c").mkdir()
    copy.rename(numbers / "c" / "copy.jpg")
    first.rename(numbers / "c" / "0.jpg")
    assert index.refresh().moved == 2  # their names say which is which
    after = ids(index)
    assert after[numbers / "c" / "copy.jpg"] == before[copy]
    assert after[numbers / "c" / "0.jpg"] == before[first]
    (numbers / "c" / "copy.jpg").rename(numbers / "x.jpg")
    (numbers / "c" / "0.jpg").rename(numbers / "y.jpg")
    report = index.refresh()
    assert (report.moved, report.added, report.removed) == (0, 2, 2)


@pytest.mark.parametrize("place", [0, 100_000, -1], ids=["head", "middle", "tail"])
def test_another_photo_of_the_same_size_and_time_is_another(index: Index, numbers: Path, place: int):
    photo, other = numbers / "big.jpg", numbers / "other.jpg"
    data = bytearray(b"7" + 200_000 * b" " + b"\n")
    for file in (photo, other):
        file.write_bytes(data)
        os.utime(file, ns=(5, 5))
        if file is photo:
            index.refresh()
            file.unlink()
            data[place] = {b"7"[0]: b"8"[0], b" "[0]: b"\t"[0], b"\n"[0]: b" "[0]}[data[place]]
    report = index.refresh()
    assert (report.moved, report.added, report.removed) == (0, 1, 1)


def test_indexes_without_or_with_stale_fingerprints(index: Index, numbers: Path):
    """The version before makes none, and does not know that it should change those that are there."""
    before = ids(index)

    def sql(query: str) -> None:
        with sqlite3.connect(index.path / NAME) as connection:
            connection.execute(query)

    photo = numbers / "a" / "0.jpg"
    sql(f"UPDATE images SET size = 99 WHERE id = {before[photo]}")
    photo.rename(numbers / "new.jpg")
    assert index.refresh().moved == 0
    sql("DROP TABLE fingerprints")
    (numbers / "b" / "0.jpg").rename(numbers / "b" / "1.jpg")
    assert (index.refresh().moved, index.report.added) == (0, 1)
    (numbers / "b" / "1.jpg").rename(numbers / "b" / "2.jpg")
    assert index.refresh().moved == 1
    assert index.check() == []


# --- missing disks and deleted photos -----------------------------------------------------------------------


def test_the_last_photos_may_be_deleted(index: Index, numbers: Path):
    for photo in ids(index):
        photo.unlink()
    report = index.refresh()
    assert (report.removed, report.missing, len(index)) == (4, [], 0)
    assert (index.refresh().removed, index.report.missing) == (0, [])


def test_a_folder_that_holds_its_index_is_there(numbers: Path, tiny_model: Path):
    write(*(numbers / f"{number}.jpg" for number in range(20)))
    index = Index.build(numbers, numbers / ".semcbir", model=tiny_model)
    shutil.rmtree(numbers / "a")
    shutil.rmtree(numbers / "b")
    for photo in numbers.glob("*.jpg"):
        photo.unlink()
    assert (index.refresh().removed, index.report.missing) == (24, [])


def test_an_empty_folder_keeps_its_many_photos_until_they_are_removed(index: Index, numbers: Path):
    disk = numbers / "disk"
    write(*(disk / "sub" / f"{number}.jpg" for number in range(vanished.MANY)))
    index.refresh()
    before = ids(index)
    READ.clear()
    away = disk.rename(numbers.parent / "away")
    disk.mkdir()
    report = index.refresh()
    assert (report.removed, report.missing) == (0, [disk])
    assert ids(index) == before
    write(numbers / "new.jpg")
    assert (index.refresh().added, index.report.missing) == (1, [disk])
    disk.rmdir()
    away.rename(disk)
    assert (index.refresh().unchanged, index.report.missing) == (len(before) + 1, [])
    shutil.rmtree(disk / "sub")
    assert index.refresh().missing == [disk]
    assert index.remove(disk) == vanished.MANY
    assert (index.refresh().missing, len(index)) == ([], 5)
    assert index.roots == (numbers,)


def test_a_link_that_leads_nowhere_keeps_its_photos(index: Index, numbers: Path, tmp_path: Path):
    write(tmp_path / "disk" / "x" / "0.jpg")
    (numbers / "link").symlink_to(tmp_path / "disk")
    assert index.refresh().added == 1
    (tmp_path / "disk").rename(tmp_path / "away")
    assert (index.refresh().removed, index.report.missing) == (0, [numbers / "link"])
    (numbers / "link").unlink()
    assert index.refresh().removed == 1


def test_copies_of_photos_on_a_missing_disk_are_new(index: Index, numbers: Path, tmp_path: Path):
    disk = numbers / "disk"
    write(*(disk / f"{number}.jpg" for number in range(vanished.MANY)))
    index.refresh()
    before = ids(index)
    shutil.copytree(disk, tmp_path / "copies")
    away = disk.rename(tmp_path / "away")
    disk.mkdir()
    assert (index.refresh([tmp_path / "copies"]).added, index.report.moved) == (vanished.MANY, 0)
    disk.rmdir()
    away.rename(disk)
    index.refresh()
    assert before.items() <= ids(index).items()


def test_a_folder_that_cannot_be_seen_does_not_keep_the_others_waiting(
    index: Index, numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "q" / "0.jpg")
    index.refresh(tmp_path / "q")
    real = os.scandir

    def scandir(place: str | Path) -> object:
        if Path(place) == numbers:
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    write(tmp_path / "q" / "new.jpg")
    assert (index.refresh().added, index.report.unreadable) == (1, [numbers])
    assert len(index) == 6


def test_a_file_that_cannot_be_looked_at_stays(index: Index, numbers: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk of a link's target fails, say: a scan passes over it, and nobody knows if it is there."""
    photo = numbers / "link.jpg"
    photo.symlink_to(numbers.parent / "far.jpg")
    write(numbers.parent / "far.jpg")
    index.refresh()
    (numbers.parent / "far.jpg").unlink()
    real = os.stat

    def stat(path: object, **more: object) -> os.stat_result:
        if path == photo:
            raise OSError(5, "Input/output error")
        return real(path, **more)  # type: ignore[arg-type,call-overload]

    monkeypatch.setattr(os, "stat", stat)
    assert (index.refresh().removed, index.report.unreadable) == (0, [numbers])


# --- removing -----------------------------------------------------------------------------------------------


def test_folders_are_removed_in_part_and_from_above(index: Index, numbers: Path, tmp_path: Path):
    write(tmp_path / "q" / "0.jpg", tmp_path / "q" / "x" / "0.jpg")
    index.add([tmp_path / "q" / "0.jpg", tmp_path / "q" / "x"])
    assert index.remove(numbers / "a") == 3
    assert index.refresh().unchanged == 3
    with pytest.raises(ValueError, match="a is not in index"):
        index.remove([numbers / "b", numbers / "a"])
    assert len(index) == 3
    assert index.add(numbers / "a" / "0.jpg").added == 1
    assert index.remove(tmp_path / "q") == 2
    assert (index.roots, index.refresh().unchanged) == ((numbers,), 2)
    assert index.remove(tmp_path) == 2
    assert (index.roots, len(index), index.check()) == ((), 0, [])
    assert index.refresh().unchanged == 0


def test_a_removed_folder_takes_its_skipped_files_along(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    (photo_folder / "town" / "bad.jpg").write_text("no photo")
    index = Index.build(photo_folder / "town", tmp_path / "index", model=tiny_model, features="hog")
    assert (len(index.skipped), index.remove(photo_folder / "town")) == (1, 4)
    index.add(photo_folder / "town" / "0.jpg")
    assert (index.skipped, len(index)) == ([], 1)


# --- many folders -------------------------------------------------------------------------------------------


def test_many_single_files_are_claimed_at_once(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = [tmp_path / "many" / str(number) / "0.jpg" for number in range(50)]
    write(*files)
    calls = {"roots": 0, "changes": 0}

    def counted(name: str) -> None:
        real = getattr(Catalog, name)

        def call(self: Catalog) -> object:
            calls[name] += 1
            return real(self)

        monkeypatch.setattr(Catalog, name, call)

    counted("roots")
    counted("changes")
    assert index.add(files).added == 50
    assert index.remove(files) == 50
    assert calls["roots"] <= 18
    assert calls["changes"] <= 6


# --- any sequence of all that -------------------------------------------------------------------------------


@pytest.fixture
def machine(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Folders]:
    """The steps of ``folder_machine``, on an index that takes no time."""
    monkeypatch.setattr(Extractor, "stream", fake_stream)
    for module in (plan, vanished):
        monkeypatch.setattr(module, "MANY", folder_machine.MANY)
    (tmp_path / "none").mkdir()
    Index.build(tmp_path / "none", tmp_path / "index", model=tiny_model).remove(tmp_path / "none")
    Folders.empty_index = tmp_path / "index"
    return Folders


def run(machine: type[Folders], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_any_sequence_of_changes_leaves_what_a_plain_model_says(machine: type[Folders]):
    run(machine, examples=40, steps=20)


@pytest.mark.long
@pytest.mark.slow
def test_many_sequences_of_changes(machine: type[Folders]):
    run(machine, examples=500, steps=40)
