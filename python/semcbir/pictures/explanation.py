# SPDX-License-Identifier: MIT
"""The picture of an explanation: both photos, both label maps, and each class's part of the distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from PIL import Image, ImageDraw

from semcbir._files import short_name
from semcbir.explanation import MAX_ROWS, label_colours, percent, proportions, remark
from semcbir.pictures.colours import Colour
from semcbir.pictures.draw import (
    FAINT,
    GAP,
    INK,
    LINE,
    MARGIN,
    PAPER,
    fitted,
    label_overlay,
    place_photo,
    placeholder,
    write,
)
from semcbir.pictures.numbers import RADIUS, number_places
from semcbir.results import distance_words

if TYPE_CHECKING:
    from semcbir.explanation import ClassShare, Explanation
    from semcbir.extractor import Analysis

_VIEW = (440, 330)
_ROW = 26


def explanation_picture(explanation: Explanation) -> Image.Image:
    """Return both photos, their label maps over them, and each class's part, as one RGB picture.

    A class has one colour, in both label maps and the legend, that differs clearly from the others' (see
    ``picture_colours``), and the number of its row in the legend (the largest share of the squared distance
    first). If the hit's file is gone, a placeholder stands for it. The legend has at most MAX_ROWS classes.
    """
    rows = explanation.rows[:MAX_ROWS]
    left_out = len(explanation.rows) - len(rows)
    n_classes = explanation.recipe.n_classes  # the label of the whole row, and perhaps of void pixels
    numbers = {row.label: number for number, row in enumerate(rows, 1) if row.label != n_classes}
    colours, on_maps = label_colours(explanation)
    sides = [
        _views(analysis, numbers, on_maps)
        for analysis in (explanation.query_analysis, explanation.hit_analysis)
    ]
    view = max(photo.height for photo, _ in sides)
    table = MARGIN + 28 + 2 * view + 3 * GAP + 24
    width = 2 * MARGIN + 2 * _VIEW[0] + GAP
    height = table + 30 + _ROW * (len(rows) + (left_out > 0)) + MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    for side, (title, (photo, overlay)) in enumerate(zip(_titles(explanation), sides, strict=True)):
        left = MARGIN + side * (_VIEW[0] + GAP)
        write(draw, (left, MARGIN), title, size=16, width=_VIEW[0])
        place_photo(picture, photo, (left, MARGIN + 28), (_VIEW[0], view))
        place_photo(picture, overlay, (left, MARGIN + 28 + view + GAP), (_VIEW[0], view))
    _distances(draw, (MARGIN, table - 28), explanation)
    _legend(draw, table, width, rows, colours)
    if left_out:
        write(draw, (MARGIN + 50, height - MARGIN - 20), f"and {left_out} more", fill=FAINT)
    return picture


def _titles(explanation: Explanation) -> tuple[str, str]:
    query = f"query: {short_name(explanation.query_path)}" if explanation.query_path else "query"
    return query, f"hit: {short_name(explanation.hit.path)}"


def _views(
    analysis: Analysis | None, numbers: dict[int, int], colours: dict[int, Colour]
) -> tuple[Image.Image, Image.Image]:
    """Return a photo, and the photo under its label map with the classes' numbers."""
    if analysis is None:
        return placeholder(_VIEW), placeholder(_VIEW)
    photo = fitted(analysis.image, _VIEW)
    overlay = label_overlay(photo, analysis.label_map, colours)
    _number_regions(overlay, analysis.label_map, numbers)
    return photo, overlay


def _number_regions(overlay: Image.Image, label_map: npt.NDArray[Any], numbers: dict[int, int]) -> None:
    """Write each class's number on the class; if that is too narrow, a line leads to it."""
    draw = ImageDraw.Draw(overlay)
    places = number_places(label_map, numbers, overlay.size)
    for place in places:
        draw.line((*place.spot, *place.centre), fill=INK, width=2)
    for place in places:  # discs go over lines
        _disc(draw, place.centre, place.number)


def _disc(draw: ImageDraw.ImageDraw, place: tuple[float, float], number: int) -> None:
    x, y = place
    draw.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=INK)
    write(draw, place, str(number), size=13, fill=PAPER, anchor="mm")


def _distances(draw: ImageDraw.ImageDraw, place: tuple[int, int], explanation: Explanation) -> None:
    feature = explanation.recipe.feature().name
    text = (
        f"distance {distance_words(explanation.distance)} ({feature})      "
        f"histogram distance {explanation.histogram_distance:.4f}"
    )
    write(draw, place, text, size=16)


def _legend(
    draw: ImageDraw.ImageDraw,
    top: int,
    width: int,
    rows: Sequence[ClassShare],
    colours: dict[int, Colour],
) -> None:
    """Draw a table: number and colour, class, its proportions, its share of the squared distance."""
    bar = 150
    columns = [width - MARGIN - (bar + GAP) * n + GAP for n in (3, 2, 1)]
    heads = ("in the query", "in the hit", "of squared distance")
    for left, head in zip(columns, heads, strict=True):
        write(draw, (left, top + 6), head, size=13, fill=FAINT)
    for number, row in enumerate(rows, 1):
        base = top + 30 + _ROW * (number - 1)
        middle = base + _ROW // 2
        draw.line((MARGIN, base, width - MARGIN, base), fill=LINE)
        colour = colours[row.label]
        draw.rectangle((MARGIN, base + 3, MARGIN + 40, base + _ROW - 3), fill=colour)
        _disc(draw, (MARGIN + 20, middle), number)
        room = columns[0] - MARGIN - 50 - GAP
        write(draw, (MARGIN + 50, middle), _named(row), fill=INK, width=room, anchor="lm")
        for left, value in zip(columns, (*proportions(row), row.share), strict=True):
            if value is not None:
                _bar(draw, (left, middle), bar, value, colour)


def _named(row: ClassShare) -> str:
    said = remark(row)
    return f"{row.name} ({said[said.index('no keypoints') :]})" if "no keypoints" in said else row.name


def _bar(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    value: float,
    colour: tuple[int, int, int],
) -> None:
    """Draw a share in [0, 1] as a bar and as a percentage."""
    left, middle = place
    length = width - 56
    draw.rectangle((left, middle - 5, left + length, middle + 5), fill=(241, 243, 244))
    if value > 0:
        draw.rectangle((left, middle - 5, left + max(1, round(length * value)), middle + 5), fill=colour)
    ink = INK if value > 0 else FAINT
    write(draw, (left + width, middle), percent(value), size=13, fill=ink, anchor="rm")
