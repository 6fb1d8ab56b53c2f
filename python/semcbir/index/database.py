# SPDX-License-Identifier: MIT
"""Opening the catalogue's file: what lies there is looked at first, and SQLite is told to trust nothing.

SQLite acts on files beside a database before any query runs. A rollback journal may name a *super-journal*,
a file that SQLite deletes once it has played the journal back; a ``-wal`` file replaces pages. Our writers
use rollback journals of one file, so anything else was put there by someone else and is refused.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from semcbir._files import display_path, move_new, sync_folder
from semcbir._lock import locks_missing
from semcbir.errors import IndexLockedError, IndexStorageError
from semcbir.index.files import IndexFolder, open_index_folder
from semcbir.index.inspection import connected, head
from semcbir.index.rows import RowError

NAME = "catalog.sqlite"
FOLDER_INDEX = ".semcbir"
"""Where a folder of photos that is searched directly keeps its index."""
SEGMENTS = "segments"
"""The folder beside the catalogue that holds the segments."""
VERSION = 1
APPLICATION_ID = 0x53434249  # "SCBI"
JOURNAL = f"{NAME}-journal"
_FOREIGN = (f"{NAME}-wal", f"{NAME}-shm")
_BUSY_SECONDS = 20.0
_LARGEST_JOURNAL = 2**34
_LARGEST_VALUE = 2**26
"""The most bytes of a value or row; the largest of ours is a recipe, of some millions at most."""

_STEPS, _STEPS_A_BYTE, _MANY_STEPS, _STEPS_AT_ONCE = 10**8, 1000, 10**11, 10**6
"""Of SQLite's virtual machine; a row takes some 10 to 100, and has 4 bytes or more."""

REBUILD = "an index cannot be repaired; delete it, and index the photos again"

_TEMPORARY = re.compile(rf"\.{re.escape(NAME)}(\.[0-9a-f]{{16}})?\.tmp(-journal)?")
_DEFENSIVE = 1010  # sqlite3.SQLITE_DBCONFIG_DEFENSIVE, from Python 3.12 on

# From SQLite's description of its file format.
_DATABASE = b"SQLite format 3\0"
_WAL_VERSION = 2  # in bytes 18 and 19 of the database: versions for writing and reading
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # the last 8 bytes of a journal that names one


def is_index(folder: Path) -> bool:
    """Return whether ``folder`` holds a catalogue, or something else in its place that is not a folder."""
    place = folder / NAME
    return os.path.lexists(place) and (place.is_symlink() or not place.is_dir())


def index_around(folder: Path) -> Path | None:
    """Return the index that ``folder`` is or lies in, by its name or by where links lead; None if in none."""
    real = Path(os.path.realpath(folder))
    return next((one for one in (folder, *folder.parents, real, *real.parents) if is_index(one)), None)


def require_index(folder: Path) -> None:
    """Raise IndexStorageError unless ``is_index``."""
    if not is_index(folder):
        raise _missing(folder)


def _missing(folder: Path) -> IndexStorageError:
    if is_index(folder / FOLDER_INDEX):
        own = display_path(folder / FOLDER_INDEX)
        return IndexStorageError(
            f"{display_path(folder)} is not an index, it has its own in {own}: open that"
        )
    came = f"is not an index: it holds no {NAME}" if folder.exists() else "is not there"
    return IndexStorageError(f"{display_path(folder)} {came}")


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for one consistent view, read-only unless a killed writer's work must be undone."""
    with errors(folder), ExitStack() as stack:
        recovering = _inspect(folder)
        connection = stack.enter_context(_connection(folder, "rw" if recovering else "ro"))
        try:
            _begin(connection)
        except sqlite3.OperationalError as error:
            if recovering or error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            # A writer was killed since we looked.
            _inspect(folder)
            connection = stack.enter_context(_connection(folder, "rw"))
            _begin(connection)
        _check_version(folder, connection)
        yield connection
        connection.rollback()


@contextmanager
def writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for changes; the caller holds the writers' lock."""
    with errors(folder):
        _inspect(folder)
        with _connection(folder, "rw") as connection:
            # After a power cut a commit must still hold, and its journal must be gone.
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA fullfsync = ON")  # macOS
            connection.execute("PRAGMA foreign_keys = ON")
            _check_version(folder, connection)
            yield connection


@contextmanager
def making(folder: Path) -> Iterator[sqlite3.Connection]:
    """Make a catalogue: what the body writes into the connection becomes that of ``folder``, or nothing does.

    Raises IndexLockedError if another process has put one there meanwhile.
    """
    temporary = folder / f".{NAME}.{secrets.token_hex(8)}.tmp"
    try:
        with errors(folder), closing(sqlite3.connect(temporary)) as connection:
            connection.execute("PRAGMA fullfsync = ON")  # macOS
            yield connection
        try:
            move_new(temporary, folder / NAME)
        except FileExistsError:
            raise overtaken(folder) from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)


def is_temporary(name: str) -> bool:
    """Return whether ``making`` may have left a file of this name, when it was killed."""
    return _TEMPORARY.fullmatch(name) is not None


