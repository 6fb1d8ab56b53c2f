# SPDX-License-Identifier: MIT
"""What decoding asks of every kind of file: a header that is read, pixels that are not decoded yet."""

from __future__ import annotations

from abc import ABC, abstractmethod

from semcbir.images.samples import Bytes

CUT_SHORT = "the file ends early"
"""What is damaged in a file whose end is missing."""
ORIENTATION = 0x0112
"""The tag of TIFF and EXIF that says how a picture is turned."""


class Source(ABC):
    """An opened image file.

    - ``announced``: width and height by the header
    - ``cost``: how many bytes decoding takes, about; ``extra``: how many more it may take in rare cases
    - ``orientation``: how EXIF says the pixels from ``rgb`` are turned, 1 to 8; other values mean nothing
    """

    announced: tuple[int, int]
    cost: int
    extra: int = 0
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """How many pixels have to be decoded; the pixel limit is for these."""
        return self.announced[0] * self.announced[1]

    def draft(self, size: tuple[int, int]) -> bool:
        """Prepare to decode at a fraction, of at least (width, height); return whether this kind can."""
        return False

    @abstractmethod
    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode: RGB (H, W, 3), not turned upright, and what is damaged (None: nothing).

        Raises ImageError, MemoryError or whatever a decoder raises if nothing can be decoded.
        """
