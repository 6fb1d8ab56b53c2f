# SPDX-License-Identifier: MIT
"""A lock between processes: SQLite's lock on an empty file, which the system frees when the process ends."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from semcbir._files import display_path, file_kind

PROBE = ".semcbir-locks-"
"""How the name of a file begins that ``locks_missing`` makes for a moment."""
_NO_LOCKS = {"ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"}


class LockHeldError(Exception):
    """Another process, or another part of this one, holds the lock."""


class LockFileError(Exception):
    """The lock's file cannot be created or written, or is something else, or locks do not work there."""


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Hold the lock on ``file``, which is created if it is missing.

    LockHeldError, without waiting, if the lock is held; LockFileError if the file cannot be made or written.
    """
    with ExitStack() as held:
        try:
            _require_ours(file)
            lock = held.enter_context(closing(sqlite3.connect(file, timeout=0, check_same_thread=False)))
            lock.execute("PRAGMA journal_mode = MEMORY")
            lock.execute("BEGIN EXCLUSIVE")
            lock.execute("PRAGMA user_version = 1")  # never committed; fails in a read-only place
        except (sqlite3.Error, OSError) as error:
            if missing := locks_missing(file.parent):
                raise LockFileError(missing) from error
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise LockHeldError from error
            if "readonly" in str(error):
                raise LockFileError("it is write-protected, or its disk is") from error
            raise LockFileError(str(error)) from error
        yield


def _require_ours(file: Path) -> None:
    """Raise LockFileError if the file is anything but empty: SQLite would act on what it finds."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            place = file.with_name(file.name + suffix)
            status = place.lstat()
            if suffix or not stat.S_ISREG(status.st_mode) or status.st_size:
                raise LockFileError(
                    f"{display_path(place)} is {file_kind(status.st_mode)} of {status.st_size} bytes, "
                    f"expected {'none' if suffix else 'an empty file'}; semcbir did not make it: remove it"
                )


def locks_missing(folder: Path) -> str | None:
    """Return what is wrong, and what to do, if the file system of ``folder`` has no locks; else None.

    None also if that cannot be found out, as where nothing can be written. The locks of other files are not
    touched: closing a file frees all of the process's locks on it, so the probe is a file of its own.
    """
    if os.name != "posix":
        return None
    import fcntl

    probe = folder / f"{PROBE}{secrets.token_hex(8)}"
    with suppress(OSError), ExitStack() as stack:
        descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, descriptor)
        stack.callback(probe.unlink)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if errno.errorcode.get(error.errno or 0) in _NO_LOCKS:
                return (
                    f"the file system of {display_path(folder)} has no locks ({error.strerror}), without "
                    "which two processes could damage the same files; put the folder on another disk, or "
                    "mount this file system with locks (NFS: with its lock service, without nolock)"
                )
    return None
