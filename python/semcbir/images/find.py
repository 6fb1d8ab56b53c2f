# SPDX-License-Identifier: MIT
"""Which files of a folder are images."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from semcbir._files import PathLike, display_path, reason
from semcbir.errors import ImageError
from semcbir.images.kinds import READ_SUFFIXES, UNREAD_SUFFIXES

IMAGE_SUFFIXES: frozenset[str] = frozenset(itertools.chain.from_iterable(READ_SUFFIXES.values()))
"""The file name endings that :func:`find_images` takes for images, in lower case."""

_ENDINGS = tuple(IMAGE_SUFFIXES)
_UNREAD_ENDINGS = tuple(UNREAD_SUFFIXES)


def find_images(
    folder: PathLike,
    exclude: Iterable[PathLike] = (),
    *,
    on_error: Callable[[Path, OSError], None] | None = None,
    on_unread: Callable[[str], None] | None = None,
) -> list[Path]:
    """Return all image files below ``folder``, by their endings (any case), sorted by the path's bytes.

    Symbolic links are followed; each folder is entered once, so loops end; one that lies below ``folder`` and
    is also linked to keeps its real path. Left out: names that start with ".", index folders (they hold
    ``catalog.sqlite`` and ``segments``), what is not a regular file, and files and folders in ``exclude``.

    A sub-folder that cannot be listed is skipped, after a call of ``on_error(sub-folder, error)`` if given.
    ``on_unread(kind)`` is called, if given, for each file that looks like a picture of a kind that is not
    read, by its ending: raw files of cameras, JXL, PSD, icons, ...

    Raises:
        ImageError: ``folder`` itself does not exist (transient), is not a folder, or cannot be listed
            (transient).
    """
    root = Path(folder)
    excluded = {_identity(path) for path in exclude} - {None}
    entered: set[tuple[int, int] | None] = set()
    found: list[Path] = []
    plain, linked = [root], list[Path]()
    while plain or linked:
        # Links come last, so that a folder's photos get its real path, not that of a link to it.
        place = plain.pop() if plain else linked.pop()
        identity = _identity(place)
        if identity in excluded or identity in entered:
            continue
        try:
            with os.scandir(place) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name), reverse=True)
        except (OSError, ValueError) as error:
            if place is root:
                raise _folder_error(root, error) from error
            if on_error is not None and isinstance(error, OSError):
                on_error(place, error)
            continue
        entered.add(identity)
        if {"catalog.sqlite", "segments"} <= {entry.name for entry in entries}:
            continue
        for entry in entries:
            kind = _kind(entry)
            if kind == "image" and not (excluded and _identity(entry.path) in excluded):
                found.append(Path(entry.path))
            elif kind == "unread" and on_unread is not None:
                on_unread(UNREAD_SUFFIXES[os.path.splitext(entry.name)[1].lower()])  # noqa: PTH122 - see below
            elif kind == "folder":
                (linked if entry.is_symlink() else plain).append(Path(entry.path))
    return sorted(found, key=os.fsencode)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_dir():
            return "folder"
        name = entry.name.lower()
        if name.endswith(_ENDINGS) and entry.is_file():
            return "image"
        if name.endswith(_UNREAD_ENDINGS) and entry.is_file():
            return "unread"
    except OSError:  # a link to itself, a folder that vanished
        return "broken"
    return "other"


def _identity(path: PathLike) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of a million files costs more than the call
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _folder_error(folder: Path, error: OSError | ValueError) -> ImageError:
    name = display_path(folder)
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{name}: there is no such folder", transient=True)
    if isinstance(error, NotADirectoryError):
        return ImageError(f"{name}: expected a folder, got a file")
    return ImageError(f"{name}: the folder cannot be listed ({reason(error)})", transient=True)
