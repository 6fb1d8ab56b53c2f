# SPDX-License-Identifier: MIT
"""Looking into a file that SQLite may have open, without taking its locks away.

POSIX frees all of a process's locks on a file as soon as the process closes *any* descriptor of it. SQLite
knows that of its own descriptors. One of ours, closed in a reading thread, would free the locks of a writer
in another thread, and a second process could then take the writer's journal for that of a killed one. So
ours stay open for as long as any connection of this process is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from semcbir._fork import Lock
from semcbir.index.files import IndexFolder

_lock = Lock()
_connections = 0
_open: dict[tuple[int, int], BufferedReader] = {}
"""Files that have been looked into, by device and inode; there are few."""


@contextmanager
def connected() -> Iterator[None]:
    """Say that there is a connection of SQLite's: enter before it is made, leave once it is closed."""
    global _connections
    with _lock:
        _connections += 1
    try:
        yield
    finally:
        with _lock:
            _connections -= 1
            _close_unused()


def head(folder: IndexFolder, name: str, count: int) -> bytes:
    """Return the first ``count`` bytes of a regular file. Raises FileNotFoundError if it is not there."""
    if not hasattr(os, "pread"):  # Windows, where locks belong to a descriptor
        with folder.open(name) as file:
            return file.read(count)
    with _lock:
        try:
            return os.pread(_opened(folder, name).fileno(), count, 0)
        finally:
            _close_unused()


def _opened(folder: IndexFolder, name: str) -> BufferedReader:
    status = folder.require_regular(name)
    if status is not None and (status.st_dev, status.st_ino) in _open:
        return _open[status.st_dev, status.st_ino]
    file = folder.open(name)
    found = os.fstat(file.fileno())
    # If another one was put in its place just now, it may be known already; it must not be closed either.
    key = (found.st_dev, found.st_ino)
    while key in _open:
        key = (key[0], -1 - len(_open))
    _open[key] = file
    return file


def _close_unused() -> None:
    if not _connections:
        for file in _open.values():
            file.close()
        _open.clear()
