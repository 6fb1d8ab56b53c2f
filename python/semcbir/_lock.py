# SPDX-License-Identifier: MIT
"""A lock between processes: SQLite's own on an empty file, which every system frees with its process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class LockHeldError(Exception):
    """Another process, or another part of this one, holds the lock."""


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Hold the lock on ``file``, which is made where it is missing.

    LockHeldError where it is held, at once; sqlite3.Error where the file cannot be made or written.
    """
    with closing(sqlite3.connect(file, timeout=0, check_same_thread=False)) as lock:
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")
            lock.execute("BEGIN EXCLUSIVE")
            lock.execute("PRAGMA user_version = 1")  # never committed: it fails where nothing may be written
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise LockHeldError from error
            raise
        yield
