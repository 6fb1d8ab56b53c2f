# SPDX-License-Identifier: MIT
"""Looking up: which files the images of an index are, by id, by path, and by what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from semcbir._files import display_path
from semcbir._validate import shown
from semcbir.errors import IndexStorageError
from semcbir.index.catalog import Catalog
from semcbir.index.report import Damaged, Skipped
from semcbir.index.roots import Roots, read_roots
from semcbir.index.rows import MAX_ID
from semcbir.index.snapshot import Snapshot


@dataclass(frozen=True)
class Record:
    """An image in an index: its id, where its file is, and the file's size (bytes) and mtime (ns)."""

    id: int
    path: Path
    size: int | None
    mtime_ns: int | None


def records(catalog: Catalog, ids: Iterable[int], found: Snapshot) -> list[Record]:
    """Return the records of ``ids``, in their order; the images in ``found`` must have one.

    Raises KeyError for an id that never existed, IndexStorageError if the catalogue is damaged.
    """
    roots = {root.id: root for root in read_roots(catalog, forgotten=True)}
    listed = []
    wanted = list(ids)
    rows = catalog.images([key for key in wanted if 0 <= key <= MAX_ID])
    for key in wanted:
        row = rows.get(key)
        if row is None or row.root not in roots:
            # Rows of images are never deleted.
            raise _unknown(catalog.folder, key, damaged=row is not None or key in found)
        listed.append(Record(row.id, roots[row.root].file(row.path), row.size, row.mtime_ns))
    return listed


def record_at(catalog: Catalog, file: Path) -> Record | None:
    """Return the record of the image file at the absolute path ``file``, or None if it is not there."""
    place = Roots(read_roots(catalog)).place(file)
    row = catalog.indexed_at(place[0].id, place[0].relative(place[1])) if place else None
    return Record(row.id, place[1], row.size, row.mtime_ns) if place and row else None


def skipped(catalog: Catalog) -> list[Skipped]:
    """Return the image files that could not be read, with the reason, by path."""
    return [Skipped(*one) for one in _placed(catalog, catalog.skipped())]


def damaged(catalog: Catalog) -> list[Damaged]:
    """Return the images in the index whose files could be read only in part, with the reason, by path."""
    return [Damaged(*one) for one in _placed(catalog, catalog.damaged())]


def _placed(catalog: Catalog, rows: Iterable[tuple[int, bytes, str]]) -> list[tuple[Path, str]]:
    """Return (file, reason) of rows (root, path, reason), by path; without those of forgotten roots."""
    roots = {root.id: root for root in read_roots(catalog)}
    found = [(roots[root].file(path), reason) for root, path, reason in rows if root in roots]
    return sorted(found, key=lambda one: os.fsencode(one[0]))


def _unknown(folder: Path, key: int, *, damaged: bool) -> Exception:
    """Return the error for an id whose file is not known."""
    if damaged:
        return IndexStorageError(
            f"catalogue of index {display_path(folder)} is damaged: it does not say where the file of "
            f"image {key} is; run `semcbir check`"
        )
    return KeyError(f"index {display_path(folder)} has no image with id {shown(key)}")
