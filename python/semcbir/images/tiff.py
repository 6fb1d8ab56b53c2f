# SPDX-License-Identifier: MIT
"""TIFF files: their picture, decoded by Pillow where that is right, and page by page where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from semcbir._files import reason
from semcbir.errors import ImageError
from semcbir.images import deep
from semcbir.images.chatter import hear_libtiff
from semcbir.images.convert import to_rgb
from semcbir.images.pillow import PillowSource, open_image
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes, as_8_bits
from semcbir.images.source import ORIENTATION, Source
from semcbir.images.tiff_layout import SIGNED, UNSIGNED, Layout, full_page, layout_of, pillow_is_wrong
from semcbir.images.tiff_page import Decode, open_page

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile


def open_tiff(file: BoundedFile, decode: Decode) -> Source:
    """Read the header of a TIFF; ``decode`` is for strips and tiles that are image files.

    Raises ImageError if it cannot be read, saying what it is.
    """
    page = full_page(file)
    layout = layout_of(page, file.size)
    if not pillow_is_wrong(layout):
        try:
            return TiffSource(file, page.number, layout)
        except ImageError as error:
            if error.transient:
                raise
    try:
        return open_page(file, layout, _turned(page.tags), decode)
    except ImageError:
        if layout.planar or layout.bits[0] < (32 if layout.kind == UNSIGNED else 16):
            raise
        try:
            source = TiffSource(file, page.number, layout)
        except ImageError:
            source = None
        if source is None or source.image.mode not in ("I", "F"):
            raise
        return source


class TiffSource(PillowSource):
    """A page of a TIFF that Pillow decodes."""

    def __init__(self, file: BoundedFile, page: int, layout: Layout) -> None:
        self._page, self._layout = page, layout
        hear_libtiff()
        super().__init__("TIFF", file)
        self._modes = deep.raw_modes(self.image)
        self.extra = 4 * self.pixels * deep.is_deep(self._modes)
        # libtiff and Pillow hold a strip or tile each; tiles may be larger than the picture.
        beyond = max(0, layout.tile[0] * layout.tile[1] - self.pixels)
        self.cost += 2 * layout.part_bytes(beyond)
        self.extra += 2 * layout.part_bytes(layout.tile[0] * layout.tile[1] - beyond)

    def opened(self) -> ImageFile:
        """Return the image, at its page."""
        image = open_image("TIFF", self.file)
        try:
            image.seek(self._page)
        except (EOFError, SyntaxError, ValueError, OSError) as error:
            raise ImageError(f"the TIFF header cannot be read ({reason(error)})") from error
        return image

    def converted(self) -> Bytes:
        """See PillowSource."""
        if self.image.mode in ("I", "F"):
            return self._grey_numbers()
        if deep.is_deep(self._modes) and deep.may_be_narrow(self.image):
            return deep.converted(self.image, self.opened(), None)
        return to_rgb(self.image)

    def _grey_numbers(self) -> Bytes:
        layout = self._layout
        kind = (
            "f4"
            if self.image.mode == "F"
            else f"{'i' if layout.kind == SIGNED else 'u'}{layout.bits[0] // 8}"
        )
        grey = as_8_bits(np.asarray(self.image).astype(kind))
        grey = 255 - grey if layout.colour == 0 else grey  # 0: WhiteIsZero
        return np.ascontiguousarray(np.broadcast_to(grey[..., np.newaxis], (*grey.shape, 3)))


def _turned(tags: ImageFileDirectory_v2) -> int:
    value = tags.get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1
