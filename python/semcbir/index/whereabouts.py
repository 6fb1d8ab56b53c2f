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
from semcbir.index.rows import ImageRow, RootRow

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
    there = [folder for folder in (beside, stored) if folder.is_dir()]
    if len(there) == 2 and stored.samefile(beside):
        return Whereabouts(stored, seen=True)
    has_images, holder = _holder(catalog, row.id, there)
    if holder is not None:
        return Whereabouts(holder, seen=True)
    if has_images:
        return Whereabouts(stored, lost=True)
    return Whereabouts(beside if there == [beside] else stored)


def _holder(catalog: Catalog, root: int, folders: Sequence[Path]) -> tuple[bool, Path | None]:
    """Return whether a root has images, and which of ``folders`` has most of them (of two the first), if any.

    At ``_ENOUGH`` that were found it is decided.
    """
    found = dict.fromkeys(folders, 0)
    has_images, decided = False, 0
    for image in catalog.each_image(root):
        if image.state == "gone" or image.size is None:
            continue
        has_images = True
        holders = [folder for folder in folders if _has(folder, image)]
        for folder in holders:
            found[folder] += 1
        decided += bool(holders)
        if decided == _ENOUGH or not folders:
            break
    best = max(folders, key=found.__getitem__, default=None)
    return has_images, best if best is not None and found[best] else None


def _has(folder: Path, image: ImageRow) -> bool:
    """Return whether a file of the image's path and size is in ``folder``.

    Cameras begin again at the same names; copies and some disks do not keep the mtime.
    """
    try:
        status = os.stat(os.path.join(os.fsencode(folder), image.path))  # noqa: PTH116, PTH118 - many files
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == image.size


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
