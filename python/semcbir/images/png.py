# SPDX-License-Identifier: MIT
"""PNG files: those that Pillow refuses for what does not matter, and damage that it passes over."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from semcbir.images.reading import BoundedFile
from semcbir.images.source import CUT_SHORT

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT")
_PIECE = 2**20


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
