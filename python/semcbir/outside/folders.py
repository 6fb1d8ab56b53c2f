# SPDX-License-Identifier: MIT
"""Folders that exports are written into: none of an index, and by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from semcbir._files import display_path
from semcbir._lock import LockFileError, LockHeldError, hold, locks_missing
from semcbir.errors import SemcbirError
from semcbir.index.database import index_around

LOCK = ".semcbir-export.lock"


def require_no_index(folder: Path) -> None:
    """Raise ValueError if ``folder`` is an index, or in one, by its name or by where links lead."""
    if index := index_around(folder):
        where = "which is an index" if index == folder else f"which is in the index {display_path(index)}"
        raise ValueError(
            f"place: expected a folder outside of an index, got {display_path(folder)}, {where}; name "
            "another folder"
        )


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make ``folder`` if it is missing, and hold its lock, whose file goes at the end.

    A killed process leaves the file, which locks nothing then. Where the file system has no locks there is
    none to hold. Raises SemcbirError if another export holds it.
    """
    file = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError, FileNotFoundError):  # the latter: another export removed the folder
            file.touch(exist_ok=False)
        before = _inode(file)
        if before is None:
            continue
        with ExitStack() as held:
            if os.name == "nt":  # where a file that is open cannot be removed, by others neither
                held.callback(_remove, file)
            try:
                held.enter_context(hold(file))
            except LockHeldError:
                what = f"another export to {display_path(folder)} is running; wait until it has finished"
                raise SemcbirError(what) from None
            except LockFileError as error:
                if not locks_missing(folder):
                    what = f"{display_path(folder)} cannot be written: {error}"
                    raise SemcbirError(what) from error
            if _inode(file) != before:  # another export ended and removed the file that is locked here
                continue
            if os.name != "nt":  # before the lock is free: later the file may be another's
                held.callback(_remove, file)
            yield
            return


def _inode(file: Path) -> int | None:
    try:
        return file.lstat().st_ino
    except FileNotFoundError:
        return None


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
