# SPDX-License-Identifier: MIT
"""PNM files (PBM, PGM, PPM; P1 to P6): Pillow reads most of them a sample at a time in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcbir.errors import ImageError
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes, scaled_to_8_bits
from semcbir.images.source import CUT_SHORT, Source

_HEAD_BYTES = 2**16
_MOST_TEXT = 2**26
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NUMBER = rb"(\d{1,10})"
_NOT_A_HEADER = "the PNM header cannot be read"
_NOT_NUMBERS = "the PNM data cannot be decoded (it holds other things than numbers)"
_PIECE = 2**18
"""So many bytes of text are taken apart at a time: each of their words takes up to 60 bytes."""
_LONGEST_WORD = 4300  # the most digits that Python makes a number of


class Pnm(Source):
    """A picture of one bit (P1, P4), grey (P2, P5) or colour (P3, P6), as text or as bytes."""

    def __init__(self, file: BoundedFile) -> None:
        head = file.read(_HEAD_BYTES)
        self._kind = head[1] - ord("0")
        numbers = 2 if self._kind in (1, 4) else 3
        found = re.match(rb"P\d" + (_SPACE + _NUMBER) * numbers + rb"\s", head)
        if not found:
            raise ImageError(_NOT_A_HEADER)
        width, height, white = (int(number) for number in (*found.groups(), b"1")[:3])
        if min(width, height) < 1 or not 1 <= white <= 65535:
            raise ImageError(f"{_NOT_A_HEADER} (a size of {width} x {height}, white of {white})")
        if self._kind < 4 and file.size > _MOST_TEXT:
            raise ImageError(f"a PNM file written as text is read up to {_MOST_TEXT} bytes, got {file.size}")
        self._file, self._start, self._white = file, found.end(), white
        self._channels = 3 if self._kind in (3, 6) else 1
        self.announced = (width, height)
        self.cost = self.pixels * self._channels * (18 if self._kind < 4 else 2 if white < 256 else 4)
        self.cost += self.pixels * 3 + (64 * _PIECE if self._kind < 4 else 0)

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        (width, height), channels = self.announced, self._channels
        wanted = width * height * channels
        self._file.seek(self._start)
        values: NDArray[Any] = self._text(wanted) if self._kind < 4 else self._binary(wanted)
        note = CUT_SHORT if len(values) < wanted else None
        if not len(values):
            raise ImageError("the PNM file ends before its picture begins")
        if note:
            values = np.pad(values, (0, wanted - len(values)))
        scaled: Bytes = scaled_to_8_bits(values.reshape(height, width, channels), self._white)
        if self._kind in (1, 4):
            scaled = 255 - scaled  # 1 is black
        return np.ascontiguousarray(np.broadcast_to(scaled, (height, width, 3))), note

    def _binary(self, wanted: int) -> NDArray[Any]:
        width, height = self.announced
        if self._kind == 4:
            stride = (width + 7) // 8
            packed = np.frombuffer(self._file.read(stride * height), np.uint8)
            rows = packed[: len(packed) // stride * stride].reshape(-1, stride)
            return np.unpackbits(rows, axis=1)[:, :width].reshape(-1)
        kind = np.dtype(np.uint8 if self._white < 256 else ">u2")
        data = self._file.read(wanted * kind.itemsize)
        return np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)

    def _text(self, wanted: int) -> NDArray[Any]:
        """Return ``wanted`` numbers, or as many as there are."""
        found, count = np.empty(wanted, np.int64), 0
        try:
            for words in self._words():
                numbers = np.fromiter(map(int, words[: wanted - count]), np.int64)
                found[count : count + len(numbers)] = numbers
                count += len(numbers)
                if count == wanted:
                    break
        except ValueError:
            raise ImageError(_NOT_NUMBERS) from None
        found = found[:count]
        if len(found) and found.min() < 0:
            raise ImageError("the PNM data cannot be decoded (a negative number)")
        return found

    def _words(self) -> Iterator[list[bytes]]:
        """Yield the words of the text without its comments, a piece of it at a time."""
        rest, in_comment = b"", False
        while piece := self._file.read(_PIECE):
            text = b"#" * in_comment + piece
            in_comment = text.rfind(b"#") > max(text.rfind(b"\n"), text.rfind(b"\r"))
            text = rest + re.sub(rb"#[^\r\n]*", b" ", text)
            words, rest = text.split(), b""
            if self._kind == 1:  # digits need no spaces
                words = [bytes([digit]) for digit in b"".join(words)]
            elif words and not text[-1:].isspace():
                rest = words.pop()
                if len(rest) > _LONGEST_WORD:
                    raise ImageError(_NOT_NUMBERS)
            yield words
        yield [rest] if rest else []