def overtaken(folder: Path) -> IndexLockedError:
    """Return the error of a writer that finds that it is not the only one."""
    return IndexLockedError(
        f"index {display_path(folder)} was changed by another process while this one wrote to it: the locks "
        "of its file system do not work. What was committed is kept, the rest of this run is not; run it "
        "again alone, or put the index on another disk"
    )


@contextmanager
def errors(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, which name the index."""
    try:
        yield
    except RowError as error:
        raise IndexStorageError(
            f"catalogue of index {folder} is damaged: {error}; run `semcbir check`"
        ) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise IndexStorageError(
                f"catalogue of index {folder} is damaged: its pages name each other without end"
            ) from error
        # SQLite quotes the schema, which has many lines.
        message = f"catalogue of index {folder}: {display_path(' '.join(str(error).split()))}"
        if "readonly" in str(error):
            message += "; an interrupted run left it unfinished: open it once where it can be written"
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            message += f"; it is damaged: {REBUILD}"
        if "locked" in str(error) or "I/O" in str(error):
            if missing := locks_missing(folder):
                raise IndexStorageError(f"catalogue of index {folder}: {missing}") from error
            if "locked" in str(error):
                raise IndexLockedError(f"{message}; another process holds it, try again") from error
        raise IndexStorageError(message) from error


@contextmanager
def _connection(folder: Path, mode: str) -> Iterator[sqlite3.Connection]:
    with connected(), closing(_opened(folder, mode)) as connection:
        yield connection


class _Connection(sqlite3.Connection):
    """A connection whose queries end, whatever the file holds: pages may name each other without end."""

    steps = 0
    most = math.inf

    def bound(self, size: int) -> None:
        """Bound each query by what the largest ones take over a sound file of ``size`` bytes."""
        self.most = _STEPS + _STEPS_A_BYTE * size
        self.set_progress_handler(self._count, _STEPS_AT_ONCE)

    def _count(self) -> bool:
        self.steps += _STEPS_AT_ONCE
        return self.steps > self.most

    def execute(self, *query: Any) -> sqlite3.Cursor:
        """Execute a query, which may take its steps anew."""
        self.steps = 0
        return super().execute(*query)

    def executemany(self, *query: Any) -> sqlite3.Cursor:
        """Execute a query for many values, which may take any number of steps together."""
        self.steps = -_MANY_STEPS
        return super().executemany(*query)


def _opened(folder: Path, mode: str) -> sqlite3.Connection:
    # If the file is write-protected, SQLite itself falls back from "rw" to read-only.
    location = quote(os.fsencode((folder / NAME).absolute()))
    connection = sqlite3.connect(
        f"file://{location}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.bound((folder / NAME).stat().st_size)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
    if hasattr(connection, "setconfig"):
        connection.setconfig(_DEFENSIVE, True)
    # No mapping: a file that someone truncates meanwhile would end the process.
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}").close()
    return connection


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("PRAGMA schema_version").fetchone()  # the first read, which takes the view


def _inspect(folder: Path) -> bool:
    """Look at the catalogue's files before SQLite acts on them; return whether there is a journal.

    Raises IndexStorageError if one is not a regular file, or is what our writers never write.
    """
    try:
        with open_index_folder(folder) as inside:
            for name in _FOREIGN:
                if inside.status(name):
                    raise _foreign(folder, f"{name} is there, but semcbir keeps no such file")
            header = head(inside, NAME, 20)
            if header.startswith(_DATABASE) and _WAL_VERSION in header[18:20]:
                raise _foreign(folder, f"{NAME} is in the WAL mode, which semcbir never uses")
            return _inspect_journal(inside)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(folder) from None
    except OSError as error:
        raise IndexStorageError(f"catalogue of index {display_path(folder)}: {error.strerror}") from error


def _inspect_journal(inside: IndexFolder) -> bool:
    try:
        with inside.open(JOURNAL) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_SUPER_JOURNAL)))
            end = file.read(len(_SUPER_JOURNAL))
    except FileNotFoundError:
        return False  # A writer may just have finished with it.
    if end == _SUPER_JOURNAL:
        raise _foreign(inside.path, f"{JOURNAL} makes SQLite delete another file")
    if size > _LARGEST_JOURNAL:
        raise _foreign(inside.path, f"{JOURNAL} has {size} bytes, expected at most {_LARGEST_JOURNAL}")
    return True


def _foreign(folder: Path, what: str) -> IndexStorageError:
    return IndexStorageError(
        f"catalogue of index {display_path(folder)}: {what}; another program wrote it, or it came with a "
        "folder that is not to be trusted"
    )


def _check_version(folder: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise IndexStorageError(f"{folder} is not an index: its {NAME} belongs to another program")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    # SQLite reads the missing part of a last page as zeros.
    if (folder / NAME).stat().st_size < pages * page_size:
        raise IndexStorageError(f"catalogue of index {folder} is damaged: the file is truncated")
    if version != VERSION:
        raise IndexStorageError(
            f"index {folder} has format {version}, this semcbir reads {VERSION}; use a newer semcbir"
        )
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    if journal == "wal":
        raise _foreign(folder, f"{NAME} is in the WAL mode, which semcbir never uses")
