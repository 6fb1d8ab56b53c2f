# SPDX-License-Identifier: MIT
"""Whereabouts: where a root's folder is now, after the index, the photos or both have been moved or copied.

The catalogue has two names for it: an absolute path, and one relative to the index. As long as they agree,
nothing has moved. If not, both are guesses, and the photos decide: a writer stores where they were found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semcbir.index.catalog import Catalog
from semcbir.index.rows import RootRow

_ENOUGH = 100
"""Images found in one of two folders after which the one that has more of them is chosen."""


class Whereabouts(NamedTuple):
    """Where a root's folder is.

    ``seen`` is true if its photos were seen there; ``lost`` if it has images, and none of them is where they
    may be: then ``folder``, where it was last, may be another one by now.
    """

    folder: Path
    seen: bool = False
    lost: bool = False


def find_root(catalog: Catalog, row: RootRow, index: str) -> Whereabouts:
    """Return where a root is now; ``index`` is the real path of the index."""
    stored = Path(os.fsdecode(row.path))
    if row.relative is None:
        return Whereabouts(stored)
    beside = Path(os.path.normpath(Path(index) / os.fsdecode(row.relative)))
    if stored == beside:
        return Whereabouts(stored)
    there = [folder for folder in (beside, stored) if os.path.isdir(folder)]  # noqa: PTH112 - false for every error
    if len(there) == 2 and stored.samefile(beside):
        return Whereabouts(stored, seen=True)
    has_files, holder = _holder(catalog, row.id, there)
    if holder is not None:
        return Whereabouts(holder, seen=True)
    if has_files:
        return Whereabouts(stored, lost=True)
    return Whereabouts(beside if there == [beside] else stored)


def _holder(catalog: Catalog, root: int, folders: Sequence[Path]) -> tuple[bool, Path | None]:
    """Return whether a root has files, and which of ``folders`` has most of them (of two the first), if any.

    At ``_ENOUGH`` that were found it is decided.
    """
    places = [_Place(folder) for folder in folders]
    found, decided, has_files = [0] * len(places), 0, False
    for path, size in catalog.each_file(root):
        has_files = True
        holds = [place.has(path, size) for place in places]
        found = [count + one for count, one in zip(found, holds, strict=True)]
        decided += any(holds)
        if decided == _ENOUGH or not places:
            break
    most = max(found, default=0)
    return has_files, folders[found.index(most)] if most else None


class _Place:
    """A folder in which files are looked for; quick where none are, however many it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._top = os.fsencode(folder)
        self._names: dict[bytes, frozenset[bytes] | None] = {}

    def has(self, path: bytes, size: int) -> bool:
        """Return whether a file at ``path`` in the folder has this size.

        Cameras begin again at the same names; copies and some disks do not keep the mtime.
        """
        parent, _, name = path.rpartition(b"/")
        names = self._names.get(parent)
        if names is not None and name not in names:
            return False
        file = os.path.join(self._top, path)  # noqa: PTH118 - here and below, often many files
        try:
            status = os.stat(file)  # noqa: PTH116
        except (OSError, ValueError):
            if parent not in self._names:
                self._names[parent] = _listed(os.path.dirname(file))  # noqa: PTH120
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size


def _listed(folder: bytes) -> frozenset[bytes] | None:
    """Return the names in a folder; None if they cannot be told."""
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError):
        return None


def stored_place(folder: Path, index: Path) -> tuple[bytes, bytes | None]:
    """Return a root as stored: its path, and its path relative to the index's real location (or None)."""
    try:
        relative = os.fsencode(os.path.relpath(os.path.realpath(folder), os.path.realpath(index)))
    except ValueError:  # another drive
        relative = None
    return os.fsencode(folder), relative


def store_places(catalog: Catalog) -> None:
    """Store where the photos of roots were seen, in one commit if it is not known yet.

    The next move then starts from there; the caller is the index's writer.
    """
    index = os.path.realpath(catalog.folder)
    moved = {}
    for row in catalog.roots():
        place = find_root(catalog, row, index)
        new = stored_place(place.folder, catalog.folder)
        if place.seen and new != (row.path, row.relative):
            moved[row.id] = new
    if moved:
        with catalog.changes():
            for root, new in moved.items():
                catalog.move_root(root, *new)
