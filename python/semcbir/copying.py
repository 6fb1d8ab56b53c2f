# SPDX-License-Identifier: MIT
"""Copies of photos in another folder: whole or not at all, and never over another file."""

from __future__ import annotations

import contextlib
import filecmp
import os
import secrets
import shutil
from pathlib import Path

from semcbir._files import move_new, open_regular, require_free, sync

_LONGEST = 255
"""Bytes of a name on most file systems."""


def copy_photo(photo: Path, place: Path) -> None:
    """Copy a photo with its times to ``place``: whole, even after a power cut, or not at all.

    Raises OSError if it cannot be read, FileExistsError if something is at ``place`` already.
    """
    require_free(place)
    temporary = place.with_name(f".semcbir-{secrets.token_hex(8)}.tmp")
    with open_regular(photo) as file:
        try:
            with temporary.open("xb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                sync(copy.fileno())
            status = os.fstat(file.fileno())
            with contextlib.suppress(OSError):  # some disks keep no times
                os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
            move_new(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)


def copy_into(photo: Path, folder: Path) -> bool:
    """Copy a photo into ``folder`` under its own name, or the first of NAME-2, NAME-3 and so on that is free.

    Returns False, and copies nothing, if the folder has the same file under one of these names. Raises
    OSError if it cannot be read or written.
    """
    number = 1
    while True:
        place = folder / fitting("", photo, "" if number == 1 else f"-{number}")
        try:
            copy_photo(photo, place)
        except FileExistsError:
            if place.is_file() and filecmp.cmp(photo, place, shallow=False):
                return False
            number += 1
        else:
            return True


def fitting(before: str, photo: Path, after: str = "") -> str:
    """Return a photo's name with something before it and before its suffix, cut to what may be a name."""
    over = len(os.fsencode(before + photo.name + after)) - _LONGEST
    if over <= 0:
        return f"{before}{photo.stem}{after}{photo.suffix}"
    stem = os.fsencode(photo.stem)[:-over].decode("utf-8", "ignore")
    return f"{before}{stem}{after}{photo.suffix}"
