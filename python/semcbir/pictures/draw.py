# SPDX-License-Identifier: MIT
"""Text, photos and label maps on Pillow images."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from semcbir.errors import ImageError
from semcbir.images.decode import as_image, load_image
from semcbir.pictures.colours import Colour

Photo = str | os.PathLike[str] | npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK: Colour = (32, 33, 36)
FAINT: Colour = (112, 117, 122)
ALARM: Colour = (190, 30, 45)
PAPER: Colour = (255, 255, 255)
LINE: Colour = (218, 220, 224)
MARGIN, GAP = 24, 16
ELLIPSIS = "…"
_WIDE_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
)


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    *,
    size: int = 14,
    fill: Colour = INK,
    width: float = float("inf"),
    anchor: str = "la",
) -> None:
    """Write ``text`` on one line, shortened in the middle to at most ``width`` pixels."""
    font, text = _font(text, size)
    draw.text(place, shortened(text, font, width), fill=fill, font=font, anchor=anchor)


def shortened(text: str, font: Font, width: float) -> str:
    """Return ``text``, or its beginning and end around an ellipsis if it is wider than ``width``.

    The end of a file name, with its number and suffix, often says more than the middle.
    """
    if font.getlength(text) <= width:
        return text
    for kept in range(min(len(text) - 1, 200), 0, -1):
        end = kept // 2
        short = text[: kept - end] + ELLIPSIS + text[len(text) - end :]
        if font.getlength(short) <= width:
            return short
    return ELLIPSIS


def _font(text: str, size: int) -> tuple[Font, str]:
    """Return a font for ``text``, and ``text``; without such a font, "?" replaces what is not ASCII."""
    if text.replace(ELLIPSIS, "").isascii():
        return _default_font(size), text
    wide = _wide_font(size)
    if wide is not None:
        return wide, text
    return _default_font(size), text.encode("ascii", "replace").decode()


@functools.cache
def _default_font(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.cache
def _wide_font(size: int) -> Font | None:
    # Pillow's own font is plain ASCII; the system's fonts may have the rest.
    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def thumbnail(photo: Photo, box: tuple[int, int]) -> Image.Image | None:
    """Return ``photo`` fitted into ``box`` (width, height), or None if it cannot be read."""
    try:
        if isinstance(photo, np.ndarray):
            pixels = as_image(photo, 2 * max(box))
        else:
            pixels = load_image(photo, 2 * max(box))
    except ImageError:
        return None
    return fitted(pixels, box)


def fitted(pixels: npt.NDArray[np.uint8], box: tuple[int, int]) -> Image.Image:
    """Return RGB uint8 (H, W, 3) scaled to just fit into ``box`` (width, height)."""
    image = Image.fromarray(pixels)
    scale = min(box[0] / image.width, box[1] / image.height)
    # At least one pixel each way: a very long photo would shrink to nothing.
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def placeholder(box: tuple[int, int]) -> Image.Image:
    """Return the picture that stands for a photo that cannot be read."""
    width, height = box
    image = Image.new("RGB", box, (241, 243, 244))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, height - 1), outline=LINE)
    draw.line((0, 0, width, height), fill=LINE)
    draw.line((0, height, width, 0), fill=LINE)
    write(draw, (width / 2, height / 2), "cannot be read", fill=FAINT, width=width - 8, anchor="mm")
    return image


def place_photo(
    sheet: Image.Image, photo: Image.Image | None, corner: tuple[int, int], box: tuple[int, int]
) -> tuple[int, int]:
    """Paste ``photo`` (None: a placeholder) into the middle of ``box`` at ``corner``; return its place."""
    photo = photo or placeholder(box)
    place = (corner[0] + (box[0] - photo.width) // 2, corner[1] + (box[1] - photo.height) // 2)
    sheet.paste(photo, place)
    return place


def label_overlay(
    photo: Image.Image, label_map: npt.NDArray[np.uint16], colours: Mapping[int, Colour]
) -> Image.Image:
    """Return ``photo`` under the colours of its label map (H, W) of any size, white where classes meet.

    ``colours`` has a colour for every label that occurs.
    """
    size = (photo.width, photo.height)
    # OpenCV's nearest neighbour keeps labels as they are, but cannot resize every integer type.
    labels = cv2.resize(label_map.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST_EXACT)
    present, places = np.unique(labels, return_inverse=True)
    paint = np.array([colours[int(label)] for label in present])[places.reshape(labels.shape)]
    mixed = np.rint(0.35 * np.asarray(photo) + 0.65 * paint)
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    mixed[edge] = PAPER
    return Image.fromarray(mixed.astype(np.uint8))


def widest_place(mask: npt.NDArray[np.bool_]) -> tuple[int, int, float]:
    """Return (x, y, radius) of the largest disc inside ``mask`` (H, W): the best place for a number."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(x), int(y), float(inside[y, x])
