# SPDX-License-Identifier: MIT
"""From the numbers that a file holds, of any depth, to 8 bits a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_ROWS = 2**20

NARROW = 16
"""Deep pictures whose values span less than a NARROW-th of their range are stretched: scanners and cameras
for science often use few of 16 bits, and the upper 8 would be black or one grey."""


def is_narrow(low: float, high: float, levels: float) -> bool:
    """Return whether values from ``low`` to ``high`` use only a small part of that many ``levels``."""
    return 0 < high - low < levels / NARROW


def upper_8_bits(values: NDArray[Any], bits: int, *, stretch: bool = True) -> Bytes:
    """Return unsigned integers of ``bits`` bits as 8: the upper ones, or a narrow range stretched."""
    low, high = int(values.min()), int(values.max())
    if stretch and is_narrow(low, high, 2**bits):
        return stretched(values, low, high)
    return _by_rows(values, lambda rows: rows >> (bits - 8))


def stretched(values: NDArray[Any], low: float, high: float) -> Bytes:
    """Return values with ``low`` as 0, ``high`` as 255, and straight between."""
    first, factor = values.dtype.type(low), np.float32(255 / (high - low))

    def scale(rows: NDArray[Any]) -> NDArray[Any]:
        scaled: NDArray[np.float32] = np.nan_to_num((rows - first).astype(np.float32) * factor)
        return scaled.clip(0, 255).round()

    return _by_rows(values, scale)


def scaled_to_8_bits(values: NDArray[Any], white: int) -> Bytes:
    """Return integers from 0 to ``white`` (at most 65535) as 0 to 255, rounded."""
    if white == 255:
        return values.astype(np.uint8, copy=False)

    def scale(rows: NDArray[Any]) -> NDArray[Any]:
        levels: NDArray[Any] = np.minimum(rows, white).astype(np.uint32)
        return (levels * 255 + white // 2) // white

    return _by_rows(values, scale)


def _by_rows(values: NDArray[Any], function: Callable[[NDArray[Any]], NDArray[Any]]) -> Bytes:
    """Return what ``function`` makes of ``values``, a few rows at a time: its steps take much memory."""
    found = np.empty(values.shape, np.uint8)
    step = max(1, _ROWS * len(values) // max(1, values.size))
    for top in range(0, len(values), step):
        found[top : top + step] = function(values[top : top + step])
    return found


def as_8_bits(values: NDArray[Any], *, stretch: bool = True) -> Bytes:
    """Return the channels of a picture, of any integer or float type, as 8 bits.

    Signed integers have no agreed white, so their range is stretched. Floats mean 0 (black) to 1 (white) if
    all lie there and are stretched otherwise; those that are not finite are black. ``stretch``: unsigned
    integers and floats of a narrow range are stretched too.
    """
    if values.dtype.kind == "f":
        return _floats(values, stretch)
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind == "i":
        # Shifted to unsigned: their differences may not fit into the signed type.
        values = values.astype(f"u{bits // 8}") ^ np.dtype(f"u{bits // 8}").type(1 << (bits - 1))
        low, high = int(values.min()), int(values.max())
        return stretched(values, low, high) if high > low else np.zeros(values.shape, np.uint8)
    return upper_8_bits(values, bits, stretch=stretch) if bits > 8 else values.astype(np.uint8)


def _floats(values: NDArray[Any], stretch: bool) -> Bytes:
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min() if finite.any() else 0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and not (stretch and is_narrow(low, high, 1)):
        return stretched(values, 0, 1)
    if not np.isfinite(high - low):
        values, low, high = values / 4, low / 4, high / 4
    with np.errstate(all="ignore"):
        return stretched(values, low, high) if high > low else np.zeros(values.shape, np.uint8)


def over_white(colours: Bytes, alpha: Bytes, *, multiplied: bool = False) -> Bytes:
    """Lay colours (H, W, 3) over white by their ``alpha`` (H, W); ``multiplied``: they hold it already."""

    def lay(rows: NDArray[Any]) -> NDArray[Any]:
        opacity = rows[..., 3:].astype(np.uint16)
        lit = rows[..., :3].astype(np.uint16)
        if not multiplied:
            lit = (lit * opacity + 127) // 255
        laid: NDArray[Any] = np.minimum(lit + (255 - opacity), 255)
        return laid

    found = np.empty_like(colours)
    step = max(1, _ROWS // max(1, colours.shape[1]))
    for top in range(0, len(colours), step):
        rows = slice(top, top + step)
        found[rows] = lay(np.dstack([colours[rows], alpha[rows]]))
    return found
