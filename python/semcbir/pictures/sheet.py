# SPDX-License-Identifier: MIT
"""The contact sheet: a query and its hits as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from semcbir._files import short_name
from semcbir._validate import check_integer
from semcbir.pictures.draw import (
    ALARM,
    FAINT,
    GAP,
    INK,
    LINE,
    MARGIN,
    PAPER,
    Photo,
    place_photo,
    thumbnail,
    write,
)
from semcbir.pictures.grid import TILE, corners, height_of, width_of
from semcbir.results import MAX_HITS, distance_words, kept_words, penalised_words

if TYPE_CHECKING:
    from semcbir.results import Hit, Results

_WORDS = 30


def contact_sheet(
    query: Photo | None, results: Results, *, columns: int = 5, below: str | None = None, asked: str = ""
) -> Image.Image:
    """Return the query and its hits as one RGB picture, ``columns`` hits to a row.

    Each hit shows its rank, distance, histogram distance and file name; penalised ones are faded and
    labelled, and begin on a row of their own, under the text ``below`` (None: what the filter was). A photo
    that cannot be read is replaced by a placeholder. ``query`` is a path, an RGB uint8 array (H, W, 3), or
    None if there is no photo; ``asked`` is what was asked for beside it, in words. At most MAX_HITS hits are
    shown.

    Raises TypeError or ValueError unless ``columns`` is an integer from 1 to 50.
    """
    columns = check_integer("columns", columns, 1, 50)
    hits = results[:MAX_HITS]
    first = next((place for place, hit in enumerate(hits) if hit.penalized), len(hits))
    parts = hits[:first], hits[first:]
    heights = [height_of(len(part), columns) for part in parts]
    top, width = MARGIN + TILE[1] + 2 * GAP, width_of(columns)
    height = top + sum(heights) + MARGIN - GAP + (_WORDS if parts[1] else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _sheet_head(sheet, draw, query, results, asked)
    draw.line((MARGIN, top - GAP, width - MARGIN, top - GAP), fill=LINE)
    _tiles(sheet, draw, top, parts[0], columns)
    if parts[1]:
        top += heights[0]
        said = penalised_words(results) if below is None else below
        write(draw, (MARGIN, top), said, fill=ALARM, width=width - 2 * MARGIN)
        _tiles(sheet, draw, top + _WORDS, parts[1], columns)
    return sheet


def _tiles(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, top: int, hits: Sequence[Hit], columns: int
) -> None:
    for hit, corner in zip(hits, corners(len(hits), columns, top), strict=True):
        _tile(sheet, draw, corner, hit)


def _sheet_head(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, query: Photo | None, results: Results, asked: str
) -> None:
    left, room = MARGIN + TILE[0] + GAP, sheet.width - 2 * MARGIN - TILE[0] - GAP
    if query is None:
        left, room = MARGIN, sheet.width - 2 * MARGIN
    else:
        place_photo(sheet, thumbnail(query, TILE), (MARGIN, MARGIN), TILE)
    name = "" if query is None or isinstance(query, np.ndarray) else short_name(Path(query))
    shown = f"{len(results)} hits" if len(results) != 1 else "1 hit"
    if len(results) > MAX_HITS:
        shown += f", the first {MAX_HITS} shown"
    lines = [
        ("query", 22, INK),
        (name, 15, INK),
        (asked, 14, INK),
        (shown, 14, FAINT),
        (kept_words(results), 14, FAINT),
        ("d: distance, h: histogram distance", 14, FAINT),
    ]
    top = MARGIN + 8
    for text, size, colour in lines:
        if text:
            write(draw, (left, top), text, size=size, fill=colour, width=room)
            top += size + 11


def _tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], hit: Hit) -> None:
    left, top = corner
    photo = thumbnail(hit.path, TILE)
    if photo is not None and hit.penalized:
        photo = Image.blend(photo, Image.new("RGB", photo.size, PAPER), 0.55)
    x, y = place_photo(sheet, photo, corner, TILE)
    if hit.penalized:
        draw.rectangle((x, y, x + 76, y + 20), fill=ALARM)
        write(draw, (x + 38, y + 10), "penalised", size=13, fill=PAPER, anchor="mm")
    colour = ALARM if hit.penalized else INK
    base = top + TILE[1] + 6
    write(draw, (left, base), f"{hit.rank}", size=16, fill=colour)
    numbers = f"d {distance_words(hit.distance)}   h {hit.histogram_distance:.3f}"
    write(draw, (left + TILE[0], base + 2), numbers, size=13, fill=colour, anchor="ra")
    write(draw, (left, base + 21), short_name(hit.path), size=12, fill=FAINT, width=TILE[0])
