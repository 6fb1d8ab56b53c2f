# SPDX-License-Identifier: MIT
"""Folders that change under an index, step by step, and a plain model of what the index must then hold.

The model has one list of rows and one of roots. An image is a row with a path; a root owns rows. All paths
in it are real ones; ``l`` is a link to the folder ``p``, by which the steps may name it too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from semcbir import Extractor, Index, IndexStorageError, Signatures
from semcbir.extractor import Extraction
from semcbir.index.catalog import read
from semcbir.index.roots import read_roots
from semcbir.index.schema import SUPERSEDED

MANY = 3
"""In the place of ``vanished.MANY``: few files are quicker."""
FOLDERS = ["p", "p/a", "p/a/b", "p/c", "q", "q/a"]
NAMES = ["0.jpg", "1.jpg", "2.jpg"]


def fake_stream(self: Extractor, images: Iterable[Path]) -> Iterator[Extraction]:
    """Signatures that hold the number that a file is: this takes no time, and shows what was read."""
    for path in images:
        number = float(path.read_text())
        found = {
            feature.name: Signatures(
                offsets=[0, 1],
                classes=[1],
                proportions=[1.0],
                counts=[1],
                centroids=np.full((1, self.recipe.for_feature(feature.name).feature().dim), number),
                n_classes=self.recipe.n_classes,
                recipe=self.recipe.for_feature(feature.name),
                whole=feature.whole_row,
            )
            for feature in self.features
        }
        yield Extraction(found)


@dataclass
class Row:
    """An image: its ``state`` is indexed, removed or gone; ``number`` is what its file was when read."""

    path: Path
    state: str
    number: int
    owner: Path
    id: int = -1


class Model:
    """What an index must hold."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.roots: dict[Path, str] = {}
        self.next_id = 0

    def scanned_around(self, folder: Path) -> bool:
        return any(self.roots.get(place) == "scanned" for place in (folder, *folder.parents))

    def held(self, file: Path) -> bool:
        return self.scanned_around(file.parent) or self.roots.get(file.parent) == "files"

    def claim(self, folders: list[Path], files: list[Path]) -> None:
        for folder in sorted(folders):
            if not self.scanned_around(folder):
                for inside in [root for root in self.roots if root.is_relative_to(folder)]:
                    del self.roots[inside]
                self.roots[folder] = "scanned"
                self.take_over(folder, [row for row in self.rows if row.path.is_relative_to(folder)])
        for file in files:
            if not self.held(file):
                self.roots[file.parent] = "files"
                self.take_over(file.parent, [row for row in self.rows if row.path.parent == file.parent])

    def take_over(self, root: Path, rows: list[Row], moved: Iterable[Row] = ()) -> None:
        first = [id(row) for row in moved]
        for row in rows:
            row.owner = root
            twins = [twin for twin in self.rows if twin.owner == root and twin.path == row.path]
            twins.sort(key=lambda twin: (id(twin) not in first, twin.state != "indexed", twin.id))
            for twin in twins[1:]:
                self.rows.remove(twin)

    def rebase(self, new: Path, old: Path) -> None:
        state = self.roots.pop(old)
        mine = [row for row in self.rows if row.owner == old]
        if state == "files":
            mine = [row for row in mine if row.path.parent == old]
        for row in mine:
            row.path, row.owner = new / row.path.relative_to(old), new
        if state == "scanned":
            for inside in [root for root in self.roots if root.is_relative_to(new)]:
                del self.roots[inside]
            rows = [row for row in self.rows if row.path.is_relative_to(new)]
        else:
            rows = [row for row in self.rows if row.path.parent == new]
        self.roots[new] = state
        self.take_over(new, [row for row in rows if all(row is not own for own in mine)], mine)

    def refresh(self, folders: list[Path]) -> bool:
        """Follow the files; return whether any root was there."""
        self.claim(folders, [])
        active = [root for root, state in self.roots.items() if state != "forgotten"]
        new: list[Row] = []
        gone: list[Row] = []
        for root in active:
            if not root.is_dir():
                continue
            files = photos(root) if self.roots[root] == "scanned" else []
            settled = [row for row in self.rows if row.owner == root and row.state == "indexed"]
            lost = [row for row in settled if not row.path.is_file()]
            files = sorted({*files, *(row.path for row in settled if row.path.is_file())})
            new += [row for file in files if (row := self.look_at(file, root, revive=False))]
            if self.roots[root] == "scanned" and not files and len(lost) >= MANY:
                continue
            hollow = [hollow_above(row.path) for row in lost]
            gone += [
                row
                for row, place in zip(lost, hollow, strict=True)
                if place is None or hollow.count(place) < MANY
            ]
        for row in gone:
            row.state = "gone"
        self.settle(new, [row for row in self.rows if row in gone or self.really_gone(row, "gone")])
        return not active or any(root.is_dir() for root in active)

    def add(self, folders: list[Path], files: list[Path]) -> None:
        self.claim(folders, files)
        paths = sorted({*files, *(photo for folder in folders for photo in photos(folder))})
        new = [row for file in paths if (row := self.look_at(file, self.owner(file), revive=True))]
        self.settle(new, [row for row in self.rows if self.really_gone(row, "gone", "indexed")])

    def owner(self, file: Path) -> Path:
        if self.roots.get(file.parent) == "files":
            return file.parent
        return next(place for place in file.parents if self.roots.get(place) == "scanned")

    def look_at(self, file: Path, root: Path, *, revive: bool) -> Row | None:
        """Bring the row of a file that is there up to date; return it if there was none."""
        number = int(file.read_text())
        for row in self.rows:
            if row.owner == root and row.path == file:
                if row.state != "removed" or revive:
                    row.state, row.number = "indexed", number
                return None
        return Row(file, "indexed", number, root)

    def really_gone(self, row: Row, *states: str) -> bool:
        there = row.path.is_file() or not row.owner.is_dir()
        return row.state in states and not there and hollow_above(row.path) is None

    def settle(self, new: list[Row], gone: list[Row]) -> None:
        """Take ``new`` files for those ``gone`` that they were, if that is certain; list the others."""
        for number in {row.number for row in new}:
            files = [row for row in new if row.number == number]
            rows = [row for row in gone if row.number == number]
            alone = len(files) == len(rows) == 1
            for file in files:
                named = [row for row in rows if alone or row.path.name == file.path.name]
                alike = [other for other in files if alone or other.path.name == file.path.name]
                if len(named) == len(alike) == 1:
                    (row,) = named
                    row.path, row.owner, row.state = file.path, file.owner, "indexed"
                    new.remove(file)
        self.rows += new

    def remove(self, path: Path) -> bool:
        """Take out an image or a folder; return whether there was anything."""
        chosen = [row for row in self.rows if row.path == path and row.state == "indexed" and self.held(path)]
        if not chosen:
            inside = [r for r, state in self.roots.items() if state != "forgotten" and r.is_relative_to(path)]
            below = [row for row in self.rows if row.path.is_relative_to(path) and row.state == "indexed"]
            if not inside and not (below and self.scanned_around(path)):
                return False
            chosen = [row for row in below if row.owner in inside or not inside]
            self.roots.update(dict.fromkeys(inside, "forgotten"))
        for row in chosen:
            row.state = "removed"
        return True


