# SPDX-License-Identifier: MIT
"""Image files: find them, load them as bounded upright RGB arrays, name them in messages.

What leaves :func:`load_image` and :func:`as_image` is RGB, uint8, shape (H, W, 3), C-contiguous and no longer
than asked. Whatever is wrong with a file comes out as one :class:`~semcbir.errors.ImageError` that names it.
"""

from __future__ import annotations

import operator
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from semcbir.decoding import ImageArray, bounded_size, decode, reason, resized
from semcbir.errors import ImageError

PathLike: TypeAlias = "str | os.PathLike[str]"

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".heic", ".heif")
)
"""Endings of the names that :func:`find_images` takes for images, in lower case."""

MAX_PIXELS = 2**27
"""Images with more pixels than this (134 megapixels) are refused before they are decoded."""

_ENDINGS = tuple(IMAGE_SUFFIXES)


def find_images(
    folder: PathLike,
    exclude: Iterable[PathLike] = (),
    *,
    on_error: Callable[[Path, OSError], None] | None = None,
) -> list[Path]:
    """All image files below ``folder``, by the ending of their names (any case), sorted by the path's bytes.

    Symbolic links are followed; each folder is entered once, by its real place where it is below ``folder``
    itself, so loops end. Left out: names that start with ".", index folders (they hold
    ``catalog.sqlite`` and ``segments``), what is no regular file, and the files and folders in ``exclude``.

    A sub-folder that cannot be listed is passed over, after ``on_error(sub-folder, error)`` where given.

    Raises:
        ImageError: ``folder`` itself is not there (transient), is no folder, or cannot be listed (transient).
    """
    root = Path(folder)
    excluded = {_identity(path) for path in exclude} - {None}
    entered: set[tuple[int, int] | None] = set()
    found: list[Path] = []
    plain, linked = [root], list[Path]()
    while plain or linked:
        # Links last, so that a folder's photos carry its real path and not that of a link to it.
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
            elif kind == "folder":
                (linked if entry.is_symlink() else plain).append(Path(entry.path))
    return sorted(found, key=os.fsencode)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_dir():
            return "folder"
        if entry.name.lower().endswith(_ENDINGS) and entry.is_file():
            return "image"
    except OSError:  # a link to itself, a folder that went away
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
        return ImageError(f"{name}: this is a file; a folder was expected")
    return ImageError(f"{name}: the folder cannot be listed ({reason(error)})", transient=True)


def display_path(path: PathLike) -> str:
    r"""``path`` fit for a message of one line: control characters, line breaks and undecodable bytes escaped.

    A newline becomes ``\n``, ESC ``\x1b``, a byte that is no UTF-8 ``\xff``, a bidirectional override
    ``\u202e``. Letters of any script, emoji and spaces stay.
    """
    return "".join(map(_printable, os.fsdecode(path)))


def _printable(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode() keeps undecodable bytes so
        return f"\\x{code - 0xDC00:02x}"
    escape = unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    if escape and char not in "\u200c\u200d":  # joiners belong to emoji and to Persian words
        return char.encode("unicode_escape").decode("ascii")
    return char


def load_image(
    path: PathLike, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> ImageArray:
    """Decode an image file: RGB uint8 (H, W, 3), C-contiguous, upright by its EXIF orientation.

    The longer side comes out at most ``long_side`` pixels long (area-averaged; never enlarged; None: as it
    is), the other at least 1. Grey, palette and CMYK become RGB, 16 bits per channel become the upper 8,
    transparency is laid over white, of an animation or a multi-page file the first picture counts. Colour
    profiles are not applied. Large JPEGs are decoded at a fraction of their size, never below the wanted one.

    Raises:
        ImageError: the file cannot be read as an image, or its header announces more than ``max_pixels``
            (None: no limit) pixels. ``transient`` is set where the same bytes may be readable another time:
            permissions, a vanished file, a failing disk, too little memory, no HEIC decoder installed.
        TypeError, ValueError: ``path`` is no path, a limit is no integer, or less than 1.
    """
    path = os.fsdecode(path)
    long_side = _limit("long_side", long_side)
    max_pixels = _limit("max_pixels", max_pixels)
    try:
        return _load(path, long_side, max_pixels)
    except ImageError as error:
        name = display_path(path)
        raise ImageError(
            f"{name}: {error}", reason=error.reason, transient=error.transient
        ) from error.__cause__


def as_image(array: ImageArray, long_side: int | None = 512) -> ImageArray:
    """Take an RGB uint8 (H, W, 3) array for an image, bounded as by :func:`load_image`.

    Returns a C-contiguous array; ``array`` itself where nothing had to be done.

    Raises:
        TypeError: ``array`` is no NumPy array, or not of uint8.
        ValueError: its shape is not (H, W, 3), or it has no pixels.
    """
    long_side = _limit("long_side", long_side)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected an image as a NumPy array, got {type(array).__name__}")
    if array.dtype != np.uint8:
        raise TypeError(f"expected an RGB image of dtype uint8, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(f"expected an RGB image of shape (height, width, 3), got shape {array.shape}")
    height, width = array.shape[:2]
    return resized(array, bounded_size(width, height, long_side))


def _limit(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer or None, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return operator.index(value)


def _load(path: str, long_side: int | None, max_pixels: int | None) -> ImageArray:
    try:
        status = os.stat(path)  # noqa: PTH116 - before open(), which would wait for the writer of a FIFO
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("this is a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("this is not a regular file")
        if status.st_size == 0:
            raise ImageError("the file is empty (0 bytes)")
        with Path(path).open("rb") as file:
            return decode(file, long_side, max_pixels)
    except PermissionError as error:
        raise ImageError("no permission to read the file", transient=True) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("there is no such file (any more)", transient=True) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(f"the file cannot be read ({reason(error)})", transient=True) from error
    except MemoryError as error:
        raise ImageError("there is not enough memory to decode it", transient=True) from error
