# SPDX-License-Identifier: MIT
"""From Pillow's images, in any of its modes, to RGB of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semcbir.errors import ImageError
from semcbir.images.samples import Bytes, upper_8_bits

_STRIP_PIXELS = 2**22
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_DEEP_GREY = ("PNG", "PPM")
"""Formats whose mode "I" holds 16 bits."""


def to_rgb(image: Image.Image) -> Bytes:
    """Return a decoded image's pixels (H, W, 3), transparency laid over white.

    Raises ImageError for numbers without an agreed white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _DEEP_GREY):
        return _deep_grey(image)
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ImageError(f"its pixels are {kind}, which have no agreed white; save it with 8 or 16 bits")
    drop_alpha = image.format in ("BMP", "DIB", "TGA") and _is_all_transparent(image)
    # In strips, so as not to hold a large image three times.
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        strip = image if rows >= height else image.crop((0, top, width, bottom))
        pixels[top:bottom] = _strip(strip.convert("RGB") if drop_alpha else strip)
    return pixels


def _strip(strip: Image.Image) -> NDArray[np.uint8]:
    if strip.mode == "La":
        strip = strip.convert("LA")
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))  # convert() copies RGB too


def _is_all_transparent(image: Image.Image) -> bool:
    """Return whether an alpha channel is zero everywhere: many programs write one and leave it so."""
    return image.mode in ("RGBA", "LA") and image.getchannel("A").getextrema() == (0, 0)


def _deep_grey(image: Image.Image) -> Bytes:
    """Return 16-bit grey by its upper 8 bits, as Pillow does for 16-bit RGB; a narrow range is stretched."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    values = np.asarray(image).astype(np.uint16)
    grey = upper_8_bits(values, bits)
    if tags.get(_PHOTOMETRIC) == 0:  # TIFF's WhiteIsZero
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return np.ascontiguousarray(np.broadcast_to(grey[..., np.newaxis], (*grey.shape, 3)))
