# SPDX-License-Identifier: MIT
"""The grid of photos that sheets are made of: each with two lines of words below it."""

from __future__ import annotations

from collections.abc import Iterator

from semcbir.pictures.draw import GAP, MARGIN

TILE = (208, 156)
"""Width and height of the box that a photo is fitted into."""
_CAPTION = 44
ROW = TILE[1] + _CAPTION + GAP


def width_of(columns: int) -> int:
    """Return how wide a sheet is, with room for the text of its head where there are one or two columns."""
    return 2 * MARGIN + max(columns * (TILE[0] + GAP) - GAP, TILE[0] + 240)


def height_of(count: int, columns: int) -> int:
    """Return how high the rows of so many photos are together."""
    return -(-count // columns) * ROW


def corners(count: int, columns: int, top: int) -> Iterator[tuple[int, int]]:
    """Yield the upper left corner (x, y) of each of so many photos, row by row, from ``top`` on."""
    for position in range(count):
        row, column = divmod(position, columns)
        yield MARGIN + column * (TILE[0] + GAP), top + row * ROW
