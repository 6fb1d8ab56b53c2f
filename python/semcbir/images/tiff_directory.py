# SPDX-License-Identifier: MIT
"""TIFF directories as they lie in the file: what their tags would take, before Pillow or libtiff reads them.

Pillow loads the data of every tag, and makes a Python number of each value of those that it uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from semcbir.errors import ImageError
from semcbir.images.reading import BoundedFile

STRIPS, STRIP_SIZES, TILES, TILE_SIZES = 273, 279, 324, 325
TILE_WIDTH, TILE_HEIGHT = 322, 323
_LARGEST_TILE = 2**24
_PARTS = (STRIPS, STRIP_SIZES, TILES, TILE_SIZES)
_EXIF, _GPS, _INTEROPERABILITY, _ICC = 34665, 34853, 40965, 34675
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""How many bytes a value of each kind takes."""
_BYTES, _ASCII, _UNDEFINED = 1, 2, 7
_MOST_ENTRIES = 2**16
_MOST_VALUES = 2**18
"""In a tag that Pillow makes numbers of, parts apart; a palette of 16 bits has 3 x 2**16."""
_MOST_PARTS = 2**20
"""Strips or tiles of a picture: Pillow takes half a kilobyte for each."""
_MOST_DATA = 2**29
"""In all tags of a directory (bytes): layers of editors take most. Pillow takes three times as much."""
_SLACK = 2**16


@dataclass(frozen=True)
class Entry:
    """A tag: the kind and the number of its values, and the last bytes of its entry: the values or where."""

    tag: int
    kind: int
    count: int
    value: bytes
    order: Literal["little", "big"]

    @property
    def size(self) -> int:
        """How many bytes its values take."""
        return self.count * _SIZES.get(self.kind, 0)

    @property
    def offset(self) -> int | None:
        """Where its values lie in the file; None if they lie in the entry."""
        return int.from_bytes(self.value, self.order) if self.size > len(self.value) else None

    @property
    def number(self) -> int:
        """The first of its values, if they are whole numbers and lie in the entry."""
        return int.from_bytes(self.value[: {1: 1, 3: 2, 4: 4}.get(self.kind, 8)], self.order)


def entries(file: BoundedFile, position: int, prefix: bytes, *, big: bool) -> list[Entry]:
    """Return the entries of the directory at ``position``, ``big``: of a BigTIFF.

    Raises ImageError if its tags would take more memory than they can need.
    """
    order: Literal["little", "big"] = "little" if prefix == b"II" else "big"
    counted, size = (8, 20) if big else (2, 12)
    file.seek(position)
    count = int.from_bytes(file.read(counted), order)
    data = file.read(min(count, _MOST_ENTRIES) * size)
    held = 4 + (size - 4) // 2
    found = [
        Entry(
            int.from_bytes(data[start : start + 2], order),
            int.from_bytes(data[start + 2 : start + 4], order),
            int.from_bytes(data[start + 4 : start + held], order),
            data[start + held : start + size],
            order,
        )
        for start in range(0, len(data) - size + 1, size)
    ]
    _check_sizes(found, file.size)
    return found


def check_metadata(file: BoundedFile, found: Iterable[Entry], prefix: bytes, *, big: bool) -> None:
    """Raise ImageError if the directories of metadata that ``found`` point to would take too much memory."""
    for entry in found:
        if entry.tag in (_EXIF, _GPS, _INTEROPERABILITY) and 0 < entry.number < file.size:
            inner = entries(file, entry.number, prefix, big=big)
            if entry.tag == _EXIF:
                other = [one for one in inner if one.tag == _INTEROPERABILITY]
                check_metadata(file, other, prefix, big=big)


def _check_sizes(found: Iterable[Entry], size: int) -> None:
    total = 0
    for entry in found:
        if entry.offset is None or entry.offset + entry.size > size:
            continue  # Pillow does not load those that end behind the file
        total += entry.size
        is_read = entry.tag < 2**15 or entry.tag in (_EXIF, _GPS, _INTEROPERABILITY, _ICC)
        most = _MOST_PARTS if entry.tag in _PARTS else _MOST_VALUES
        if is_read and entry.kind not in (_BYTES, _ASCII, _UNDEFINED) and entry.count > most:
            raise ImageError(
                f"the TIFF header cannot be read (tag {entry.tag} has {entry.count} values, "
                f"at most {most} make sense)"
            )
    if total > size + _SLACK:
        raise ImageError("the TIFF header cannot be read (its tags lie upon one another)")
    if total > _MOST_DATA:
        raise ImageError(
            f"the TIFF holds {total >> 20} MiB beside its picture; at most {_MOST_DATA >> 20} MiB are read"
        )


def check_parts(found: Iterable[Entry], chunks: int) -> None:
    """Raise ImageError if the tags list far more parts than the ``chunks`` that the picture has."""
    for entry in found:
        if entry.tag in _PARTS and entry.count > 2 * chunks + 16:
            raise ImageError(f"the TIFF header cannot be read ({entry.count} parts, {chunks} expected)")


def check_tiles(found: Iterable[Entry], pixels: int) -> None:
    """Raise ImageError for huge tiles in a picture of ``pixels``; libtiff holds a whole one.

    Pillow stops reading a damaged directory where libtiff goes on, so its tags may lack them.
    """
    sides = {TILE_WIDTH: 1, TILE_HEIGHT: 1}
    for entry in found:
        if entry.tag in sides:
            sides[entry.tag] = max(sides[entry.tag], entry.number)
    if sides[TILE_WIDTH] * sides[TILE_HEIGHT] > max(_LARGEST_TILE, 4 * pixels):
        raise ImageError(f"the TIFF header cannot be read (tiles of {' x '.join(map(str, sides.values()))})")
