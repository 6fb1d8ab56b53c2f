# SPDX-License-Identifier: MIT
"""PNG files: those that Pillow refuses for what does not matter, and damage that it passes over."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from semcbir._files import reason
from semcbir.errors import ImageError
from semcbir.images import deep
from semcbir.images.convert import to_rgb
from semcbir.images.limits import MAX_WHOLE
from semcbir.images.pillow import PillowSource, open_image
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes
from semcbir.images.source import CUT_SHORT

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT")
_PIECE = 2**20


class PngSource(PillowSource):
    """A PNG, whose metadata may be damaged; where it must be, colour of 16 bits is decoded twice."""

    def __init__(self, file: BoundedFile) -> None:
        self._note: str | None = None
        super().__init__("PNG", file)
        self._modes = deep.raw_modes(self.image)
        self.extra = 4 * self.pixels * deep.is_deep(self._modes)
        _scale_transparency(self.image, self._modes)

    def opened(self) -> ImageFile:
        """Return the image; without its metadata if that is what cannot be read."""
        try:
            return open_image("PNG", self.file)
        except ImageError as error:
            if self.file.size > MAX_WHOLE:
                raise
            try:
                image = self._repaired()
            except ImageError:
                raise error from None
            self._note = f"its header is damaged ({reason(error.__cause__ or error)})"
            return image

    def _repaired(self) -> ImageFile:
        return open_image("PNG", BoundedFile(io.BytesIO(repaired(self.file))))

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        pixels, note = super().rgb()
        return pixels, note or self._note

    def converted(self) -> Bytes:
        """See PillowSource."""
        if not deep.is_deep(self._modes):
            return to_rgb(self.image)
        transparent = self.image.info.pop("transparency", None)
        if transparent or deep.may_be_narrow(self.image):
            return deep.converted(self.image, self.opened(), transparent)
        return to_rgb(self.image)

    def unnoticed_damage(self) -> str | None:
        """See PillowSource."""
        return damage(self.file)


def _scale_transparency(image: ImageFile, modes: list[str]) -> None:
    """Bring the transparent grey of a PNG of 1, 2 or 4 bits to the 8 bits that its pixels get."""
    transparent = image.info.get("transparency")
    depth = {"1": 1, "L;2": 2, "L;4": 4}.get(modes[0]) if modes else None
    if depth and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)


def damage(file: BoundedFile) -> str | None:
    """Return what is wrong with a PNG's picture data, by its checksums and its end; None if it is sound."""
    wrong = None
    for kind, start, length in _chunks(file):
        if kind == b"IEND":
            return wrong
        if kind == b"IDAT" and not wrong and not _is_sound(file, kind, start, length):
            wrong = "the checksum of its picture data is wrong"
    return CUT_SHORT


def repaired(file: BoundedFile) -> bytes:
    """Return the PNG with only the chunks that its picture needs, their checksums put right, and an end.

    That picture is the one that viewers without animation show.
    """
    parts = [_SIGNATURE]
    for kind, start, length in _chunks(file):
        if kind in _KEPT:
            file.seek(start)
            parts.append(_chunk(kind, file.read(length)))
        if kind == b"IEND":
            break
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunks(file: BoundedFile) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, where its data begins and how long it claims to be, while that makes sense."""
    position = len(_SIGNATURE)
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        length = int.from_bytes(head[:4])
        yield head[4:], position + 8, length
        position += 12 + length


def _is_sound(file: BoundedFile, kind: bytes, start: int, length: int) -> bool:
    file.seek(start)
    checksum = zlib.crc32(kind)
    while length > 0:
        piece = file.read(min(length, _PIECE))
        if not piece:
            return False
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return file.read(4) == checksum.to_bytes(4)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
