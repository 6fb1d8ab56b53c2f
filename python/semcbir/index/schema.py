# SPDX-License-Identifier: MIT
"""The catalogue's tables. An index holds these and no others.

``images.state`` is one of

- ``indexed``: at ``row`` of ``segment``; ``reason`` says what is damaged in its file, if something is
- ``skipped``: could not be read; ``reason`` says why
- ``removed``: taken out by hand; a refresh does not bring it back
- ``gone``: its file has vanished; the row stays so that a path keeps its id (under SUPERSEDED: its file has
  turned out to be another image's; the row only keeps its id from being given out again)

Removed and gone images keep ``segment`` and ``row``, which ``dead`` lists, until a merge drops them, so that
a file that comes back unchanged is not read again. ``size`` and ``mtime_ns`` are null if another try may
succeed. Ids are given out in order and never reused: no row of ``images`` is ever deleted.

``roots.state`` is ``scanned`` (followed as a whole), ``files`` (only single files of it were added) or
``forgotten``; ``path`` is absolute, ``relative`` leads there from the index's real location.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from semcbir._files import display_path
from semcbir._validate import shown
from semcbir.errors import IndexStorageError
from semcbir.index.database import APPLICATION_ID, VERSION

SUPERSEDED = ".superseded"
"""The folder, of no file, in the paths of images that turned out to be another image's file."""

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL);
CREATE TABLE roots (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL, relative BLOB,
    state TEXT NOT NULL CHECK (state IN ('scanned', 'files', 'forgotten'))
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, images INTEGER NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, root INTEGER NOT NULL REFERENCES roots, path BLOB NOT NULL,
    size INTEGER, mtime_ns INTEGER,
    state TEXT NOT NULL CHECK (state IN ('indexed', 'skipped', 'removed', 'gone')),
    segment INTEGER REFERENCES segments, row INTEGER, reason TEXT,
    UNIQUE (root, path),
    CHECK ((segment IS NULL) = (row IS NULL)),
    CHECK (state <> 'indexed' OR segment IS NOT NULL),
    CHECK (state <> 'skipped' OR segment IS NULL)
);
CREATE UNIQUE INDEX images_by_row ON images (segment, row);
CREATE TABLE dead (segment INTEGER NOT NULL REFERENCES segments, row INTEGER NOT NULL,
    PRIMARY KEY (segment, row)) WITHOUT ROWID;
"""
FINGERPRINTS = (
    "CREATE TABLE IF NOT EXISTS fingerprints (image INTEGER PRIMARY KEY REFERENCES images,"
    " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS fingerprints_by_size ON fingerprints (size, mtime_ns)",
)
"""A table that the first writer to need it makes; indexes made before have none."""
TAKEN = (
    "CREATE TABLE IF NOT EXISTS taken (image INTEGER PRIMARY KEY REFERENCES images,"
    " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, at INTEGER)"
)
"""Likewise: when photos were taken, by the EXIF data of their files as they then were; null: unknown."""
_MASTER = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
_MOST_DECLARED = 100

_Declared = frozenset[tuple[object, ...]]


def fill(
    connection: sqlite3.Connection,
    meta: Mapping[str, str | bytes],
    roots: Iterable[tuple[bytes, bytes | None]],
) -> None:
    """Make the tables of a new catalogue, with the ``meta`` and ``roots`` that it begins with."""
    connection.executescript(f"BEGIN; {SCHEMA}")
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.executemany("INSERT INTO roots (path, relative, state) VALUES (?, ?, 'scanned')", roots)
    connection.commit()


def check_schema(folder: Path, connection: sqlite3.Connection) -> None:
    """Refuse views, triggers and tables that are not ours: SQLite runs them at innocent queries.

    Raises IndexStorageError, which names the index at ``folder`` and what is there or missing.
    """
    found, (needed, known) = _declared(connection), _expected()
    for what, odd in (("holds", found - known), ("lacks", needed - found)):
        for kind, name, *_ in sorted(odd, key=repr):
            raise IndexStorageError(
                f"catalogue of index {display_path(folder)} is damaged, or not made by semcbir: "
                f"it {what} the {kind} {shown(name)}"
            )


@functools.cache
def _expected() -> tuple[_Declared, _Declared]:
    """Return what a catalogue must hold, and what it may hold."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        needed = _declared(connection)
        connection.executescript(";".join((*FINGERPRINTS, TAKEN)))
        return needed, _declared(connection)


def _declared(connection: sqlite3.Connection) -> _Declared:
    """Return type, name, table and text of what is declared; SQLite's own indexes have no text."""
    declared = connection.execute(_MASTER).fetchmany(_MOST_DECLARED)
    return frozenset((*names, " ".join(str(text).split())) for *names, text in declared)
