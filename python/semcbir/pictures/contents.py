# SPDX-License-Identifier: MIT
"""The picture of an index's contents: a bar for each class and each group of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from semcbir._validate import counted
from semcbir.explanation import percent
from semcbir.pictures.colours import class_colour
from semcbir.pictures.draw import FAINT, GAP, INK, LINE, MARGIN, PAPER, write

if TYPE_CHECKING:
    from semcbir.index.contents import ClassTotal, Contents

MAX_ROWS = 40
"""The most classes that have a bar."""

_WIDTH, _NAME, _BAR, _NUMBER = 900, 200, 400, 90
_HEAD, _ROW = 34, 24


def contents_picture(contents: Contents, classes: Sequence[str]) -> Image.Image:
    """Return a bar for the share of each class and each group, and how many photos hold it, as RGB picture.

    ``classes`` are the names of the network's classes. A class has the colour that it has in every picture, a
    group that of the largest of its classes. There are at most MAX_ROWS classes, the largest ones.
    """
    shown = contents.classes[:MAX_ROWS]
    left_out = len(contents.classes) - len(shown)
    height = 2 * MARGIN + _HEAD + _ROW * (len(shown) + (left_out > 0))
    if contents.groups:
        height += GAP + _HEAD + _ROW * len(contents.groups)
    picture = Image.new("RGB", (_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(picture)
    top = _bars(draw, MARGIN, contents, shown, classes)
    if left_out:
        write(draw, (MARGIN, top + _ROW // 2), f"and {left_out} more", fill=FAINT, anchor="lm")
        top += _ROW
    if contents.groups:
        _bars(draw, top + GAP, contents, contents.groups, classes)
    return picture


def _bars(
    draw: ImageDraw.ImageDraw,
    top: int,
    contents: Contents,
    rows: Sequence[ClassTotal],
    classes: Sequence[str],
) -> int:
    """Draw a table that begins at ``top``; return where it ends."""
    share, images = MARGIN + _NAME + GAP + _BAR + _NUMBER, _WIDTH - MARGIN
    what = "classes" if rows is not contents.groups else "groups of classes"
    write(draw, (MARGIN, top), f"{what} of {counted(contents.images, 'photo')}", size=16)
    write(draw, (share, top + 3), "of all pixels", size=13, fill=FAINT, anchor="ra")
    least = f"photos, {100 * contents.min_share:g} % or more"
    write(draw, (images, top + 3), least, size=13, fill=FAINT, anchor="ra")
    largest = max((row.share for row in rows), default=0) or 1
    order = {row.labels[0]: place for place, row in enumerate(contents.classes)}
    top += _HEAD
    for row in rows:
        middle = top + _ROW // 2
        draw.line((MARGIN, top, _WIDTH - MARGIN, top), fill=LINE)
        write(draw, (MARGIN, middle), row.name, fill=INK, width=_NAME, anchor="lm")
        label = min(row.labels, key=lambda label: order.get(label, len(order)))
        left, length = MARGIN + _NAME + GAP, max(1, round(_BAR * row.share / largest))
        colour = class_colour(label, classes)
        draw.rectangle((left, top + 5, left + length, top + _ROW - 5), fill=colour)
        write(draw, (share, middle), percent(row.share), size=13, anchor="rm")
        write(draw, (images, middle), str(row.images), size=13, anchor="rm")
        top += _ROW
    return top
