# SPDX-License-Identifier: MIT
"""Places: a folder of photos keeps an index of its own in ``FOLDER/.semcbir``."""

from __future__ import annotations

import os
from pathlib import Path

from semcbir._files import PathLike, absolute, display_path
from semcbir.errors import IndexStorageError
from semcbir.index.database import FOLDER_INDEX, is_index


def index_place(place: PathLike, name: str = "place") -> Path:
    """Return the index at ``place``, which is an index, or a folder of photos with its own index.

    Raises IndexStorageError if it is neither, or if the folder's own index is a link, TypeError or ValueError
    if it is no path.
    """
    path = absolute(place, name)
    if is_index(path):
        return path
    if is_index(path / FOLDER_INDEX):
        return _real(path / FOLDER_INDEX)
    came = "is not an index" if path.exists() else "is not there"
    raise IndexStorageError(f"{display_path(path)} {came}; `semcbir index` makes an index")


def own_place(folder: Path) -> Path:
    """Return where a folder of photos keeps its own index.

    Raises IndexStorageError if it cannot be written, or if the folder's own index is a link.
    """
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise IndexStorageError(
            f"{display_path(folder)} cannot be written, so it cannot hold its index; "
            "`semcbir index FOLDER -o INDEX` makes one elsewhere"
        )
    return _real(folder / FOLDER_INDEX)


def _real(place: Path) -> Path:
    # A folder of photos may come from anywhere: it must not decide where semcbir writes and deletes.
    if place.is_symlink():
        raise IndexStorageError(
            f"{display_path(place)} is a symbolic link, expected a real folder; if you made it, name the "
            f"index itself: {display_path(os.path.realpath(place))}"
        )
    return place
