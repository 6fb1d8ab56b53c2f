# SPDX-License-Identifier: MIT
"""Roots: the folders in which an index found its images.

No root lies inside a scanned one: a folder below a scanned root belongs to it, and a folder above existing
roots takes over their images. So every file has one place in the catalogue.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from semcbir._files import display_path
from semcbir.index.catalog import Catalog
from semcbir.index.rows import RootRow


@dataclass(frozen=True)
class Root:
    """A folder that images were found in, with its number in the catalogue.

    ``scanned`` is false if only single files of the folder were added; a refresh then does not look for
    others.
    """

    id: int
    folder: Path
    scanned: bool

    def relative(self, file: Path) -> bytes:
        """Return the catalogue's name for ``file``."""
        return os.fsencode(file.relative_to(self.folder).as_posix())

    def file(self, relative: bytes) -> Path:
        """Return the file that the catalogue calls ``relative``."""
        return self.folder / os.fsdecode(relative)


def read_roots(catalog: Catalog, *, forgotten: bool = False) -> tuple[Root, ...]:
    """Return the roots of an index, oldest first; forgotten ones only on request."""
    return tuple(
        Root(row.id, _place(catalog, row), row.state == "scanned")
        for row in catalog.roots()
        if forgotten or row.state != "forgotten"
    )


def _place(catalog: Catalog, row: RootRow) -> Path:
    """Return where a root is now: index and photos may have moved together, or the index alone."""
    stored = Path(os.fsdecode(row.path))
    if row.relative is None:
        return stored
    beside = Path(os.path.normpath(Path(os.path.realpath(catalog.folder)) / os.fsdecode(row.relative)))
    if not stored.is_dir():
        return beside if beside.is_dir() else stored
    if not beside.is_dir() or stored.samefile(beside):
        return stored
    # Both are there, so the index or the photos were copied: follow the folder that has the photos.
    known = catalog.indexed_below(row.id, limit=1)
    return beside if known and (beside / os.fsdecode(known[0][1])).exists() else stored


def stored_place(folder: Path, index: Path) -> tuple[bytes, bytes | None]:
    """Return a root as stored: its path, and its path relative to the index's real location (or None)."""
    try:
        relative = os.fsencode(os.path.relpath(os.path.realpath(folder), os.path.realpath(index)))
    except ValueError:  # another drive
        relative = None
    return os.fsencode(folder), relative


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that do not lie inside another of them, each once."""
    chosen = list(dict.fromkeys(folders))
    return [one for one in chosen if not any(one.is_relative_to(other) for other in chosen if other != one)]


def holding(roots: tuple[Root, ...], path: Path) -> Root | None:
    """Return the root that the file or folder ``path`` belongs to, if there is one."""
    for root in roots:
        if path.is_relative_to(root.folder) if root.scanned else path.parent == root.folder:
            return root
    return None


def claim_folder(catalog: Catalog, folder: Path) -> None:
    """Make the index follow ``folder``: by a root that holds it, or by a new one."""
    if any(root.scanned and folder.is_relative_to(root.folder) for root in read_roots(catalog)):
        return
    with catalog.changes():
        root = Root(_claimed(catalog, folder, "scanned"), folder, True)
        for other in read_roots(catalog, forgotten=True):
            if other.id != root.id and other.folder.is_relative_to(folder):
                _absorb(catalog, root, other)


def claim_file(catalog: Catalog, file: Path) -> None:
    """Make sure that a root holds the single file ``file``."""
    if holding(read_roots(catalog), file) is None:
        with catalog.changes():
            _claimed(catalog, file.parent, "files")


def _claimed(catalog: Catalog, folder: Path, state: str) -> int:
    """Make ``folder`` a root in this state, a known one (even forgotten) or a new one; return its number."""
    for root in read_roots(catalog, forgotten=True):
        if root.folder == folder:
            catalog.set_root_state(root.id, state)
            return root.id
    return catalog.add_root(*stored_place(folder, catalog.folder), state)


def _absorb(catalog: Catalog, root: Root, other: Root) -> None:
    """Move the images of a root below ``root`` into ``root``, so that no file counts twice."""
    images = catalog.images_below(other.id)
    catalog.absorb_root(
        root.id, other.id, ((row.id, root.relative(other.file(path))) for path, row in images.items())
    )


def rebase(catalog: Catalog, new: Path, old: Path | None) -> None:
    """Store that the root at ``old`` (None: the only one) is now at ``new``; ValueError as in ``Index``."""
    roots = read_roots(catalog)
    chosen = [root for root in roots if old in (None, root.folder)]
    if len(chosen) != 1:
        known = ", ".join(display_path(root.folder) for root in roots)
        raise ValueError(f"old must name one of the index's folders: {known}")
    others = [root.folder for root in roots if root is not chosen[0]]
    if any(new.is_relative_to(other) or other.is_relative_to(new) for other in others):
        raise ValueError(f"new must not overlap another folder of the index, got {display_path(new)}")
    images = catalog.indexed_below(chosen[0].id)
    if images and not any((new / os.fsdecode(path)).exists() for _, path in images):
        raise ValueError(
            f"new must hold images of the folder that moved, but none of them is at {display_path(new)}"
        )
    with catalog.changes():
        catalog.move_root(chosen[0].id, *stored_place(new, catalog.folder))
