# SPDX-License-Identifier: MIT
"""From an image file, or an array, to upright RGB pixels of a bounded size.

:func:`load_image` and :func:`as_image` return RGB, uint8, shape (H, W, 3), C-contiguous, with the longer side
within its bound. Any problem with a file raises one :class:`~semcbir.errors.ImageError` that names the file.

The first bytes decide the format, never the name: photos are misnamed all the time. Pillow's decoders are
called directly, because ``Image.open`` applies a process-wide pixel limit, which is not ours to change.
"""

from __future__ import annotations

import importlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semcbir._files import PathLike, display_path, reason
from semcbir._validate import check_integer
from semcbir.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

ImageArray: TypeAlias = NDArray[np.uint8]

_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "DIB": ("PIL.BmpImagePlugin", "DibImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
}
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((bytes([size, 0, 0, 0]), "DIB") for size in (12, 40, 52, 56, 64, 108, 124)),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
_SHARED_BRANDS = (b"mif1", b"msf1")  # they name the container; HEVC or AV1 may be inside

_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 0x0112, 258, 262  # EXIF and TIFF tags
_STRIP_PIXELS = 2**22

MAX_PIXELS = 2**27
"""Images with more pixels than this (134 megapixels) are refused before they are decoded."""


def load_image(
    path: PathLike, long_side: int | None = 512, max_pixels: int | None = MAX_PIXELS
) -> ImageArray:
    """Decode an image file: RGB uint8 (H, W, 3), C-contiguous, upright by its EXIF orientation.

    The longer side becomes at most ``long_side`` pixels long (area-averaged; never enlarged; None: as it
    is), the other at least 1. Grey, palette and CMYK become RGB; of 16 bits per channel the upper 8 are kept;
    transparency is laid over white; of an animation or a multi-page file the first picture is read. Colour
    profiles are not applied. Large JPEGs are decoded at a fraction of their size, never below the wanted one.

    Raises:
        ImageError: the file cannot be read as an image, or its header announces more than ``max_pixels``
            (None: no limit) pixels. ``transient`` is true if the same bytes may be readable later:
            permissions, a vanished file, a failing disk, too little memory, no HEIC decoder installed.
        TypeError, ValueError: ``path`` is not a path; a limit is not an integer, or is less than 1.
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
    """Take an RGB uint8 (H, W, 3) array as an image, bounded as by :func:`load_image`.

    Returns a C-contiguous array; ``array`` itself if nothing has to be done.

    Raises:
        TypeError: ``array`` is not a NumPy array, or not of uint8.
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
    return None if value is None else check_integer(name, value, 1)


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


def decode(file: IO[bytes], long_side: int | None, max_pixels: int | None) -> ImageArray:
    """Return an open file's pixels: RGB uint8 (H, W, 3), C-contiguous, upright, ``max(H, W) <= long_side``.

    Raises:
        ImageError: what is wrong, without the file's name.
        OSError: reading the file failed (``errno`` is set).
        MemoryError: the picture does not fit into memory.
    """
    kind = "image"
    try:
        image, kind = _open(file)
        return _pixels(image, long_side, max_pixels)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises a dozen types for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(f"the {kind} data cannot be decoded ({reason(error)})") from error


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


def _open(file: IO[bytes]) -> tuple[ImageFile, str]:
    """Read the header; return the image, not yet decoded, and the name of its format."""
    kinds = _kinds(file.read(16))
    failure = ImageError("this is not an image in a readable format (JPEG, PNG, BMP, WebP, TIFF, HEIC)")
    for kind in kinds:
        module, name = _DECODERS[kind]
        try:
            file.seek(0)
            decoder: Callable[[IO[bytes], str], ImageFile] = getattr(importlib.import_module(module), name)
            return decoder(file, ""), kind
        except (ImportError, AttributeError) as error:
            problem = _missing_decoder(kind)
            problem.__cause__ = error
        except MemoryError:
            raise
        except Exception as error:
            problem = ImageError(f"the {kind} header cannot be read ({reason(error)})")
            problem.__cause__ = error
        if kind == kinds[0]:
            failure = problem
    raise failure


def _kinds(head: bytes) -> list[str]:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ["WebP"]
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return ["HEIC"] * (brand in _HEIC_BRANDS + _SHARED_BRANDS) + ["AVIF"] * (
            brand in _AVIF_BRANDS + _SHARED_BRANDS
        )
    return [kind for magic, kind in _MAGIC if head.startswith(magic)]


def _missing_decoder(kind: str) -> ImageError:
    fix = "pip install semcbir[heif]" if kind == "HEIC" else "pip install --upgrade pillow"
    return ImageError(f"no decoder for {kind} is installed; install one: {fix}", transient=True)


def _pixels(image: ImageFile, long_side: int | None, max_pixels: int | None) -> ImageArray:
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise ImageError(f"{width} x {height} pixels exceed the limit of {max_pixels} pixels")
    size = bounded_size(width, height, long_side)
    if image.format == "JPEG":
        image.draft(None, size)  # decodes at 1/2, 1/4 or 1/8 where that is still at least ``size``
    with _pillow_limit_lifted(width * height):
        image.load()
        pixels = _rgb(image)
    if image.format != "JPEG":  # TIFF is upright by now; HEIC may know its size only now
        size = bounded_size(*image.size, long_side)
    return np.ascontiguousarray(_upright(resized(pixels, size), _orientation(image)))


_lifting = threading.Lock()


@contextmanager
def _pillow_limit_lifted(pixels: int) -> Iterator[None]:
    """Make ``max_pixels`` the only limit: Pillow's TIFF decoder and crop() check Pillow's own limit again.

    That limit is process-wide, so it is lifted only for images beyond it, one image at a time.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or pixels <= limit:
        yield
        return
    with _lifting:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _rgb(image: ImageFile) -> ImageArray:
    """Return the decoded pixels as RGB, converted in strips so as not to hold a large image three times."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = _strip_rgb(image, image.crop((0, top, width, bottom)))
    return pixels


def _strip_rgb(image: ImageFile, strip: Image.Image) -> ImageArray:
    if strip.mode.startswith("I;16") or (strip.mode == "I" and image.format == "PNG"):
        return _upper_bits(image, strip)[..., np.newaxis]
    if strip.mode in ("I", "F"):
        kind = "32-bit integers" if strip.mode == "I" else "floating-point numbers"
        raise ImageError(f"its pixels are {kind}, which have no agreed white; save it with 8 or 16 bits")
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
    return np.asarray(strip.convert("RGB"))


def _upper_bits(image: ImageFile, strip: Image.Image) -> ImageArray:
    """Return the upper 8 bits of 16-bit grey, as Pillow does for 16-bit RGB."""
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    grey = (np.asarray(strip).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    return 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey  # 0: TIFF's WhiteIsZero


def _orientation(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata around sound pixels
        return 1


def _upright(image: ImageArray, orientation: int) -> ImageArray:
    """Undo an EXIF orientation, 1 to 8; other values change nothing."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
