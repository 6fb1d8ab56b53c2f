# SPDX-License-Identifier: MIT
"""Catalog: the SQLite file that says what is in an index. What it does not list does not exist.

``images.state`` is one of

- ``indexed``: at ``row`` of ``segment``
- ``skipped``: could not be read; ``reason`` says why
- ``removed``: taken out by hand; a refresh leaves it out
- ``gone``: its file is no longer there; the row stays so that a path keeps its id

Removed and gone images keep ``segment`` and ``row``, which ``dead`` lists, until a merge drops them: a file
that comes back as it was need not be read again. ``size`` and ``mtime_ns`` are null where another try may go
better. Ids are handed out in order and never reused: no row of ``images`` is ever deleted.

``roots.state`` is ``scanned`` (followed as a whole), ``files`` (single files of it were added) or
``forgotten``; ``path`` is absolute, ``relative`` leads there from the index's real place.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from semcbir._files import sync_folder
from semcbir._lock import LockHeldError, hold
from semcbir.errors import IndexLockedError, IndexStorageError

NAME = "catalog.sqlite"
LOCK = "writer.lock"
_TEMPORARY = f".{NAME}.tmp"
FILES = frozenset(f"{name}{suffix}" for name in (NAME, LOCK, _TEMPORARY) for suffix in ("", "-journal"))
"""Everything the catalogue may consist of, also in the middle of a change."""
VERSION = 1
_APPLICATION_ID = 0x53434249  # "SCBI"
_BUSY_SECONDS = 20.0

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION_ID};
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


def create(folder: Path, meta: dict[str, str | bytes], roots: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Make the catalogue of a new index, whole or not at all; the caller holds ``writer_lock``.

    ``roots`` are in it from the start, so that a run that is cut off before its first batch can be resumed.
    """
    temporary = folder / _TEMPORARY
    temporary.unlink(missing_ok=True)
    with _errors(folder), closing(sqlite3.connect(temporary)) as connection:
        connection.executescript(f"BEGIN; {_SCHEMA}")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.executemany("INSERT INTO roots (path, relative, state) VALUES (?, ?, 'scanned')", roots)
        connection.commit()
    temporary.rename(folder / NAME)
    sync_folder(folder)


def is_index(folder: Path) -> bool:
    """Tell whether ``folder`` holds a catalogue."""
    return (folder / NAME).is_file()


@contextmanager
def read(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for one consistent look; no lock is held afterwards.

    Raises IndexStorageError where ``folder`` is no index, or its catalogue is damaged or too new.
    """
    with _connection(folder) as connection, _errors(folder):
        connection.execute("BEGIN")
        _check_version(folder, connection)
        yield connection
        connection.rollback()


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the writers' lock.

    Raises IndexLockedError where another writer holds it and IndexStorageError where it cannot be made.
    """
    with ExitStack() as held:
        try:
            held.enter_context(hold(folder / LOCK))
        except LockHeldError as error:
            raise IndexLockedError(
                f"another process is writing to index {folder}; wait until it has finished (reading goes on)"
            ) from error
        except sqlite3.Error as error:
            raise IndexStorageError(f"index {folder} cannot be written: {error}") from error
        yield


@contextmanager
def writer(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for the one writer an index can have; each ``with connection:`` is a commit.

    Raises IndexLockedError where another writer is at work, and otherwise like ``read``.
    """
    _require_index(folder)
    with writer_lock(folder), _connection(folder) as connection, _errors(folder):
        # A power cut after a commit must not undo it, nor may its journal survive it.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA foreign_keys = ON")
        _check_version(folder, connection)
        yield connection


@contextmanager
def _connection(folder: Path) -> Iterator[sqlite3.Connection]:
    _require_index(folder)
    # Not "ro": a reader must be able to roll back what a killed writer left; SQLite itself falls back to
    # reading where the file is write-protected.
    location = quote(os.fsencode((folder / NAME).absolute()))
    with _errors(folder):
        connection = sqlite3.connect(
            f"file://{location}?mode=rw", uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
        )
    with closing(connection):
        yield connection


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        message = f"catalogue of index {folder}: {error}"
        if "readonly" in str(error):
            message += "; a run that was cut off left it so: open it once where it can be written"
        if "locked" in str(error):
            raise IndexLockedError(f"{message}; another process holds it, try again") from error
        raise IndexStorageError(message) from error


def _require_index(folder: Path) -> None:
    if not is_index(folder):
        raise IndexStorageError(f"{folder} is not an index: it holds no {NAME}")


def _check_version(folder: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise IndexStorageError(f"{folder} is not an index: its {NAME} belongs to another program")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    # SQLite reads what is missing of a last page as zeros.
    if (folder / NAME).stat().st_size < pages * page_size:
        raise IndexStorageError(f"catalogue of index {folder} is damaged: the file is truncated")
    if version != VERSION:
        raise IndexStorageError(
            f"index {folder} has format {version}, this semcbir reads {VERSION}; use a newer semcbir"
        )
