# SPDX-License-Identifier: MIT
"""Rendering: results and explanations as pictures and HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from semcbir.drawing import (
    ALARM,
    FAINT,
    INK,
    LINE,
    PAPER,
    Photo,
    class_colours,
    fitted,
    label_overlay,
    placeholder,
    thumbnail,
    widest_place,
    write,
)
from semcbir.images import display_path

if TYPE_CHECKING:
    from semcbir.explaining import ClassShare, Explanation
    from semcbir.extractor import Analysis
    from semcbir.searching import Hit, Results

MAX_HITS = 200
"""A sheet or notebook shows so many hits at most; beyond that a picture helps nobody."""
MAX_ROWS = 30
"""An explanation's legend has so many classes at most."""

_MARGIN, _GAP = 24, 16
_TILE = (208, 156)
_CAPTION = 44
_VIEW = (440, 330)
_ROW = 26
_LED_TO = 8
"""Small regions of so many classes are pointed at; of more the picture would be full of lines."""


def contact_sheet(query: Photo | None, results: Results, *, columns: int = 5) -> Image.Image:
    """Return the query and its hits as one RGB picture, ``columns`` hits to a row.

    Each hit shows its rank, distance, histogram distance and file name; penalised ones are faded and
    labelled. A photo that cannot be read is replaced by a placeholder. ``query`` is a path, an RGB uint8
    array (H, W, 3), or None where there is no photo. At most MAX_HITS hits are shown.

    Raises ValueError unless ``columns`` is between 1 and 50.
    """
    if not 1 <= columns <= 50:
        raise ValueError(f"columns must be between 1 and 50, got {columns}")
    hits = results[:MAX_HITS]
    rows = -(-len(hits) // columns)
    top = _MARGIN + _TILE[1] + 2 * _GAP
    # Room for the head's text, even where there are one or two columns.
    width = 2 * _MARGIN + max(columns * (_TILE[0] + _GAP) - _GAP, _TILE[0] + 240)
    height = top + rows * (_TILE[1] + _CAPTION + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _sheet_head(sheet, draw, query, results)
    draw.line((_MARGIN, top - _GAP, width - _MARGIN, top - _GAP), fill=LINE)
    for position, hit in enumerate(hits):
        row, column = divmod(position, columns)
        left = _MARGIN + column * (_TILE[0] + _GAP)
        _tile(sheet, draw, (left, top + row * (_TILE[1] + _CAPTION + _GAP)), hit)
    return sheet


def short_name(path: Path) -> str:
    """Return a file's name with its folder's: names alone are often the same in many folders."""
    return display_path(Path(*path.absolute().parts[-2:]))


def _sheet_head(sheet: Image.Image, draw: ImageDraw.ImageDraw, query: Photo | None, results: Results) -> None:
    left, room = _MARGIN + _TILE[0] + _GAP, sheet.width - 2 * _MARGIN - _TILE[0] - _GAP
    if query is None:
        left, room = _MARGIN, sheet.width - 2 * _MARGIN
    else:
        _place(sheet, thumbnail(query, _TILE), (_MARGIN, _MARGIN), _TILE)
    name = "" if query is None or isinstance(query, np.ndarray) else short_name(Path(query))
    shown = f"{len(results)} hits" if len(results) != 1 else "1 hit"
    if len(results) > MAX_HITS:
        shown += f", the first {MAX_HITS} shown"
    lines = [
        ("query", 22, INK),
        (name, 15, INK),
        (shown, 14, FAINT),
        (_kept(results), 14, FAINT),
        ("d: distance, h: histogram distance", 14, FAINT),
    ]
    top = _MARGIN + 8
    for text, size, colour in lines:
        if text:
            write(draw, (left, top), text, size=size, fill=colour, width=room)
            top += size + 11


def _kept(results: Results) -> str:
    images = "image of the index passes" if results.kept == 1 else "images of the index pass"
    return f"{results.kept} {images} the semantic filter"


def _tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], hit: Hit) -> None:
    left, top = corner
    photo = thumbnail(hit.path, _TILE)
    if photo is not None and hit.penalized:
        photo = Image.blend(photo, Image.new("RGB", photo.size, PAPER), 0.55)
    x, y = _place(sheet, photo, corner, _TILE)
    if hit.penalized:
        draw.rectangle((x, y, x + 76, y + 20), fill=ALARM)
        write(draw, (x + 38, y + 10), "penalised", size=13, fill=PAPER, anchor="mm")
    colour = ALARM if hit.penalized else INK
    base = top + _TILE[1] + 6
    write(draw, (left, base), f"{hit.rank}", size=16, fill=colour)
    numbers = f"d {_short(hit.distance)}   h {hit.histogram_distance:.3f}"
    write(draw, (left + _TILE[0], base + 2), numbers, size=13, fill=colour, anchor="ra")
    write(draw, (left, base + 21), short_name(hit.path), size=12, fill=FAINT, width=_TILE[0])


