# SPDX-License-Identifier: MIT
"""Opening an image file of each kind. What is particular about a kind is in the module of its name.

These are imported when a file of their kind comes: most folders hold JPEGs alone.
"""

from __future__ import annotations

import io

from semcbir.errors import ImageError
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes
from semcbir.images.source import Source


def open_source(kind: str, file: BoundedFile) -> Source:
    """Read the header of a file of this kind. Raises ImageError if that is not possible."""
    if kind == "JPEG":
        from semcbir.images.jpeg import JpegSource

        return JpegSource(file)
    if kind == "PNG":
        from semcbir.images.png import PngSource

        return PngSource(file)
    if kind == "WebP":
        from semcbir.images.webp import WebpSource

        return WebpSource(file)
    if kind == "TIFF":
        from semcbir.images.tiff import open_tiff

        return open_tiff(file, _decode_part)
    if kind in ("BMP", "DIB"):
        from semcbir.images.bmp import open_bmp

        return open_bmp(kind, file)
    if kind == "PNM":
        from semcbir.images.pnm import Pnm

        return Pnm(file)
    from semcbir.images.pillow import PillowSource

    return PillowSource(kind, file)


def _decode_part(data: bytes, kind: str, size: tuple[int, int]) -> Bytes:
    """Decode a strip or tile of a TIFF that is a file of its own."""
    source = open_source(kind, BoundedFile(io.BytesIO(data)))
    if source.announced != size:
        raise ImageError(f"a part of the TIFF has a size of {source.announced}, expected {size}")
    return source.rgb()[0]
