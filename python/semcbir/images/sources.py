# SPDX-License-Identifier: MIT
"""Opening an image file of each kind: who reads it, and what is particular about the kind."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from semcbir._files import reason
from semcbir.errors import ImageError
from semcbir.images import bmp, deep, jpeg, png
from semcbir.images.chatter import hear_libtiff
from semcbir.images.convert import to_rgb
from semcbir.images.limits import MAX_WHOLE, PIXEL_BYTES
from semcbir.images.pillow import (
    PillowSource,
    open_image,
    pillow_limit_lifted,
    what_was_decoded,
)
from semcbir.images.pnm import Pnm
from semcbir.images.reading import BoundedFile, EndedFile
from semcbir.images.samples import Bytes, as_8_bits
from semcbir.images.source import ORIENTATION, Source
from semcbir.images.tiff_layout import SIGNED, UNSIGNED, Layout, full_page, layout_of, pillow_is_wrong
from semcbir.images.tiff_page import open_page

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile


def open_source(kind: str, file: BoundedFile) -> Source:
    """Read the header of a file of this kind. Raises ImageError if that is not possible."""
    if kind == "JPEG":
        return JpegSource(file)
    if kind == "PNG":
        return PngSource(file)
    if kind == "WebP":
        return WebpSource(file)
    if kind == "TIFF":
        return _open_tiff(file)
    if kind in ("BMP", "DIB"):
        return _open_bmp(kind, file)
    return Pnm(file) if kind == "PNM" else PillowSource(kind, file)


class JpegSource(PillowSource):
    """A JPEG: decoded at a fraction of its size where that is enough."""

    def __init__(self, file: BoundedFile) -> None:
        self._survey = jpeg.survey(file)
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
        image = open_image("JPEG", EndedFile(self.file.file, jpeg.END))
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
        if jpeg.has_hole(self.file, self._survey):
            return "a part of its data is lost (zeros are in its place)"
        return None


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
        return open_image("PNG", BoundedFile(io.BytesIO(png.repaired(self.file))))

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        pixels, note = super().rgb()
        return pixels, note or self._note

    def converted(self) -> Bytes:
        """See PillowSource."""
        if not deep.is_deep(self._modes):
            return to_rgb(self.image)
        transparent = self.image.info.pop("transparency", None)
        return (
            _deep(self, transparent) if transparent or deep.may_be_narrow(self.image) else to_rgb(self.image)
        )

    def unnoticed_damage(self) -> str | None:
        """See PillowSource."""
        return png.damage(self.file)


def _scale_transparency(image: ImageFile, modes: list[str]) -> None:
    """Bring the transparent grey of a PNG of 1, 2 or 4 bits to the 8 bits that its pixels get."""
    transparent = image.info.get("transparency")
    depth = {"1": 1, "L;2": 2, "L;4": 4}.get(modes[0]) if modes else None
    if depth and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)


def _deep(source: PngSource | TiffSource, transparent: Any) -> Bytes:
    other = source.opened()
    deep.take_lower_bytes(other)
    other.load()
    pixels = deep.deep_rgb(source.image, other, transparent)
    return to_rgb(source.image) if pixels is None else pixels


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


class TiffSource(PillowSource):
    """A page of a TIFF that Pillow decodes."""

    def __init__(self, file: BoundedFile, page: int, layout: Layout) -> None:
        self._page, self._layout = page, layout
        hear_libtiff()
        super().__init__("TIFF", file)
        self._modes = deep.raw_modes(self.image)
        self.extra = 4 * self.pixels * deep.is_deep(self._modes)

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
            return _deep(self, None)
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


def _open_tiff(file: BoundedFile) -> Source:
    number, tags = full_page(file)
    layout = layout_of(tags, file.size)
    if not pillow_is_wrong(layout):
        try:
            return TiffSource(file, number, layout)
        except ImageError as error:
            if error.transient:
                raise
    try:
        return open_page(file, layout, _turned(tags), _decode_part)
    except ImageError:
        if layout.planar or layout.bits[0] < (32 if layout.kind == UNSIGNED else 16):
            raise
        try:
            source = TiffSource(file, number, layout)
        except ImageError:
            source = None
        if source is None or source.image.mode not in ("I", "F"):
            raise
        return source


def _turned(tags: ImageFileDirectory_v2) -> int:
    value = tags.get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _decode_part(data: bytes, kind: str, size: tuple[int, int]) -> Bytes:
    """Decode a strip or tile of a TIFF that is a file of its own."""
    source = open_source(kind, BoundedFile(io.BytesIO(data)))
    if source.announced != size:
        raise ImageError(f"a part of the TIFF has a size of {source.announced}, expected {size}")
    return source.rgb()[0]


def _open_bmp(kind: str, file: BoundedFile) -> Source:
    try:
        return PillowSource(kind, file)
    except ImageError:
        header = 14 if kind == "BMP" else 0
        if not bmp.reads(file, header):
            raise
        return bmp.BitFields(file, header)