def photos(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def hollow_above(file: Path) -> Path | None:
    place = next(place for place in file.parents if place.is_dir())
    return None if any(place.iterdir()) else place


class Folders(RuleBasedStateMachine):
    """The steps. ``empty_index`` is an index of no folder, copied for each run."""

    empty_index: Path

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(os.path.realpath(tempfile.mkdtemp()))
        self.index_path = Path(shutil.copytree(self.empty_index, self.base / "index"))
        self.model, self.clock, self.away = Model(), 0, dict[Path, Path]()
        for folder in FOLDERS:
            (self.base / folder).mkdir(parents=True)
        (self.base / "l").symlink_to("p")
        (self.base / "away").mkdir()
        self.index = Index.open(self.index_path)

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    # --- what happens to the files ------------------------------------------------------------------------

    def real(self, path: str) -> Path:
        return self.base / (f"p{path[1:]}" if path[0] == "l" else path)

    def write(self, file: Path) -> None:
        self.clock += 1
        if file.parent.is_dir():
            file.write_text(f"{self.clock:04}")
            os.utime(file, ns=(self.clock, self.clock))

    @initialize(files=st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), min_size=4))
    def first_files(self, files: set[tuple[str, str]]) -> None:
        for folder, name in sorted(files):
            self.write(self.base / folder / name)

    @rule(folder=st.sampled_from(FOLDERS), name=st.sampled_from(NAMES))
    def new_or_changed(self, folder: str, name: str) -> None:
        self.write(self.base / folder / name)

    @rule(folder=st.sampled_from(FOLDERS), name=st.sampled_from(NAMES))
    def deleted(self, folder: str, name: str) -> None:
        (self.base / folder / name).unlink(missing_ok=True)

    @rule(data=st.data(), folder=st.sampled_from(FOLDERS), name=st.sampled_from(NAMES), move=st.booleans())
    def moved_or_copied(self, data: st.DataObject, folder: str, name: str, move: bool) -> None:
        files, new = photos(self.base / "p") + photos(self.base / "q"), self.base / folder / name
        if files and new.parent.is_dir():
            old = data.draw(st.sampled_from(files))
            if old != new:
                (shutil.move if move else shutil.copy2)(old, new)

    @rule(folder=st.sampled_from(FOLDERS), empty=st.booleans())
    def vanished(self, folder: str, empty: bool) -> None:
        place = self.base / folder
        if place.is_dir() and place not in self.away:
            self.away[place] = place.rename(self.base / "away" / str(len(self.away)))
            if empty:
                place.mkdir()

    @precondition(lambda self: self.away)
    @rule()
    def returned(self) -> None:
        place, away = self.away.popitem()
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
        if place.parent.is_dir() and not place.exists():
            away.rename(place)
        else:
            shutil.rmtree(away)

    @rule(old=st.sampled_from(FOLDERS), new=st.sampled_from(FOLDERS))
    def folder_renamed(self, old: str, new: str) -> None:
        source, target = self.base / old, self.base / new
        if source.is_dir() and target.parent.is_dir() and not target.is_relative_to(source):
            if target.is_dir() and not any(target.iterdir()):
                target.rmdir()
            if not target.exists():
                source.rename(target)

    # --- what the user does -------------------------------------------------------------------------------

    @rule(folders=st.lists(st.sampled_from([*FOLDERS, "l", "l/a"]), max_size=2))
    def refresh(self, folders: list[str]) -> None:
        names = [folder for folder in folders if self.real(folder).is_dir()]
        if self.model.refresh([self.real(name) for name in names]):
            self.index.refresh([self.base / name for name in names])
        else:
            with pytest.raises(IndexStorageError, match="no folder of index .* is there"):
                self.index.refresh([self.base / name for name in names])

    @rule(folders=st.lists(st.sampled_from([*FOLDERS, "l", "l/a"]), max_size=2), data=st.data())
    def add(self, folders: list[str], data: st.DataObject) -> None:
        there = photos(self.base / "p") + photos(self.base / "q")
        files = data.draw(st.lists(st.sampled_from(there), max_size=2)) if there else []
        names = [self.base / folder for folder in folders if self.real(folder).is_dir()]
        self.model.add([self.real(os.fspath(name.relative_to(self.base))) for name in names], files)
        self.index.add([*names, *files])

    @rule(what=st.sampled_from([*FOLDERS, "l", "l/a", *(f"{f}/{n}" for f in FOLDERS for n in NAMES)]))
    def remove(self, what: str) -> None:
        before = len(self.index)
        if self.model.remove(self.real(what)):
            assert self.index.remove(self.base / what) == before - len(self.index)
        else:
            with pytest.raises(ValueError, match="is not in index"):
                self.index.remove(self.base / what)

    @rule(data=st.data(), new=st.sampled_from(FOLDERS), rename=st.booleans())
    def rebase(self, data: st.DataObject, new: str, rename: bool) -> None:
        roots = [root for root, state in self.model.roots.items() if state != "forgotten"]
        if not roots:
            return
        old = data.draw(st.sampled_from(sorted(roots)))
        if rename:
            self.folder_renamed(os.fspath(old.relative_to(self.base)), new)
        target, others = self.base / new, [root for root in roots if root != old]
        known = [r for r in self.model.rows if r.owner == old and r.state == "indexed"]
        there = not known or any((target / row.path.relative_to(old)).exists() for row in known)
        if self.model.roots[old] == "scanned":
            numbers = {row.number for row in known}
            there = there or any(int(photo.read_text()) in numbers for photo in photos(target))
        overlap = any(target.is_relative_to(o) or o.is_relative_to(target) for o in others)
        name = next(root for root in self.index.roots if Path(os.path.realpath(root)) == old)
        if not target.is_dir():
            return
        if there and not overlap:
            self.model.rebase(target, old)
            self.index.rebase(target, name)
        else:
            with pytest.raises(ValueError, match="new: expected"):
                self.index.rebase(target, name)

    @rule()
    def compact(self) -> None:
        self.index.compact()

    # --- what must hold after each step ---------------------------------------------------------------------

    @invariant()
    def the_index_is_the_model(self) -> None:
        with read(self.index_path) as catalog:
            roots = read_roots(catalog, forgotten=True)
            found = [
                (row, Path(os.path.realpath(root.folder)) / os.fsdecode(row.path))
                for root in roots
                for row in catalog.images_below(root.id).values()
                if SUPERSEDED.encode() not in row.path
            ]
        listed = sorted((path, row.state, row.id) for row, path in found)
        fresh = [(path, row.id) for row, path in found if row.id >= self.model.next_id]
        for row in self.model.rows:
            if row.id < 0:
                (row.id,) = [key for path, key in fresh if path == row.path]
        expected = sorted((row.path, row.state, row.id) for row in self.model.rows)
        assert listed == expected, (set(listed) - set(expected), set(expected) - set(listed))
        self.model.next_id = max([self.model.next_id, *(key + 1 for _, key in fresh)])

    @invariant()
    def what_is_found_is_what_was_read(self) -> None:
        numbers = {row.id: row.number for row in self.model.rows if row.state == "indexed"}
        signatures = self.index.signatures()
        assert dict(zip(signatures.ids.tolist(), signatures.centroids[:, 0].tolist(), strict=True)) == numbers
        assert {record.id for record in self.index} == numbers.keys()
        active = {root for root, state in self.model.roots.items() if state != "forgotten"}
        assert {Path(os.path.realpath(root)) for root in self.index.roots} == active

    @invariant()
    def the_index_is_sound(self) -> None:
        assert self.index.check() == []
