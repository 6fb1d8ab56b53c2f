# SPDX-License-Identifier: MIT
"""The queries that a way of ranking does worst, as one picture: each with the first images that it finds."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from semcbir._printable import printable
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.measuring import SHOWN
from semcbir.evaluation.tables import usual_mode
from semcbir.pictures.draw import ALARM, FAINT, GAP, INK, MARGIN, PAPER, place_photo, thumbnail, write

ROWS = 12
"""Queries of a sheet."""

_TILE = (132, 99)
_CAPTION = 20
_RIGHT = (0, 140, 60)


def sheet(evaluation: Evaluation, way: str, rows: int = ROWS) -> Image.Image:
    """Return an RGB picture of the ``rows`` queries with the lowest ``ap``, the lowest first.

    Each row is a query and, beside it, the first images that are found in the mode of a search by default:
    framed green if they are of its class, else red. Photos that can no longer be read are placeholders.
    """
    scores = evaluation.scores[way]
    mode = usual_mode(scores)
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
        place_photo(picture, thumbnail(path, _TILE), (MARGIN, top), _TILE)
        name = (
            f"{printable(path.name)}, {printable(evaluation.dataset.class_names[label])}: {values[query]:.3f}"
        )
        write(draw, (MARGIN, top + _TILE[1] + 2), name, size=12, fill=INK, width=_TILE[0] + GAP)
        for place, image in enumerate(scores.first[mode][query]):
            if image >= 0:
                left = MARGIN + GAP + (place + 1) * (_TILE[0] + GAP)
                _found(picture, draw, evaluation, int(image), int(label), (left, top))
    return picture


def _found(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    evaluation: Evaluation,
    image: int,
    label: int,
    corner: tuple[int, int],
) -> None:
    left, top = corner
    path, came = evaluation.searched[image], int(evaluation.truth.classes[image])
    place_photo(picture, thumbnail(path, _TILE), corner, _TILE)
    colour = _RIGHT if came == label else ALARM
    draw.rectangle((left, top, left + _TILE[0] - 1, top + _TILE[1] - 1), outline=colour, width=3)
    name = printable(evaluation.dataset.class_names[came]) if came >= 0 else "distractor"
    write(draw, (left, top + _TILE[1] + 2), name, size=12, fill=FAINT, width=_TILE[0])
