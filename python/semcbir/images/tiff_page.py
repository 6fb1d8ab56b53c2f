# SPDX-License-Identifier: MIT
"""TIFF layouts that Pillow refuses or reads wrongly: pages read without its TIFF decoder."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semcbir.errors import ImageError
from semcbir.images.limits import LEAST_SHARE
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes, as_8_bits, over_white
from semcbir.images.source import Source
from semcbir.images.tiff_layout import EMBEDDED, FLOAT, SIGNED, UNSIGNED, Layout

Decode = Callable[[bytes, str, tuple[int, int]], Bytes]
"""Decodes a small image file of a kind and of a known (width, height) to RGB."""

_DEFLATE = (8, 32946)
_PIECE = 2**16
_WHITE_IS_ZERO, _CMYK = 0, 5
_LAB = {8: (0, 0, 0), 9: (0, 128, 128)}
_CHANNELS = {0: 1, 1: 1, 2: 3, 5: 4, 8: 3, 9: 3}
_KINDS = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}


def open_page(file: BoundedFile, layout: Layout, orientation: int, decode: Decode) -> Source:
    """Open a page of this ``layout``; ``decode`` is for strips and tiles that are image files.

    Raises ImageError, saying what it is, for a layout that this does not know either.
    """
    if not layout.offsets:
        raise ImageError("the TIFF header cannot be read (it does not say where its picture is)")
    if layout.compression in EMBEDDED and layout.colour in (1, 2) and not layout.planar:
        return EmbeddedPage(file, layout, orientation, decode)
    plain = layout.compression in (1, *_DEFLATE) and layout.predictor in (1, 2, 3)
    bits = set(layout.bits)
    known = layout.colour in _CHANNELS and len(layout.bits) >= _CHANNELS[layout.colour] and len(bits) == 1
    sizes = {UNSIGNED: {8, 16, 32, 64}, SIGNED: {8, 16, 32, 64}, FLOAT: {16, 32, 64}}.get(layout.kind, set())
    if layout.colour in _LAB and layout.kind == UNSIGNED:
        sizes = {8}
    if not (plain and known and bits <= sizes):
        raise ImageError(f"{layout}: not supported")
    return PlainPage(file, layout, orientation)


class _Page(Source):
    """A page in strips or tiles, "parts"; those that cannot be read stay black."""

    def __init__(self, file: BoundedFile, layout: Layout, orientation: int) -> None:
        self.file, self.layout = file, layout
        self.announced = (layout.width, layout.height)
        self.orientation = orientation
        self.numbers = layout.part_bytes(layout.tile[0] * layout.tile[1])
        """How many bytes the numbers of a whole part take."""
        self.most = self.numbers + self.numbers // 64 + 1024
        """How many bytes of a part to read if the file does not say how long it is; packed, it is shorter."""

    def fill(self, target: NDArray[Any]) -> str | None:
        """Read all parts into ``target`` (H, W, samples). Raises ImageError if there is none."""
        layout = self.layout
        wide, high = layout.tile
        across, down = -(-layout.width // wide), -(-layout.height // high)
        planes = target.shape[2] if layout.planar else 1
        sound = read = 0
        for number, offset in enumerate(layout.offsets):
            plane, place = divmod(number, across * down)
            top, left = place // across * high, place % across * wide
            place_in = target[top : top + high, left : left + wide, plane if layout.planar else slice(None)]
            rows = high if layout.tiled else place_in.shape[0]
            data = self._data(number, offset)
            part, whole = self.part(data, (rows, wide, target.shape[2] // planes)) if data else (None, False)
            if part is not None:
                place_in[...] = part.reshape(rows, wide, *place_in.shape[2:])[
                    : len(place_in), : place_in.shape[1]
                ]
                read += 1
            sound += whole
        parts = across * down * planes
        if read < max(1, LEAST_SHARE * parts):
            raise ImageError(
                f"the TIFF data cannot be decoded ({read} of {parts} parts of the picture are there)"
            )
        return (
            None if sound == parts else f"{parts - sound} of {parts} parts of the picture cannot be decoded"
        )

    def _data(self, number: int, offset: int) -> bytes:
        counts = self.layout.counts
        if not 0 <= offset < self.file.size:
            return b""
        self.file.seek(offset)
        return self.file.read(counts[number] if number < len(counts) else self.most)

    def _longest(self) -> int:
        """Return the length in bytes of the longest part as it lies in the file."""
        counts = [*self.layout.counts, *[self.most] * (len(self.layout.offsets) > len(self.layout.counts))]
        return min(self.file.size, max(counts, default=0))

    def part(self, data: bytes, size: tuple[int, int, int]) -> tuple[NDArray[Any] | None, bool]:
        """Return the part of ``size`` (rows, columns, samples) in ``data``, and whether it is all there."""
        raise NotImplementedError


class EmbeddedPage(_Page):
    """A page whose strips or tiles are WebP or JPEG 2000 files."""

    def __init__(self, file: BoundedFile, layout: Layout, orientation: int, decode: Decode) -> None:
        super().__init__(file, layout, orientation)
        self._decode = decode
        self.cost = self.pixels * 4 + layout.tile[0] * layout.tile[1] * 20 + 2 * self._longest()

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        picture = np.zeros((self.layout.height, self.layout.width, 3), np.uint8)
        return picture, self.fill(picture)

    def part(self, data: bytes, size: tuple[int, int, int]) -> tuple[NDArray[Any] | None, bool]:
        """Decode one of the files."""
        try:
            return self._decode(data, EMBEDDED[self.layout.compression], (size[1], size[0])), True
        except ImageError as error:
            if error.transient:
                raise
            return None, False


class PlainPage(_Page):
    """A page of plain or deflated numbers."""

    def __init__(self, file: BoundedFile, layout: Layout, orientation: int) -> None:
        super().__init__(file, layout, orientation)
        self._type = np.dtype(f"{layout.order}{_KINDS[layout.kind]}{layout.bits[0] // 8}")
        values, picture = self.pixels * len(layout.bits), self.pixels * 6
        copies = 1 + (layout.compression in _DEFLATE) + (layout.predictor != 1) + (layout.predictor == 3)
        part = self._longest() + copies * self.numbers
        self.cost = values * self._type.itemsize + max(part, values * (self._type.itemsize + 1) + picture)

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        layout = self.layout
        values = np.zeros((layout.height, layout.width, len(layout.bits)), self._type.newbyteorder("="))
        note = self.fill(values)
        return self._colours(values), note

    def part(self, data: bytes, size: tuple[int, int, int]) -> tuple[NDArray[Any] | None, bool]:
        """Return the numbers, zeros for those that are missing."""
        whole = size[0] * size[1] * size[2] * self._type.itemsize
        found = _inflated(data, whole) if self.layout.compression in _DEFLATE else memoryview(data)[:whole]
        if not found:
            return None, False
        if len(found) == whole:
            return self._numbers(found, size), True
        return self._numbers(bytes(found).ljust(whole, b"\0"), size), False

    def _numbers(self, data: bytes | bytearray | memoryview, size: tuple[int, int, int]) -> NDArray[Any]:
        predictor = self.layout.predictor
        if predictor == 3:  # floats: bytes of equal weight lie together, each minus its left neighbour
            rows = np.frombuffer(data, np.uint8).reshape(size[0], -1, size[2])
            rows = np.cumsum(rows, axis=1, dtype=np.uint8)
            planes = rows.reshape(size[0], self._type.itemsize, size[1] * size[2])
            return (
                np.ascontiguousarray(planes.transpose(0, 2, 1))
                .view(self._type.newbyteorder(">"))
                .reshape(size)
            )
        values = np.frombuffer(data, self._type).reshape(size)
        return np.cumsum(values, axis=1, dtype=self._type.newbyteorder("=")) if predictor == 2 else values

    def _colours(self, values: NDArray[Any]) -> Bytes:
        colour = self.layout.colour
        count = _CHANNELS[colour]
        picture = as_8_bits(values[..., :count])
        if colour == _WHITE_IS_ZERO:
            picture = 255 - picture
        elif colour == _CMYK:
            picture = _converted(picture, "CMYK")
        elif colour in _LAB:
            # Pillow takes a and b as CIELab has them, signed; ICCLab adds 128.
            picture = _converted(picture ^ np.array(_LAB[colour], np.uint8), "LAB")
        picture = np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
        extra = self.layout.extra[:1]
        if extra not in ((1,), (2,)) or values.shape[2] <= count:
            return picture
        alpha = as_8_bits(values[..., count], stretch=False)
        return over_white(picture, alpha, multiplied=extra == (1,))


def _converted(pixels: Bytes, mode: str) -> Bytes:
    height, width = pixels.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes(), "raw", mode)
    return np.asarray(image.convert("RGB"))


def _inflated(data: bytes, most: int) -> bytearray:
    """Return as much as can be decompressed, at most ``most`` bytes."""
    stream, found = zlib.decompressobj(), bytearray()
    with contextlib.suppress(zlib.error):
        for start in range(0, len(data), _PIECE):
            found += stream.decompress(data[start : start + _PIECE], most - len(found))
            if len(found) >= most or stream.eof:
                break
    return found
