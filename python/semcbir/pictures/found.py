# SPDX-License-Identifier: MIT
"""The contact sheet of photos that were found by the classes that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from semcbir._files import short_name
from semcbir._validate import check_integer, counted
from semcbir.pictures.draw import FAINT, GAP, INK, LINE, MARGIN, PAPER, place_photo, thumbnail, write
from semcbir.pictures.grid import TILE, corners, height_of, width_of
from semcbir.results import MAX_HITS

if TYPE_CHECKING:
    from semcbir.finding import FoundImage, FoundImages

_HEAD = 84


def found_sheet(found: FoundImages, title: str, *, columns: int = 5) -> Image.Image:
    """Return a page of found photos as one RGB picture, ``columns`` photos to a row, under a ``title``.

    Each photo shows its rank, how much of it each class is that was asked for, and its name. One that cannot
    be read is replaced by a placeholder. At most MAX_HITS photos are shown.

    Raises TypeError or ValueError unless ``columns`` is an integer from 1 to 50.
    """
    columns = check_integer("columns", columns, 1, 50)
    images = found[:MAX_HITS]
    width = width_of(columns)
    sheet = Image.new("RGB", (width, _HEAD + height_of(len(images), columns) + MARGIN - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN), title, size=18, width=width - 2 * MARGIN)
    write(draw, (MARGIN, MARGIN + 28), _words(found), fill=FAINT, width=width - 2 * MARGIN)
    draw.line((MARGIN, _HEAD - GAP // 2, width - MARGIN, _HEAD - GAP // 2), fill=LINE)
    for image, corner in zip(images, corners(len(images), columns, _HEAD), strict=True):
        _tile(sheet, draw, corner, image)
    return sheet


def _words(found: FoundImages) -> str:
    words = counted(found.total, "photo")
    if found.pages > 1:
        words += f", page {found.page} of {found.pages}"
    return words if len(found) <= MAX_HITS else f"{words}, the first {MAX_HITS} shown"


def _tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], image: FoundImage) -> None:
    left, top = corner
    place_photo(sheet, thumbnail(image.path, TILE), corner, TILE)
    base = top + TILE[1] + 6
    write(draw, (left, base), f"{image.rank}", size=16)
    shares = "   ".join(f"{name} {share:.0%}" for name, share in image.shares.items())
    write(draw, (left + TILE[0], base + 2), shares, size=13, fill=INK, width=TILE[0] - 48, anchor="ra")
    write(draw, (left, base + 21), short_name(image.path), size=12, fill=FAINT, width=TILE[0])