def _short(distance: float) -> str:
    # Distances of KAZE and SURF are around 1, those of SIFT are in the hundreds.
    return f"{distance:.4f}" if distance < 100 else f"{distance:.1f}"


def _place(
    sheet: Image.Image, photo: Image.Image | None, corner: tuple[int, int], box: tuple[int, int]
) -> tuple[int, int]:
    """Paste ``photo`` into the middle of ``box`` at ``corner``, return where; None gives the placeholder."""
    photo = photo or placeholder(box)
    place = (corner[0] + (box[0] - photo.width) // 2, corner[1] + (box[1] - photo.height) // 2)
    sheet.paste(photo, place)
    return place


def explanation_picture(explanation: Explanation) -> Image.Image:
    """Return both photos, both label maps over them, and what each class does, as one RGB picture.

    A class has one colour in every picture, and the number of its row of the legend (the largest share of
    the squared distance first). Where the hit's file is gone a placeholder stands for it. The legend has
    MAX_ROWS classes at most.
    """
    rows = explanation.rows[:MAX_ROWS]
    left_out = len(explanation.rows) - len(rows)
    numbers = {row.label: number for number, row in enumerate(explanation.rows, 1)}
    sides = [
        _views(analysis, numbers, explanation.recipe.void)
        for analysis in (explanation.query_analysis, explanation.hit_analysis)
    ]
    view = max(photo.height for photo, _ in sides)
    table = _MARGIN + 28 + 2 * view + 3 * _GAP + 24
    width = 2 * _MARGIN + 2 * _VIEW[0] + _GAP
    height = table + 30 + _ROW * (len(rows) + (left_out > 0)) + _MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    for side, (title, (photo, overlay)) in enumerate(zip(_titles(explanation), sides, strict=True)):
        left = _MARGIN + side * (_VIEW[0] + _GAP)
        write(draw, (left, _MARGIN), title, size=16, width=_VIEW[0])
        _place(picture, photo, (left, _MARGIN + 28), (_VIEW[0], view))
        _place(picture, overlay, (left, _MARGIN + 28 + view + _GAP), (_VIEW[0], view))
    _distances(draw, (_MARGIN, table - 28), explanation)
    _legend(draw, table, width, rows)
    if left_out:
        write(draw, (_MARGIN + 50, height - _MARGIN - 20), f"and {left_out} more", fill=FAINT)
    return picture


def _titles(explanation: Explanation) -> tuple[str, str]:
    query = f"query: {short_name(explanation.query_path)}" if explanation.query_path else "query"
    return query, f"hit: {short_name(explanation.hit.path)}"


def _views(
    analysis: Analysis | None, numbers: dict[int, int], void: int | None
) -> tuple[Image.Image, Image.Image]:
    """Return a photo, and the same under its label map with the classes' numbers."""
    if analysis is None:
        return placeholder(_VIEW), placeholder(_VIEW)
    photo = fitted(analysis.image, _VIEW)
    overlay = label_overlay(photo, analysis.label_map, void)
    _number_regions(overlay, analysis.label_map, numbers)
    return photo, overlay


def _number_regions(overlay: Image.Image, label_map: npt.NDArray[Any], numbers: dict[int, int]) -> None:
    """Write each class's number where it is widest; where that is too narrow, a line leads there."""
    draw = ImageDraw.Draw(overlay)
    scale = np.array([overlay.width / label_map.shape[1], overlay.height / label_map.shape[0]])
    discs = []
    for label, number in reversed(numbers.items()):
        mask = label_map == label
        if not mask.any():
            continue
        x, y, radius = widest_place(mask)
        spot = place = (np.array([x, y]) + 0.5) * scale
        if radius * scale.min() < 11:
            if number > _LED_TO:
                continue
            aside = [26 if spot[0] < overlay.width / 2 else -26, 26 if spot[1] < 40 else -26]
            place = spot + np.array(aside)
            draw.line((*spot, *place), fill=INK, width=2)
        discs.append(((place[0], place[1]), number))
    # Discs over lines, the first class over the others.
    for centre, number in discs:
        _disc(draw, centre, number)


def _disc(draw: ImageDraw.ImageDraw, place: tuple[float, float], number: int) -> None:
    x, y = place
    draw.ellipse((x - 10, y - 10, x + 10, y + 10), fill=INK)
    write(draw, place, str(number), size=13, fill=PAPER, anchor="mm")


def _distances(draw: ImageDraw.ImageDraw, place: tuple[int, int], explanation: Explanation) -> None:
    feature = explanation.recipe.feature().name
    text = (
        f"distance {_short(explanation.distance)} ({feature})      "
        f"histogram distance {explanation.histogram_distance:.4f}"
    )
    write(draw, place, text, size=16)


def _legend(draw: ImageDraw.ImageDraw, top: int, width: int, rows: Sequence[ClassShare]) -> None:
    """Draw a table: number and colour, class, its proportions, its share of the squared distance."""
    bar = 150
    columns = [width - _MARGIN - (bar + _GAP) * n + _GAP for n in (3, 2, 1)]
    heads = ("in the query", "in the hit", "of squared distance")
    for left, head in zip(columns, heads, strict=True):
        write(draw, (left, top + 6), head, size=13, fill=FAINT)
    for number, row in enumerate(rows, 1):
        base = top + 30 + _ROW * (number - 1)
        middle = base + _ROW // 2
        draw.line((_MARGIN, base, width - _MARGIN, base), fill=LINE)
        red, green, blue = class_colours()[row.label % 256].tolist()
        draw.rectangle((_MARGIN, base + 3, _MARGIN + 40, base + _ROW - 3), fill=(red, green, blue))
        _disc(draw, (_MARGIN + 20, middle), number)
        room = columns[0] - _MARGIN - 50 - _GAP
        write(draw, (_MARGIN + 50, middle), row.name, fill=INK, width=room, anchor="lm")
        for left, value in zip(columns, (row.query_proportion, row.hit_proportion, row.share), strict=True):
            _bar(draw, (left, middle), bar, value, (red, green, blue))


def _bar(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    value: float,
    colour: tuple[int, int, int],
) -> None:
    """Draw a share in [0, 1] as a bar and in per cent."""
    left, middle = place
    length = width - 56
    draw.rectangle((left, middle - 5, left + length, middle + 5), fill=(241, 243, 244))
    if value > 0:
        draw.rectangle((left, middle - 5, left + max(1, round(length * value)), middle + 5), fill=colour)
    ink = INK if value > 0 else FAINT
    write(draw, (left + width, middle), percent(value), size=13, fill=ink, anchor="rm")


def percent(value: float) -> str:
    """Return a share in [0, 1] in per cent; what is there but tiny is not shown as zero."""
    return "<0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def results_html(results: Results) -> str:
    """Return the hits as an HTML fragment with inline thumbnails, at most MAX_HITS of them."""
    tiles = "".join(_html_tile(hit) for hit in results[:MAX_HITS])
    more = f" The first {MAX_HITS} of {len(results)} hits." if len(results) > MAX_HITS else ""
    return (
        f'<div><div style="margin:4px 0">{_kept(results)}.{more}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:10px">{tiles}</div></div>'
    )


def _html_tile(hit: Hit) -> str:
    photo = thumbnail(hit.path, (160, 120)) or placeholder((160, 120))
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=80)
    source = base64.b64encode(data.getvalue()).decode()
    path = html.escape(display_path(hit.path))
    name = html.escape(short_name(hit.path))
    mark = ' <b style="color:#be1e2d">penalised</b>' if hit.penalized else ""
    fade = "opacity:.45;" if hit.penalized else ""
    return (
        f'<figure style="margin:0;width:160px;font-size:12px" title="{path}">'
        f'<div style="height:120px;display:flex;align-items:center;justify-content:center;{fade}">'
        f'<img alt="{name}" src="data:image/jpeg;base64,{source}"></div>'
        f"<figcaption><b>{hit.rank}</b>{mark} d {_short(hit.distance)} h {hit.histogram_distance:.3f}"
        f'<div style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{name}</div>'
        f"</figcaption></figure>"
    )
