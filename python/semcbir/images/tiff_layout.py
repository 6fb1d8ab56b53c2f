# SPDX-License-Identifier: MIT
"""TIFF headers: which page is the picture, and how it holds its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from semcbir.errors import ImageError
from semcbir.images.reading import BoundedFile

_MOST_PAGES = 64
_LARGEST_TILE = 2**24
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_REDUCED_OR_MASK = 1 | 4
_OLD_REDUCED = 2
EMBEDDED = {50001: "WebP", 34712: "JPEG 2000", 33005: "JPEG 2000"}
"""Compressions whose strips and tiles are image files of their own, with their kind."""
_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 32773: "PackBits",
    34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA", 50000: "Zstandard", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_COLOURS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab",
    10: "ITULab", 32803: "raw sensor data", 32844: "LogL", 32845: "LogLuv", 34892: "raw sensor data",
}  # fmt: skip
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


@dataclass(frozen=True)
class Layout:
    """How a page holds its pixels: the tags that matter, checked."""

    width: int
    height: int
    bits: tuple[int, ...]
    kind: int
    colour: int
    compression: int
    predictor: int
    planar: bool
    extra: tuple[int, ...]
    order: str
    tile: tuple[int, int]
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    def __str__(self) -> str:
        numbers = {SIGNED: " signed", FLOAT: " floating-point"}.get(self.kind, "")
        bits = "/".join(map(str, sorted(set(self.bits))))
        text = f"TIFF of {_COLOURS.get(self.colour, f'colour kind {self.colour}')} in {bits}{numbers} bits"
        if self.compression == 1:
            return text
        return f"{text} compressed with {_COMPRESSIONS.get(self.compression, f'method {self.compression}')}"


def full_page(file: BoundedFile) -> tuple[int, ImageFileDirectory_v2]:
    """Return the number and the tags of the first page not marked as a thumbnail or a mask, else of page 0.

    Raises ImageError if the first page has no tags.
    """
    first = None
    for number, (position, tags) in enumerate(_pages(file)):
        if number == 0:
            first = tags
            _check_tiles(file, position, tags)
        old = _number(tags, 255, 0)
        if not _number(tags, 254, 0) & _REDUCED_OR_MASK and old != _OLD_REDUCED:
            _check_tiles(file, position, tags)
            return number, tags
    if first is None or 256 not in first:
        raise ImageError("the TIFF header cannot be read (there is no picture in it)")
    return 0, first


def _pages(file: BoundedFile) -> Iterator[tuple[int, ImageFileDirectory_v2]]:
    file.seek(0)
    head = file.read(8)
    if len(head) == 8 and 43 in (head[2], head[3]):
        head += file.read(8)
    position = ImageFileDirectory_v2(head).next
    seen: set[int] = set()
    while 0 < position < file.size and position not in seen and len(seen) < _MOST_PAGES:
        seen.add(position)
        tags = ImageFileDirectory_v2(head)
        file.seek(position)
        tags.load(file)  # type: ignore[arg-type]
        yield position, tags
        position = tags.next


def _check_tiles(file: BoundedFile, position: int, tags: ImageFileDirectory_v2) -> None:
    """Raise ImageError for huge tiles, of which libtiff holds a whole one.

    Pillow stops reading a damaged directory where libtiff goes on, so ``tags`` may lack them.
    """
    order: Literal["little", "big"] = "little" if tags.prefix == b"II" else "big"
    counted, size = (8, 20) if tags._bigtiff else (2, 12)
    file.seek(position)
    count = int.from_bytes(file.read(counted), order)
    entries = file.read(min(count, 2**16) * size)
    sides = {_TILE_WIDTH: 1, _TILE_HEIGHT: 1}
    for start in range(0, len(entries) - size + 1, size):
        tag = int.from_bytes(entries[start : start + 2], order)
        if tag in sides:
            kind = int.from_bytes(entries[start + 2 : start + 4], order)
            value = entries[start + size - (8 if size == 20 else 4) :][: {1: 1, 3: 2, 4: 4}.get(kind, 8)]
            sides[tag] = max(sides[tag], int.from_bytes(value, order))
    if sides[_TILE_WIDTH] * sides[_TILE_HEIGHT] > max(_LARGEST_TILE, 4 * _pixels(tags)):
        raise ImageError(f"the TIFF header cannot be read (tiles of {' x '.join(map(str, sides.values()))})")


def _pixels(tags: ImageFileDirectory_v2) -> int:
    return _number(tags, 256, 0) * _number(tags, 257, 0)


def layout_of(tags: ImageFileDirectory_v2, size: int) -> Layout:
    """Return a page's layout, in a file of ``size`` bytes. Raises ImageError if it makes no sense."""
    width, height = _number(tags, 256, 0), _number(tags, 257, 0)
    samples = _number(tags, 277, 1)
    bits = _numbers(tags, 258) or (1,)
    planar = _number(tags, 284, 1) == 2
    tiled = 324 in tags
    tile = (_number(tags, 322, 0), _number(tags, 323, 0)) if tiled else (width, _number(tags, 278, height))
    tile = (tile[0], tile[1] if tiled else min(tile[1], height))
    if min(width, height, samples, *tile) < 1 or max(width, height) >= 2**31 or samples > 64:
        raise ImageError(f"the TIFF header cannot be read (a size of {width} x {height} x {samples})")
    chunks = -(-width // tile[0]) * -(-height // tile[1]) * (samples if planar else 1)
    offsets = _numbers(tags, 324 if tiled else 273)
    if len(offsets) > 2 * chunks + 16:
        raise ImageError(f"the TIFF header cannot be read ({len(offsets)} parts, {chunks} expected)")
    counts = _numbers(tags, 325 if tiled else 279)
    held = sum(min(count, max(0, size - offset)) for offset, count in zip(offsets, counts, strict=False))
    if held > 4 * size:
        raise ImageError("the TIFF header cannot be read (its parts lie upon one another)")
    return Layout(
        width, height,
        bits=(bits * samples if len(bits) == 1 else bits)[:samples],
        kind=(_numbers(tags, 339) or (UNSIGNED,))[0],
        colour=_number(tags, 262, 0),
        compression=_number(tags, 259, 1),
        predictor=_number(tags, 317, 1),
        planar=planar,
        extra=_numbers(tags, 338),
        order="<" if tags.prefix == b"II" else ">",
        tile=tile,
        tiled=tiled,
        offsets=offsets[:chunks],
        counts=counts[:chunks],
    )  # fmt: skip


def _numbers(tags: ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    values = value if isinstance(value, tuple) else (value,)
    return tuple(one for one in values if isinstance(one, int))


def _number(tags: ImageFileDirectory_v2, tag: int, default: int) -> int:
    return next(iter(_numbers(tags, tag)), default)


def pillow_is_wrong(layout: Layout) -> bool:
    """Return whether Pillow would decode this into something else, or not as an image of 8 or 16 bits."""
    deep = max(layout.bits) >= 16
    return (
        layout.compression in EMBEDDED
        or (layout.planar and layout.compression == 1 and deep)
        or (layout.kind != UNSIGNED and deep)
        or max(layout.bits) > 16
    )
