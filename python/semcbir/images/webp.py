# SPDX-License-Identifier: MIT
"""WebP files: opening one with Pillow already takes memory for the picture."""

from __future__ import annotations

from semcbir.errors import ImageError
from semcbir.images.convert import to_rgb
from semcbir.images.pillow import PillowSource, pillow_limit_lifted
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes


class WebpSource(PillowSource):
    """A WebP: opening it already takes memory for the picture, so its size is read here first."""

    def __init__(self, file: BoundedFile) -> None:
        self.kind, self.file = "WebP", file
        self.announced = _webp_size(file.read(30))
        self.cost = self.pixels * 18 + 2 * file.size

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        with pillow_limit_lifted(self.pixels):
            self.image = self.opened()
        if self.image.size != self.announced:
            raise ImageError("the WebP header cannot be read (it gives two sizes)")
        return super().rgb()

    def converted(self) -> Bytes:
        """See PillowSource."""
        vars(self.image).update(_decoder=None, fp=None)  # three times as much as the picture
        return to_rgb(self.image)


def _webp_size(head: bytes) -> tuple[int, int]:
    """Return the width and height of the canvas from the first 30 bytes."""
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a" and len(head) == 30:
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if kind == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) == 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    raise ImageError("the WebP header cannot be read (there is no picture at its beginning)")
