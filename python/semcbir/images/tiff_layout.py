# SPDX-License-Identifier: MIT
"""TIFF headers: which page is the picture, and how it holds its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from semcbir.errors import ImageError
from semcbir.images.reading import BoundedFile
from semcbir.images.tiff_directory import (
    STRIP_SIZES,
    STRIPS,
    TILE_HEIGHT,
    TILE_SIZES,
    TILE_WIDTH,
    TILES,
    Entry,
    check_metadata,
    check_parts,
    check_tiles,
    entries,
)

_MOST_PAGES = 64
_LARGE = 2**20
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

    def part_bytes(self, pixels: int) -> int:
        """Return how many bytes the numbers of so many pixels of a strip or tile take."""
        return pixels * (self.bits[0] if self.planar else sum(self.bits)) // 8 + 1

    def __str__(self) -> str:
        numbers = {SIGNED: " signed", FLOAT: " floating-point"}.get(self.kind, "")
        bits = "/".join(map(str, sorted(set(self.bits))))
        text = f"TIFF of {_COLOURS.get(self.colour, f'colour kind {self.colour}')} in {bits}{numbers} bits"
        if self.compression == 1:
            return text
        return f"{text} compressed with {_COMPRESSIONS.get(self.compression, f'method {self.compression}')}"


@dataclass(frozen=True)
class Page:
    """A page: its number, its tags, and the same as entries of its directory."""

    number: int
    tags: ImageFileDirectory_v2
    entries: Sequence[Entry]


def full_page(file: BoundedFile) -> Page:
    """Return the first page not marked as a thumbnail or a mask, else page 0.

    Raises ImageError if the first page has no tags, or if the tags of a page passed take too much.
    """
    first = None
    for page in _pages(file):
        tags = page.tags
        if first is None:
            first = page
            check_tiles(page.entries, _pixels(tags))
        old = _number(tags, 255, 0)
        if not _number(tags, 254, 0) & _REDUCED_OR_MASK and old != _OLD_REDUCED:
            check_tiles(page.entries, _pixels(tags))
            return page
    if first is None or 256 not in first.tags:
        raise ImageError("the TIFF header cannot be read (there is no picture in it)")
    return first


def _pages(file: BoundedFile) -> Iterator[Page]:
    file.seek(0)
    head = file.read(8)
    if len(head) == 8 and 43 in (head[2], head[3]):
        head += file.read(8)
    start = ImageFileDirectory_v2(head)
    position, big = start.next, start._bigtiff
    seen: set[int] = set()
    while 0 < position < file.size and position not in seen and len(seen) < _MOST_PAGES:
        found = entries(file, position, head[:2], big=big)
        check_metadata(file, found, head[:2], big=big)
        tags = ImageFileDirectory_v2(head)
        file.seek(position)
        tags.load(file)  # type: ignore[arg-type]
        for entry in found:
            is_part = entry.tag in (STRIPS, STRIP_SIZES, TILES, TILE_SIZES)
            if entry.size > _LARGE and not is_part and entry.tag in tags:
                del tags[entry.tag]  # nobody needs it here, and Pillow holds it again
        yield Page(len(seen), tags, found)
        seen.add(position)
        position = tags.next


def _pixels(tags: ImageFileDirectory_v2) -> int:
    return _number(tags, 256, 0) * _number(tags, 257, 0)


def layout_of(page: Page, size: int) -> Layout:
    """Return a page's layout, in a file of ``size`` bytes. Raises ImageError if it makes no sense."""
    tags = page.tags
    width, height = _number(tags, 256, 0), _number(tags, 257, 0)
    samples = _number(tags, 277, 1)
    bits = _numbers(tags, 258) or (1,)
    planar = _number(tags, 284, 1) == 2
    tiled = TILES in tags
    tile = (width, _number(tags, 278, height))
    if tiled:
        tile = (_number(tags, TILE_WIDTH, 0), _number(tags, TILE_HEIGHT, 0))
    tile = (tile[0], tile[1] if tiled else min(tile[1], height))
    if min(width, height, samples, *tile) < 1 or max(width, height) >= 2**31 or samples > 64:
        raise ImageError(f"the TIFF header cannot be read (a size of {width} x {height} x {samples})")
    chunks = -(-width // tile[0]) * -(-height // tile[1]) * (samples if planar else 1)
    check_parts(page.entries, chunks)  # before there is a number for each
    offsets = _numbers(tags, TILES if tiled else STRIPS)
    counts = _numbers(tags, TILE_SIZES if tiled else STRIP_SIZES)
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
