# SPDX-License-Identifier: MIT
"""Colour of 16 bits a channel: Pillow keeps the upper 8; where they are not enough, the lower 8 are read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semcbir.images.samples import NARROW, Bytes, is_narrow, over_white, upper_8_bits

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
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


def take_lower_bytes(image: ImageFile) -> None:
    """Make Pillow keep the lower 8 bits when it decodes: in the other byte order they are the upper ones."""
    image.tile = [_swapped(tile) for tile in image.tile]


def _swapped(tile: Any) -> Any:
    args = tile[3]
    if isinstance(args, str):
        other: Any = args[:-1] + _OTHER_ORDER[args[-1]]
    else:
        other = (args[0][:-1] + _OTHER_ORDER[args[0][-1]], *args[1:])
    return type(tile)(*tile[:3], other) if hasattr(tile, "_fields") else (*tile[:3], other)


def deep_rgb(upper: NDArray[np.uint8], lower: NDArray[np.uint8], transparent: Any) -> Bytes | None:
    """Return RGB from the bytes (H, W, 3 or 4) of 16-bit channels; None if the upper ones are enough.

    ``transparent`` is the colour (16-bit red, green, blue) that means white paper, or None.
    """
    values = upper[..., :3].astype(np.uint16) << 8 | lower[..., :3]
    narrow = is_narrow(int(values.min()), int(values.max()), 2**16)
    keyed = isinstance(transparent, tuple) and len(transparent) == 3
    if not narrow and not keyed:
        return None
    pixels = upper_8_bits(values, 16)
    if upper.shape[2] == 4:
        pixels = over_white(pixels, upper[..., 3])
    if keyed:
        pixels[(values == np.array(transparent, np.uint16)).all(axis=-1)] = 255
    return pixels
