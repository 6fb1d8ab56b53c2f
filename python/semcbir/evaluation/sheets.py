# SPDX-License-Identifier: MIT
"""The queries that a way of ranking does worst, as one picture: each with the first images that it finds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from semcbir._printable import printable
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.measuring import SHOWN
from semcbir.pictures.draw import ALARM, FAINT, GAP, INK, MARGIN, PAPER, place_photo, thumbnail, write

_KEPT = 5_000
"""Thumbnails that are kept for the next sheet: 40 kB each."""

ROWS = 12
"""Queries of a sheet."""

_TILE = (132, 99)
_CAPTION = 36
_RIGHT = (0, 140, 60)


class Thumbnails:
    """Small photos for several sheets, each decoded once: the same ones come again and again."""

    def __init__(self) -> None:
        self.get = lru_cache(_KEPT)(lambda path: thumbnail(path, _TILE))


def sheet(
    evaluation: Evaluation, way: str, thumbnails: Thumbnails | None = None, rows: int = ROWS
) -> Image.Image:
    """Return an RGB picture of the ``rows`` queries with the lowest ``ap``, the lowest first.

    Each row is a query and, beside it, the first images that are found in the mode that is usual for the way:
    framed green if they are of its class, else red. Photos that can no longer be read are placeholders.
    ``thumbnails`` are shared by the sheets of one evaluation.
    """
    scores, small = evaluation.scores[way], thumbnails or Thumbnails()
    mode = scores.usual
    values = scores.values[mode]["ap"]
    worst = np.argsort(values, kind="stable")[:rows]
    height = _TILE[1] + _CAPTION + GAP
    width = 2 * MARGIN + (SHOWN + 1) * (_TILE[0] + GAP)
    picture = Image.new("RGB", (width, 2 * MARGIN + 30 + len(worst) * height), PAPER)
    draw = ImageDraw.Draw(picture)
    write(
        draw,
        (MARGIN, MARGIN),
        f"{evaluation.dataset.name}: the lowest ap by {way}, {mode}",
        size=18,
        fill=INK,
    )
    for row, query in enumerate(worst):
        top = MARGIN + 30 + row * height
        path, label = evaluation.asked[query], evaluation.truth.wanted[query]
        place_photo(picture, small.get(path), (MARGIN, top), _TILE)
        said = f"{printable(evaluation.dataset.class_names[label])}: {values[query]:.3f}"
        _caption(draw, (MARGIN, top), _name(evaluation, path), said)
        for place, image in enumerate(scores.first[mode][query]):
            if image >= 0:
                left = MARGIN + GAP + (place + 1) * (_TILE[0] + GAP)
                _found(picture, draw, evaluation, small, int(image), int(label), (left, top))
    return picture


def _name(evaluation: Evaluation, path: Path) -> str:
    """Return a photo's path in the folder of the data set, or its name where that says no more."""
    root = evaluation.dataset.folder
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)


def _found(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    evaluation: Evaluation,
    small: Thumbnails,
    image: int,
    label: int,
    corner: tuple[int, int],
) -> None:
    left, top = corner
    path, came = evaluation.searched[image], int(evaluation.truth.classes[image])
    place_photo(picture, small.get(path), corner, _TILE)
    colour = _RIGHT if came == label else ALARM
    draw.rectangle((left, top, left + _TILE[0] - 1, top + _TILE[1] - 1), outline=colour, width=3)
    said = printable(evaluation.dataset.class_names[came]) if came >= 0 else "distractor"
    _caption(draw, corner, _name(evaluation, path), said)


def _caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, said: str) -> None:
    """Write below a photo which it is, and what it is."""
    left, top = corner
    write(draw, (left, top + _TILE[1] + 2), name, size=12, fill=INK, width=_TILE[0])
    write(draw, (left, top + _TILE[1] + 18), said, size=12, fill=FAINT, width=_TILE[0])
