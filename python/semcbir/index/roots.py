# SPDX-License-Identifier: MIT
"""Roots: the folders an index found its images in.

No root lies inside a scanned one: a folder below a scanned root belongs to it, and a folder above existing
roots takes their images over. So every file has one place in the catalogue.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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


def read_roots(index: Path, connection: sqlite3.Connection, *, forgotten: bool = False) -> tuple[Root, ...]:
    """Return the roots of the index, oldest first; forgotten ones only where asked for."""
    rows = connection.execute("SELECT id, path, relative, state FROM roots ORDER BY id").fetchall()
    return tuple(
        Root(key, _place(index, connection, key, path, relative), state == "scanned")
        for key, path, relative, state in rows
        if forgotten or state != "forgotten"
    )


def _place(
    index: Path, connection: sqlite3.Connection, key: int, path: bytes, relative: bytes | None
) -> Path:
    """Tell where a root is now: index and photos may have moved together, or the index alone."""
    stored = Path(os.fsdecode(path))
    if relative is None:
        return stored
    beside = Path(os.path.normpath(Path(os.path.realpath(index)) / os.fsdecode(relative)))
    if not stored.is_dir():
        return beside if beside.is_dir() else stored
    if not beside.is_dir() or stored.samefile(beside):
        return stored
    # Both are there, so one of index and photos was copied: where its photos are tells which to follow.
    query = "SELECT path FROM images WHERE root = ? AND state = 'indexed' LIMIT 1"
    known = connection.execute(query, (key,)).fetchone()
    return beside if known and (beside / os.fsdecode(known[0])).exists() else stored


def stored_place(folder: Path, index: Path) -> tuple[bytes, bytes | None]:
    """Return how a root is written down: as it is, and from the index's real place where there is a way."""
    try:
        relative = os.fsencode(os.path.relpath(os.path.realpath(folder), os.path.realpath(index)))
    except ValueError:  # another drive
        relative = None
    return os.fsencode(folder), relative


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that lie in no other of them, each once."""
    chosen = list(dict.fromkeys(folders))
    return [one for one in chosen if not any(one.is_relative_to(other) for other in chosen if other != one)]


def holding(roots: tuple[Root, ...], path: Path) -> Root | None:
    """Return the root that the file or folder ``path`` belongs to, if there is one."""
    for root in roots:
        if path.is_relative_to(root.folder) if root.scanned else path.parent == root.folder:
            return root
    return None


def claim_folder(index: Path, connection: sqlite3.Connection, folder: Path) -> None:
    """Have the index follow ``folder``: by a root that holds it, or by a new one."""
    if any(root.scanned and folder.is_relative_to(root.folder) for root in read_roots(index, connection)):
        return
    same = [root for root in read_roots(index, connection, forgotten=True) if root.folder == folder]
    with connection:
        key = same[0].id if same else _insert(index, connection, folder, "scanned")
        connection.execute("UPDATE roots SET state = 'scanned' WHERE id = ?", (key,))
        _absorb(index, connection, Root(key, folder, True))


def claim_file(index: Path, connection: sqlite3.Connection, file: Path) -> None:
    """Have a root for the single file ``file``."""
    if holding(read_roots(index, connection), file) is not None:
        return
    same = [root for root in read_roots(index, connection, forgotten=True) if root.folder == file.parent]
    with connection:
        key = same[0].id if same else _insert(index, connection, file.parent, "files")
        connection.execute("UPDATE roots SET state = 'files' WHERE id = ?", (key,))


def _insert(index: Path, connection: sqlite3.Connection, folder: Path, state: str) -> int:
    cursor = connection.execute(
        "INSERT INTO roots (path, relative, state) VALUES (?, ?, ?)", (*stored_place(folder, index), state)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _absorb(index: Path, connection: sqlite3.Connection, root: Root) -> None:
    """Make the images of every root below ``root`` its own, so that no file counts twice."""
    for other in read_roots(index, connection, forgotten=True):
        if other.id == root.id or not other.folder.is_relative_to(root.folder):
            continue
        rows = connection.execute("SELECT id, path FROM images WHERE root = ?", (other.id,)).fetchall()
        connection.executemany(
            "UPDATE images SET root = ?, path = ? WHERE id = ?",
            ((root.id, root.relative(other.file(path)), image) for image, path in rows),
        )
        connection.execute("DELETE FROM roots WHERE id = ?", (other.id,))


def move_root(index: Path, connection: sqlite3.Connection, root: Root, folder: Path) -> None:
    """Note that ``root`` is at ``folder`` now; the caller commits."""
    place = stored_place(folder, index)
    connection.execute("UPDATE roots SET path = ?, relative = ? WHERE id = ?", (*place, root.id))


def forget_root(connection: sqlite3.Connection, root: Root) -> None:
    """Follow ``root`` no more; the caller takes its images out and commits."""
    connection.execute("UPDATE roots SET state = 'forgotten' WHERE id = ?", (root.id,))
