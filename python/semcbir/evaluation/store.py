# SPDX-License-Identifier: MIT
"""Store: what was worked out for photos, kept by a photo's content and by how it was worked out.

One SQLite file, so that thousands of small items are read in moments, a killed run loses nothing that was
committed, and several runs may share it. It can be deleted at any time.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir.errors import SemcbirError

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

FILE = "items.sqlite"
_FORMAT = 2
_SECONDS = 60.0
_AT_ONCE = 500
_TABLES = (
    "DROP TABLE IF EXISTS items",
    "DROP TABLE IF EXISTS parts",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, recipe TEXT NOT NULL)",
    "CREATE TABLE items "
    "(part INTEGER NOT NULL REFERENCES parts, content BLOB NOT NULL, arrays BLOB NOT NULL)",
    "CREATE UNIQUE INDEX items_by_content ON items (part, content)",
    f"PRAGMA user_version = {_FORMAT}",
)


class StoreError(SemcbirError):
    """The file of a store cannot be used."""


class Store:
    """A folder's store, made if it is not there. Close it, or use it as a context manager.

    Only the thread that made it may use it. What an older version of semcbir kept is dropped, and so is an
    item whose bytes have changed. A store that may not be written to can be read. Raises StoreError where the
    file is damaged, of a later version, or in use by another run for more than a minute.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._parts: dict[str, int] = {}
        with self._errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with self._errors():
            if self._version() < _FORMAT:
                with self._transaction():
                    if self._version() < _FORMAT:  # no other run has made them meanwhile
                        for statement in _TABLES:
                            self._connection.execute(statement)
        if self._version() > _FORMAT:
            raise StoreError(f"{display_path(self.path)} is of a later version of semcbir")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself gives up where the disk is full
                self._connection.execute("ROLLBACK")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def read(self, key: str, contents: Sequence[bytes]) -> dict[bytes, Arrays]:
        """Return the items that are there and sound, by content, of the part with this ``key``."""
        part = self._part(key)
        found: dict[bytes, Arrays] = {}
        if part is None:
            return found
        with self._errors():
            for start in range(0, len(contents), _AT_ONCE):
                some = contents[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._connection.execute(
                    f"SELECT content, arrays FROM items WHERE part = ? AND content IN ({marks})",
                    (part, *some),
                )
                for content, blob in rows:
                    arrays = _unpacked(blob)
                    if arrays is not None:
                        found[content] = arrays
        return found

    def write(self, key: str, recipe: Mapping[str, Any], items: Iterable[tuple[bytes, Arrays]]) -> None:
        """Keep items, by content, of the part with this ``key``, which stands for ``recipe``."""
        packed = [(content, _packed(arrays)) for content, arrays in items]
        with self._errors():
            try:
                with self._transaction():
                    self._connection.execute(
                        "INSERT OR IGNORE INTO parts (key, recipe) VALUES (?, ?)", (key, json.dumps(recipe))
                    )
                    part = self._part(key)
                    self._connection.executemany(
                        "INSERT OR REPLACE INTO items VALUES (?, ?, ?)",
                        ((part, content, blob) for content, blob in packed),
                    )
            except BaseException:
                self._parts.pop(key, None)
                raise

    def _part(self, key: str) -> int | None:
        if key not in self._parts:
            with self._errors():
                row = self._connection.execute("SELECT id FROM parts WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            self._parts[key] = row[0]
        return self._parts[key]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, EOFError, ValueError, OSError) as error:
            what = f"{display_path(self.path)}, what evaluations keep,"
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to it
            if code == sqlite3.SQLITE_BUSY:
                said = f"{what} is in use by another run; wait for it, or name another folder"
            elif code == sqlite3.SQLITE_READONLY or isinstance(error, PermissionError):
                said = f"{what} may not be written to; name another folder"
            else:
                said = f"{what} cannot be used ({error}); it can be deleted, or another folder be named"
            raise StoreError(said) from error


def _packed(arrays: Arrays) -> bytes:
    """Return arrays as bytes behind their checksum.

    Label maps shrink to a fiftieth; floats do not, and are left as they are.
    """
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array, allow_pickle=False)
    plain = file.getvalue()
    floats = any(array.dtype.kind == "f" for array in arrays)
    body = b"\0" + plain if floats else b"\1" + zlib.compress(plain, 1)
    return _checksum(body) + body


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "little")


def _unpacked(blob: bytes) -> Arrays | None:
    """Return the arrays, or None where the bytes are not those that were written."""
    checksum, body = blob[:4], blob[4:]
    if not body or checksum != _checksum(body):
        return None
    plain = zlib.decompress(body[1:]) if body[:1] == b"\1" else body[1:]
    file = io.BytesIO(plain)
    arrays = []
    while file.tell() < len(plain):
        arrays.append(np.load(file, allow_pickle=False))
    return tuple(arrays)
