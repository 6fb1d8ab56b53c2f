# SPDX-License-Identifier: MIT
"""Vanished files: which are gone, and which are only out of sight, for their disk is not mounted.

An unmounted disk leaves an empty folder, or a link that leads nowhere. A few photos (fewer than MANY) are
taken for deleted all the same: if they come back, they come back under their ids.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from semcbir.index.roots import Root, parents

MANY = 10
"""If a folder that held this many images or more is there but empty, its disk may not be mounted."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def is_there(file: Path) -> bool | None:
    """Return whether ``file`` is a regular file; None if that cannot be told now."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)  # noqa: PTH116 - as in find_images
    except ValueError:
        return False
    except OSError as error:
        return False if error.errno in _ABSENT else None


class Surroundings:
    """What is left of a root's folders around files that have vanished."""

    def __init__(self, root: Root) -> None:
        self._top = os.fspath(root.folder)
        self._hollow: dict[str, str | None] = {}

    def hollow(self, file: Path) -> Path | None:
        """Return the empty folder or broken link that ``file`` would be below, if there is one."""
        parent = os.path.dirname(file)  # noqa: PTH120 - often many files of one folder
        if parent not in self._hollow:
            self._hollow[parent] = self._nearest(parent)
        found = self._hollow[parent]
        return None if found is None else Path(found)

    def _nearest(self, parent: str) -> str | None:
        for place in (parent, *parents(parent)):
            if os.path.isdir(place):  # noqa: PTH112
                return place if _is_empty(place) else None
            if os.path.islink(place):  # noqa: PTH114
                return place
            if place == self._top:
                break
        return None

    def out_of_sight(self, files: Mapping[int, Path]) -> dict[Path, set[int]]:
        """Return those of vanished ``files``, by id, whose disk may not be mounted, by what is left of it."""
        found: dict[Path, set[int]] = {}
        for key, file in files.items():
            if (folder := self.hollow(file)) is not None:
                found.setdefault(folder, set()).add(key)
        return {folder: keys for folder, keys in found.items() if len(keys) >= MANY or not folder.is_dir()}


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False
