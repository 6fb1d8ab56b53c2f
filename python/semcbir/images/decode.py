# SPDX-License-Identifier: MIT
"""From an image file, or an array, to upright RGB pixels of a bounded size.

:func:`load_image`, :func:`load_noted` and :func:`as_image` give RGB, uint8, shape (H, W, 3), C-contiguous,
with the longer side within its bound. Any problem with a file raises one
:class:`~semcbir.errors.ImageError` that names the file. The first bytes decide the format, never the name:
photos are misnamed all the time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from semcbir._files import PathLike, display_path, expanded, reason
from semcbir._validate import check_integer
from semcbir.errors import ImageError
from semcbir.images.budget import DECODING
from semcbir.images.chatter import heard
from semcbir.images.kinds import HEAD_BYTES, READ_SUFFIXES, READ_WHOLE, kinds_of
from semcbir.images.limits import MAX_FILE, MAX_PIXELS, MAX_WHOLE, PIXEL_BYTES
from semcbir.images.reading import BoundedFile, check_pixels, check_size
from semcbir.images.source import Source
from semcbir.images.sources import open_source

ImageArray: TypeAlias = NDArray[np.uint8]

_ALWAYS_ALLOWED = 2**26
_SMALL = 2**18


def load_image(
    path: PathLike, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> ImageArray:
    """Decode an image file: RGB uint8 (H, W, 3), C-contiguous, upright by its EXIF orientation.

    The longer side becomes at most ``long_side`` pixels long (area-averaged; never enlarged; None: as it
    is), the other at least 1. Grey, palette, CMYK and Lab become RGB; of 16 bits per channel the upper 8 are
    kept, or the range is stretched if the picture uses less than a sixteenth of it; transparency is laid over
    white; of an animation or a multi-page file the first picture that is no thumbnail is read. Colour
    profiles are not applied. Large JPEGs are decoded at a fraction of their size, never below the wanted one.
    Of a damaged file comes what can be decoded; ``load_noted`` says what is wrong.

    Raises:
        ImageError: the file cannot be read as an image, or more than ``max_pixels`` (None: no limit) pixels,
            or than the memory for as many, would have to be decoded. ``transient`` is true if the same bytes
            may be readable later: permissions, a vanished file, a failing disk, too little memory, no HEIC
            decoder installed.
        TypeError, ValueError: ``path`` is not a path; a limit is not an integer, or is less than 1.
    """
    return load_noted(path, long_side, max_pixels)[0]


def load_noted(
    path: PathLike, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> tuple[ImageArray, str | None]:
    """Decode an image file like :func:`load_image`; return its pixels and what is damaged (None: nothing)."""
    path = expanded(path)
    long_side = _limit("long_side", long_side)
    max_pixels = _limit("max_pixels", max_pixels)
    try:
        return _load(path, long_side, max_pixels)
    except (ImageError, MemoryError) as error:
        raise_named(display_path(path), error)


def raise_named(name: str, error: ImageError | MemoryError) -> NoReturn:
    """Raise the ImageError of the image ``name``, in which decoding ended in ``error``."""
    if isinstance(error, MemoryError):
        why = "there is not enough memory to decode it"
        raise ImageError(f"{name}: {why}", reason=why, transient=True) from error
    raise ImageError(f"{name}: {error}", reason=error.reason, transient=error.transient) from error.__cause__


def as_image(array: ImageArray, long_side: int | None = 512) -> ImageArray:
    """Take an RGB uint8 (H, W, 3) array as an image, bounded as by :func:`load_image`.

    Returns a C-contiguous array; ``array`` itself if nothing has to be done.

    Raises:
        TypeError: ``array`` is not a NumPy array, or not of uint8.
        ValueError: its shape is not (H, W, 3), or it has no pixels.
    """
    long_side = _limit("long_side", long_side)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array: expected an image as a NumPy array, got {type(array).__name__}")
    check_array("array", array)
    height, width = array.shape[:2]
    return resized(array, bounded_size(width, height, long_side))


def check_array(name: str, array: NDArray[Any]) -> None:
    """Raise TypeError or ValueError unless ``array``, the argument ``name``, is RGB uint8 (H, W, 3)."""
    if array.dtype != np.uint8:
        raise TypeError(f"{name}: expected an RGB image of dtype uint8, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(
            f"{name}: expected an RGB image of shape (height, width, 3), got shape {array.shape}"
        )


def _limit(name: str, value: int | None) -> int | None:
    return None if value is None else check_integer(name, value, 1)


def _load(path: str, long_side: int | None, max_pixels: int | None) -> tuple[ImageArray, str | None]:
    try:
        status = os.stat(path)  # noqa: PTH116 - before open(), which would wait for the writer of a FIFO
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("this is a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("this is not a regular file")
        if status.st_size == 0:
            raise ImageError("the file is empty (0 bytes)")
        # A small file is read at once: headers are looked through in many small steps, back and forth.
        buffer = status.st_size + 1 if status.st_size < _SMALL else -1
        with Path(path).open("rb", buffering=buffer) as file:
            return decode_noted(file, long_side, max_pixels)
    except PermissionError as error:
        raise ImageError("no permission to read the file", transient=True) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("there is no such file", transient=True) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(f"the file cannot be read ({reason(error)})", transient=True) from error


def decode_noted(
    file: IO[bytes], long_side: int | None, max_pixels: int | None
) -> tuple[ImageArray, str | None]:
    """Return an open file's pixels, RGB uint8 (H, W, 3), C-contiguous, upright, and what is damaged, or None.

    The longer side is at most ``long_side``. Large pictures wait for each other, so that those being decoded
    at a time fit into the memory meant for them.

    Raises:
        ImageError: what is wrong, without the file's name.
        OSError: reading the file failed (``errno`` is set).
        MemoryError: the picture does not fit into memory.
    """
    with heard() as said:
        try:
            source = _open(BoundedFile(file))
            wanted = bounded_size(*source.announced, long_side)
            drafted = source.draft(wanted)
            _check_limit(source, max_pixels)
            with DECODING.holding(source.cost + source.extra):
                pixels, damage = source.rgb()
                size = wanted if drafted else bounded_size(pixels.shape[1], pixels.shape[0], long_side)
                pixels = resized(pixels, size)
                orientation = source.orientation
                del source  # its memory is free before the next picture takes it
            return np.ascontiguousarray(_upright(pixels, orientation)), damage and _joined(damage, said)
        except ImageError as error:
            raise _with(error, said) from error.__cause__
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises a dozen types for damaged files, at any time
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _with(ImageError(f"the image cannot be decoded ({reason(error)})"), said) from error


def _open(file: BoundedFile) -> Source:
    """Read the header; return what decodes the picture."""
    check_size(file.size, MAX_FILE)
    kinds = kinds_of(file.read(HEAD_BYTES))
    failure = ImageError(f"this is not an image in a readable format ({', '.join(READ_SUFFIXES)})")
    for kind in kinds:
        if kind in READ_WHOLE:
            check_size(file.size, MAX_WHOLE)
        try:
            file.seek(0)
            return open_source(kind, file)
        except ImageError as error:
            if kind == kinds[0]:
                failure = error
    raise failure


def _check_limit(source: Source, max_pixels: int | None) -> None:
    if max_pixels is None:
        return
    check_pixels(source.announced, source.pixels, max_pixels)
    width, height = source.announced
    allowed = max(max_pixels * PIXEL_BYTES, _ALWAYS_ALLOWED)
    if source.cost > allowed:
        raise ImageError(
            f"{width} x {height} pixels of this kind take {source.cost >> 20} MiB to decode; "
            f"the limit of {max_pixels} pixels allows {allowed >> 20} MiB"
        )


def _with(error: ImageError, said: list[str]) -> ImageError:
    """Add what libraries said to the reason."""
    return ImageError(_joined(error.reason, said), transient=error.transient)


def _joined(what: str, said: list[str]) -> str:
    return "; ".join([what, *[text for text in dict.fromkeys(said) if text not in what][:2]])


def bounded_size(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """Return (width, height), the longer at most ``long_side``: rounded half up, at least 1; never larger."""
    longest = max(width, height)
    if long_side is None or longest <= long_side:
        return width, height
    width, height = (max(1, (2 * side * long_side + longest) // (2 * longest)) for side in (width, height))
    return width, height


def resized(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Shrink (H, W, 3) to ``size`` = (width, height) by area averaging; no change if it has that size."""
    image = np.ascontiguousarray(image)
    if size == (image.shape[1], image.shape[0]):
        return image
    return cast(ImageArray, cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _upright(image: ImageArray, orientation: int) -> ImageArray:
    """Undo an EXIF orientation, 1 to 8; other values change nothing."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
