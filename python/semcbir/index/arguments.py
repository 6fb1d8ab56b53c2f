# SPDX-License-Identifier: MIT
"""What callers of an index name images, files and folders by, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex

from semcbir._files import PathLike, absolute, display_path
from semcbir._validate import as_integer, check_many, shown
from semcbir.errors import ImageError


def check_paths(name: str, paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return a path, or all paths of an iterable, as absolute ones; TypeError or ValueError for others."""
    if isinstance(paths, (str, os.PathLike)):
        return [absolute(paths, name)]
    return [absolute(path, name) for path in check_many(name, paths, "a path or several")]


def check_folders(name: str, folders: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return ``check_paths``; ImageError for one that is not a folder."""
    chosen = check_paths(name, folders)
    for path in chosen:
        if not path.is_dir():
            name = display_path(path)
            raise ImageError(
                f"{name} is a file, expected a folder" if path.exists() else f"folder {name} is not there"
            )
    return chosen


def check_ids(name: str, ids: Iterable[SupportsIndex]) -> list[int]:
    """Return ids as integers; TypeError for anything but an iterable of integers."""
    if isinstance(ids, (str, os.PathLike)):
        raise TypeError(f"{name}: expected several ids, got {shown(ids)}")
    return [as_integer(name, key, "an id") for key in check_many(name, ids, "several ids")]


def check_keys(
    name: str, images: SupportsIndex | PathLike | Iterable[SupportsIndex | PathLike]
) -> list[int | Path]:
    """Return an id or path, or all ids and paths of an iterable: paths absolute, ids as integers."""
    if isinstance(images, (str, os.PathLike)) or not isinstance(images, Iterable):
        return [check_key(name, images)]
    return [check_key(name, image) for image in check_many(name, images, "an id, a path or several")]


def check_key(name: str, image: object, what: str = "an id or a path") -> int | Path:
    """Return an id as an integer, or a path as an absolute one; TypeError for anything else."""
    if isinstance(image, (str, os.PathLike)):
        return absolute(image, name)
    return as_integer(name, image, what)
