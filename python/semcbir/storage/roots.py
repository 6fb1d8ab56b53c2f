# SPDX-License-Identifier: MIT
"""Roots: the folders an index found its images in, and which files of them concern it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from semcbir.errors import IndexStorageError
from semcbir.images import display_path, find_images


@dataclass(frozen=True)
class Root:
    """A folder that images were found in, with its number in the catalogue.

    ``scanned`` is false where only single files of the folder were added, so that a refresh does not look
    for others.
    """

    id: int
    folder: Path
    scanned: bool

    def relative(self, file: Path) -> bytes:
        """Return how ``file`` is called in the catalogue."""
        return os.fsencode(file.relative_to(self.folder).as_posix())

    def file(self, relative: bytes) -> Path:
        """Return the file that the catalogue calls ``relative``."""
        return self.folder / os.fsdecode(relative)


def read_roots(index: Path, connection: sqlite3.Connection) -> tuple[Root, ...]:
    """Return the roots of the index, oldest first."""
    rows = connection.execute("SELECT id, path, scanned FROM roots ORDER BY id")
    return tuple(
        Root(key, Path(os.path.normpath(index / os.fsdecode(stored))), bool(scanned))
        for key, stored, scanned in rows
    )


def stored_folder(folder: Path, index: Path) -> bytes:
    """Return how a root is written down: relative where the index lies inside it, so both can move."""
    if index.is_relative_to(folder):
        return os.fsencode(os.path.relpath(folder, index))
    return os.fsencode(folder)


def root_of(index: Path, connection: sqlite3.Connection, path: Path) -> Root:
    """Return the root that the file or folder ``path`` belongs to, noting a new one where there is none.

    Raises IndexStorageError where the root's folder is not there as a whole.
    """
    scanned = path.is_dir()
    folder = path if scanned else path.parent
    holders = [
        root
        for root in read_roots(index, connection)
        if root.folder == folder or (root.scanned and path.is_relative_to(root.folder))
    ]
    # The innermost one: an outer root leaves out what belongs to a root inside it.
    root = max(holders, key=lambda root: len(root.folder.parts), default=None)
    if root is None:
        root = _add(index, connection, folder, scanned=scanned)
    if not root.folder.is_dir():
        raise IndexStorageError(
            f"folder {display_path(root.folder)} of index {display_path(index)} is not there; "
            "if it moved, say where with `semcbir info INDEX --root NEW`"
        )
    return root


def scan_from_now_on(index: Path, connection: sqlite3.Connection, root: Root) -> Root:
    """Turn a root of single files into one that is looked through as a whole."""
    root = Root(root.id, root.folder, True)
    with connection:
        connection.execute("UPDATE roots SET scanned = 1 WHERE id = ?", (root.id,))
        _absorb(index, connection, root)
    return root


def _add(index: Path, connection: sqlite3.Connection, folder: Path, *, scanned: bool) -> Root:
    with connection:
        cursor = connection.execute(
            "INSERT INTO roots (path, scanned) VALUES (?, ?)", (stored_folder(folder, index), scanned)
        )
        assert cursor.lastrowid is not None
        root = Root(cursor.lastrowid, folder, scanned)
        if scanned:
            _absorb(index, connection, root)
    return root


def _absorb(index: Path, connection: sqlite3.Connection, root: Root) -> None:
    """Make single files below a root that is now scanned its own, so that no file counts twice."""
    for other in read_roots(index, connection):
        if other.scanned or other.id == root.id or not other.folder.is_relative_to(root.folder):
            continue
        rows = connection.execute("SELECT id, path FROM images WHERE root = ?", (other.id,)).fetchall()
        connection.executemany(
            "UPDATE images SET root = ?, path = ? WHERE id = ?",
            ((root.id, root.relative(other.file(path)), image) for image, path in rows),
        )
        connection.execute("DELETE FROM roots WHERE id = ?", (other.id,))


@dataclass(frozen=True)
class Listing:
    """Image files found, and the folders that could not be looked into."""

    files: list[Path]
    unreadable: list[Path] = field(default_factory=list)


def files_of(index: Path, connection: sqlite3.Connection, root: Root, path: Path) -> Listing:
    """List the image files of ``root`` that ``path``, the root itself or something in it, stands for.

    The index itself and what belongs to other roots inside this one are left out.
    """
    if not path.is_dir():
        return Listing([path])
    if not root.scanned:
        rows = connection.execute("SELECT path FROM images WHERE root = ?", (root.id,))
        return Listing([root.file(relative) for (relative,) in rows])
    roots = read_roots(index, connection)
    inner = [
        other.folder
        for other in roots
        if other.scanned and other.id != root.id and other.folder.is_relative_to(root.folder)
    ]
    unreadable: list[Path] = []
    files = find_images(path, [index, *inner], on_error=lambda folder, _: unreadable.append(folder))
    return Listing(files, unreadable)
