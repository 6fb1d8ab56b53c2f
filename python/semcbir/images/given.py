# SPDX-License-Identifier: MIT
"""Images as callers have them: a path, an encoded file in memory, an array, or an image of Pillow's."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from semcbir._files import PathLike, display_path, expanded, reason
from semcbir._validate import shown
from semcbir.errors import ImageError
from semcbir.images.decode import (
    ImageArray,
    as_image,
    check_array,
    decode_noted,
    load_noted,
    raise_named,
)
from semcbir.images.limits import MAX_PIXELS
from semcbir.images.reading import check_pixels
from semcbir.images.source import ORIENTATION

ImageSource: TypeAlias = PathLike | bytes | bytearray | memoryview | ImageArray | Image.Image
"""An image: the path of its file, the file's bytes, RGB uint8 (H, W, 3), or an image of Pillow's."""

KINDS = "a path, an encoded image, an RGB array or a Pillow image"

_TYPES = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, Image.Image)
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PLAIN = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "HSV": "RGB", "YCbCr": "RGB"}
"""Modes that only memory knows, and what they become first."""


def is_image(value: object) -> TypeGuard[ImageSource]:
    """Return whether ``value`` is of a kind that stands for one image."""
    return isinstance(value, _TYPES)


def check_image(name: str, image: object) -> None:
    """Raise TypeError or ValueError unless ``image``, the argument ``name``, stands for an image.

    Whether a path leads to one, or bytes decode to one, is not looked at.
    """
    if not is_image(image):
        raise TypeError(f"{name}: expected {KINDS}, got {shown(image)}")
    if isinstance(image, np.ndarray):
        check_array(name, image)
    elif isinstance(image, (str, os.PathLike)):
        expanded(image, name)


def read_image(
    image: ImageSource, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> ImageArray:
    """Return the pixels of ``image`` like ``read_noted``, which also says what is damaged."""
    return read_noted(image, long_side, max_pixels)[0]


def read_noted(
    image: ImageSource, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> tuple[ImageArray, str | None]:
    """Return the pixels of ``image`` and what is damaged (None: nothing), bounded as by ``load_noted``.

    Encoded bytes are decoded like a file. An image of Pillow's is treated like a file of the same content:
    turned by its EXIF orientation, laid over white, 16 bits cut to 8; of several frames the current one
    counts. Pillow decodes a large JPEG as a whole, so its pixels may differ slightly from ``load_image``'s.

    Raises ImageError if it cannot be decoded, TypeError or ValueError as ``check_image`` does.
    """
    check_image("image", image)
    if isinstance(image, (str, os.PathLike)):
        return load_noted(image, long_side, max_pixels)
    if isinstance(image, np.ndarray):
        return as_image(image, long_side), None
    try:
        file = _encoded(image, max_pixels) if isinstance(image, Image.Image) else io.BytesIO(image)
        return decode_noted(file, long_side, max_pixels)
    except (ImageError, MemoryError) as error:
        raise_named(describe(image), error)


def describe(image: ImageSource) -> str:
    """Return what a message calls ``image``: its path, or its kind."""
    if isinstance(image, (str, os.PathLike)):
        return display_path(image)
    if isinstance(image, np.ndarray):
        return "array"
    return "Pillow image" if isinstance(image, Image.Image) else "encoded image"


def _encoded(image: Image.Image, max_pixels: int | None) -> io.BytesIO:
    """Return ``image`` as a file without loss, so that it is treated like one; ImageError if it is none."""
    width, height = image.size
    if not width * height:
        raise ImageError(f"{width} x {height} pixels are no image")
    check_pixels(image.size, width * height, max_pixels)
    try:
        image.load()
        exif = _exif(image)
        plain, is_png = _plain(image)
        file = io.BytesIO()
        if is_png:
            plain.save(file, "PNG", compress_level=0, exif=exif, icc_profile=None, pnginfo=None)
        else:
            plain.save(file, "TIFF", compression=None, exif=exif, icc_profile=None)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises a dozen types for damaged images
        raise ImageError(f"its pixels cannot be read ({reason(error)})") from error
    file.seek(0)
    return file


def _plain(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return ``image`` in a mode that a file can have, and whether that is PNG rather than TIFF."""
    if (image.mode.startswith("I;16") and image.mode != "I;16") or (
        image.mode == "I" and image.format == "PNG"
    ):
        plain = Image.fromarray(np.asarray(image).astype("<u2"))
    else:
        plain = image.convert(_PLAIN[image.mode]) if image.mode in _PLAIN else image
    return plain, plain.mode in _PNG_MODES


def _exif(image: Image.Image) -> Any:
    """Return a block with nothing but the orientation of ``image``."""
    found = Image.Exif()
    with contextlib.suppress(Exception):  # damaged metadata around sound pixels
        found[ORIENTATION] = int(image.getexif().get(ORIENTATION, 1))
    return found
