# SPDX-License-Identifier: MIT
"""BMP files; Pillow knows only the usual masks of those whose pixels are bit fields."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcbir.errors import ImageError
from semcbir.images.pillow import PillowSource
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes, over_white, scaled_to_8_bits
from semcbir.images.source import CUT_SHORT, Source

_BIT_FIELDS = {3: 3, 6: 4}
"""The numbers of compression that mean masks, and how many masks follow a header of 40 bytes."""


def open_bmp(kind: str, file: BoundedFile) -> Source:
    """Read the header of a BMP, or of a DIB, which is one without its first 14 bytes."""
    try:
        return PillowSource(kind, file)
    except ImageError:
        header = 14 if kind == "BMP" else 0
        if not _has_bit_fields(file, header):
            raise
        return BitFields(file, header)


def _has_bit_fields(file: BoundedFile, header: int) -> bool:
    """Return whether a BMP, whose header is at byte ``header``, has pixels of 16 or 32 bits in bit fields."""
    file.seek(header)
    head = file.read(20)
    if len(head) < 20 or head[0] == 12:
        return False
    bits, compression = struct.unpack_from("<HI", head, 14)
    return bits in (16, 32) and compression in _BIT_FIELDS


class BitFields(Source):
    """A BMP with masks for red, green, blue and perhaps alpha; its header is at byte ``header``."""

    def __init__(self, file: BoundedFile, header: int) -> None:
        file.seek(header)
        head = file.read(124)
        length, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", head)
        count = _BIT_FIELDS[compression]
        if length >= 56:
            count = 4
        most = 2**bits - 1
        self._masks = tuple(mask & most for mask in (*struct.unpack_from(f"<{count}I", head, 40), 0)[:4])
        if not all(self._masks[:3]):
            raise ImageError("the BMP header cannot be read (a colour has no bits)")
        after = header + max(length, 40 + 4 * count)
        file.seek(10)
        self._start = after if header == 0 else struct.unpack("<I", file.read(4))[0]
        self._file, self._bits = file, bits
        self._bottom_up = height > 0
        self.announced = (width, abs(height))
        if min(self.announced) < 1:
            raise ImageError(f"the BMP header cannot be read (a size of {width} x {height})")
        self.cost = self.pixels * 20

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        (width, height), size = self.announced, self._bits // 8
        stride = (width * size + 3) // 4 * 4
        self._file.seek(self._start)
        data = self._file.read(stride * height)
        note = CUT_SHORT if len(data) < stride * height else None
        if len(data) < stride:
            raise ImageError("the BMP file ends before its picture begins")
        rows = np.frombuffer(data.ljust(stride * height, b"\0"), f"<u{size}").reshape(height, -1)[:, :width]
        if self._bottom_up:
            rows = rows[::-1]
        *colours, alpha = (_field(rows, mask) for mask in self._masks)
        picture = np.stack(colours, axis=-1)
        # Many programs write an alpha channel and leave it zero.
        return (over_white(picture, alpha) if alpha.any() else picture), note


def _field(rows: NDArray[Any], mask: int) -> Bytes:
    """Return the numbers under ``mask``, scaled to 0..255."""
    if mask == 0:
        return np.zeros(rows.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    white = mask >> shift
    field = rows >> shift & white
    if white > 255:
        return (field >> (white.bit_length() - 8)).astype(np.uint8)
    return scaled_to_8_bits(field, white)
