# SPDX-License-Identifier: MIT
"""Files as decoders see them: with a bound on what they may make of them."""

from __future__ import annotations

import os
from typing import IO

from semcbir.errors import ImageError

_READS, _BYTES_FOR_A_READ = 100_000, 1024


class BoundedFile:
    """An open file that a decoder may ask only so often: it ends headers that go on for ever.

    Pillow looks through rubbish a byte at a time; sound files are read in far larger pieces.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._left = _READS + self.size // _BYTES_FOR_A_READ
        self.seek, self.tell, self.fileno, self.flush = file.seek, file.tell, file.fileno, file.flush

    def read(self, count: int = -1) -> bytes:
        """Read as ``file`` does. Raises ImageError after too many calls.

        Python takes memory for as many bytes as are asked for, even if there are far fewer.
        """
        self._left -= 1
        if self._left < 0:
            raise ImageError("there is too much rubbish in it: its parts are too many or too small")
        return self.file.read(min(count, self.size))


class EndedFile(BoundedFile):
    """A file, and then ``end`` for ever: for a decoder that waits for it."""

    def __init__(self, file: IO[bytes], end: bytes) -> None:
        super().__init__(file)
        self._end = end

    def read(self, count: int = -1) -> bytes:
        """Read as ``file`` does, and ``end`` after its end."""
        return super().read(count) or self._end


def check_pixels(size: tuple[int, int], count: int, limit: int | None) -> None:
    """Raise ImageError if more than ``limit`` (None: no limit) pixels of a picture would be decoded."""
    if limit is not None and count > limit:
        raise ImageError(f"{size[0]} x {size[1]} pixels exceed the limit of {limit} pixels")


def check_size(size: int, limit: int) -> None:
    """Raise ImageError if a file of ``size`` bytes is larger than ``limit``."""
    if size > limit:
        raise ImageError(f"the file is too large: {size} bytes, at most {limit} are read")
