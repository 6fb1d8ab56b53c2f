# SPDX-License-Identifier: MIT
"""JPEG files: what they will cost, before they are decoded, and damage that libjpeg passes over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semcbir.errors import ImageError
from semcbir.images.limits import PIXEL_BYTES
from semcbir.images.pillow import PillowSource, open_image, what_was_decoded
from semcbir.images.reading import BoundedFile, EndedFile

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_SCANS = 100
"""JPEGs of more scans are refused: each of them is a pass over the whole picture. Encoders make about ten."""

END = b"\xff\xd9"
"""The marker at the end of a picture."""

_SOF = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_ONE_PASS = (0xC0, 0xC1)  # sequential, Huffman
_DHT, _EOI, _SOS = 0xC4, 0xD9, 0xDA
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # neither a stuffed byte nor a restart
_MAX_JUNK = 2**16
_SHORT, _LONG = 2**12, 2**20
_HOLE = bytes(64)


class JpegSource(PillowSource):
    """A JPEG: decoded at a fraction of its size where that is enough."""

    def __init__(self, file: BoundedFile) -> None:
        self._survey = survey(file)
        self._size: tuple[int, int] | None = None
        super().__init__("JPEG", file)

    def draft(self, size: tuple[int, int]) -> bool:
        """Decode at 1/2, 1/4 or 1/8 where that is still at least ``size``."""
        self._size = size
        self.image.draft(None, size)
        self.cost = self.pixels * PIXEL_BYTES
        if not self._survey.single:  # all coefficients are held, in 16 bits
            layers: list[tuple[int, int, int, int]] = self.image.layer  # type: ignore[attr-defined]
            wide, high = (max((layer[axis] for layer in layers), default=1) for axis in (1, 2))
            blocks = sum(layer[1] * layer[2] for layer in layers) / (wide * high)
            self.cost += int(2 * blocks * self.announced[0] * self.announced[1])
        return True

    @property
    def pixels(self) -> int:
        """See Source; as many as are left at the fraction of the size."""
        return self.image.size[0] * self.image.size[1]

    def salvaged(self) -> ImageFile | None:
        """Decode once more, as if the picture ended where the file does."""
        image = open_image("JPEG", EndedFile(self.file.file, END))
        image.draft(None, self._size)
        try:
            image.load()
        except MemoryError:
            raise
        except Exception:
            return what_was_decoded(image)
        return image

    def unnoticed_damage(self) -> str | None:
        """See PillowSource."""
        if has_hole(self.file, self._survey):
            return "a part of its data is lost (zeros are in its place)"
        return None


@dataclass(frozen=True)
class Survey:
    """What the markers say.

    ``single``: all of the picture is in one scan, which begins at byte ``scan``; otherwise decoders hold all
    coefficients. ``zeros_mean_plain``: a long run of zeros in that scan may be a plain area.
    """

    single: bool
    scan: int
    zeros_mean_plain: bool


def survey(file: BoundedFile) -> Survey:
    """Read a JPEG's markers, only up to its first scan if that holds all of the picture.

    Raises ImageError for more than MAX_SCANS scans, for rubbish in the header, and where there is no picture.
    """
    components, one_pass, scans, first = 0, False, 0, 0
    plain: list[bool] = []
    for marker, start, length in _segments(file):
        if marker in _SOF:
            head = _read(file, start, 6)
            components, one_pass = head[5] if len(head) == 6 else 0, marker in _ONE_PASS
        elif marker == _DHT:
            plain += _zeros_end_blocks(_read(file, start, length))
        elif marker == _SOS:
            scans += 1
            first = first or start + length
            if one_pass and scans == 1 and _read(file, start, 1) >= bytes([components]):
                return Survey(True, first, bool(plain) and all(plain))
            if scans > MAX_SCANS:
                raise ImageError(f"the JPEG picture comes in more than {MAX_SCANS} scans")
    if not scans:
        raise ImageError("the JPEG data cannot be decoded (there is no picture in it)")
    return Survey(False, first, True)


def has_hole(file: BoundedFile, found: Survey) -> bool:
    """Return whether a part of the picture's only scan is lost and zeros are in its place.

    libjpeg decodes zeros without a complaint.
    """
    if not found.single or found.zeros_mean_plain:
        return False
    hole = _find_hole(file, found.scan)
    if hole is None:
        return False
    after = _next_marker(file, found.scan, file.size)
    return after is None or hole < after[1]


def _segments(file: BoundedFile) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, where its content begins and its length, until the picture's end."""
    position, in_scan = 2, False
    while (found := _next_marker(file, position, file.size if in_scan else _MAX_JUNK)) is not None:
        marker, start = found
        if marker == _EOI:
            return
        position = start + 2
        length = int.from_bytes(_read(file, position, 2)) - 2
        if marker not in _ALONE and length >= 0:
            yield marker, position + 2, length
            in_scan = marker == _SOS
            position += 2 + length


def _next_marker(file: BoundedFile, position: int, most: int) -> tuple[int, int] | None:
    """Return the first marker in about ``most`` bytes from ``position`` on, and where it is."""
    size, end = _SHORT, position + most  # a header's markers are near, a scan's far
    while position < end and (piece := _read(file, position, size)):
        found = _MARKER.search(piece)
        if found:
            return found[1][0], position + found.start()
        if len(piece) < size:
            return None
        position += len(piece) - 1  # a marker may lie across two pieces
        size = _LONG
    return None


def _find_hole(file: BoundedFile, position: int) -> int | None:
    while piece := _read(file, position, _LONG):
        found = piece.find(_HOLE)
        if found >= 0:
            return position + found
        if len(piece) < _LONG:
            return None
        position += len(piece) - len(_HOLE) + 1
    return None


def _zeros_end_blocks(tables: bytes) -> list[bool]:
    """Return for each of these AC tables whether its code of zero bits ends a block, so that it is plain."""
    found = []
    while len(tables) > 17:
        if tables[0] & 0x10:
            found.append(tables[17] == 0)
        tables = tables[17 + sum(tables[1:17]) :]
    return found


def _read(file: BoundedFile, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
