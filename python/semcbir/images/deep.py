# SPDX-License-Identifier: MIT
"""Colour of 16 bits a channel: Pillow keeps the upper 8; where they are not enough, the lower 8 are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semcbir.images.convert import to_rgb
from semcbir.images.samples import NARROW, Bytes, is_narrow, over_white, stretched

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_STRIP_PIXELS = 2**21
_MODES = ("RGB", "RGBA", "RGBX")


def raw_modes(image: ImageFile) -> list[str]:
    """Return how the file holds its pixels, part by part, in Pillow's words; before it is decoded."""
    tiles: list[Any] = image.tile
    return [tile[3] if isinstance(tile[3], str) else str(tile[3][0]) for tile in tiles]


def is_deep(modes: list[str]) -> bool:
    """Return whether pixels of these raw modes are RGB in 16 bits, of which Pillow keeps the upper 8."""
    return bool(modes) and all(
        mode.partition(";")[0] in _MODES and mode.partition(";")[2] in ("16L", "16B", "16N") for mode in modes
    )


def may_be_narrow(image: ImageFile) -> bool:
    """Return whether the upper 8 bits of a decoded image leave so little that the lower ones may matter."""
    extrema: Any = image.getextrema()[:3]
    return bool(max(high for _, high in extrema) - min(low for low, _ in extrema) < 256 / NARROW)


def converted(image: ImageFile, undecoded: ImageFile, transparent: Any) -> Bytes:
    """Return RGB pixels of a decoded ``image`` of 16 bits; the same file, ``undecoded``, gives the lower 8.

    ``transparent`` is the colour (16-bit red, green, blue) that means white paper, or None.
    """
    _take_lower_bytes(undecoded)
    undecoded.load()
    pixels = _deep_rgb(image, undecoded, transparent)
    return to_rgb(image) if pixels is None else pixels


def _take_lower_bytes(image: ImageFile) -> None:
    """Make Pillow keep the lower 8 bits when it decodes: in the other byte order they are the upper ones."""
    image.tile = [_swapped(tile) for tile in image.tile]


def _swapped(tile: Any) -> Any:
    args = tile[3]
    if isinstance(args, str):
        other: Any = args[:-1] + _OTHER_ORDER[args[-1]]
    else:
        other = (args[0][:-1] + _OTHER_ORDER[args[0][-1]], *args[1:])
    return type(tile)(*tile[:3], other) if hasattr(tile, "_fields") else (*tile[:3], other)


def _deep_rgb(upper: Image.Image, lower: Image.Image, transparent: Any) -> Bytes | None:
    """Return RGB from images of the upper and the lower bytes; None if the upper ones are enough."""
    low, high = 2**16, 0
    for _, values, _ in _strips(upper, lower):
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    narrow = is_narrow(low, high, 2**16)
    keyed = isinstance(transparent, tuple) and len(transparent) == 3
    if not narrow and not keyed:
        return None
    pixels = np.empty((upper.height, upper.width, 3), np.uint8)
    for rows, values, alpha in _strips(upper, lower):
        strip = stretched(values, low, high) if narrow else (values >> 8).astype(np.uint8)
        if alpha is not None:
            strip = over_white(strip, alpha)
        if keyed:
            strip[(values == np.array(transparent, np.uint16)).all(axis=-1)] = 255
        pixels[rows] = strip
    return pixels


def _strips(
    upper: Image.Image, lower: Image.Image
) -> Iterator[tuple[slice, NDArray[np.uint16], Bytes | None]]:
    """Yield some rows at a time: which they are, their 16-bit values (rows, W, 3), and their alpha."""
    width, height = upper.size
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        box = (0, top, width, min(height, top + step))
        above, below = np.asarray(upper.crop(box)), np.asarray(lower.crop(box))
        values = above[..., :3].astype(np.uint16) << 8 | below[..., :3]
        yield slice(top, box[3]), values, above[..., 3] if above.shape[2] == 4 else None
