# SPDX-License-Identifier: MIT
"""A lock between processes: SQLite's lock on an empty file, which the system frees when the process ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path


class LockHeldError(Exception):
    """Another process, or another part of this one, holds the lock."""


class LockFileError(Exception):
    """The lock's file cannot be created or written."""


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Hold the lock on ``file``, which is created if it is missing.

    LockHeldError, without waiting, if the lock is held; LockFileError if the file cannot be made or written.
    """
    with ExitStack() as held:
        try:
            lock = held.enter_context(closing(sqlite3.connect(file, timeout=0, check_same_thread=False)))
            lock.execute("PRAGMA journal_mode = MEMORY")
            lock.execute("BEGIN EXCLUSIVE")
            lock.execute("PRAGMA user_version = 1")  # never committed; fails in a read-only place
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise LockHeldError from error
            raise LockFileError(str(error)) from error
        yield
