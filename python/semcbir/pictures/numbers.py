# SPDX-License-Identifier: MIT
"""Where the numbers of classes stand on a label map: on the class, or beside it at the end of a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir.pictures.draw import widest_place

RADIUS = 10
"""The radius of a number's disc, in pixels."""

_Points = npt.NDArray[np.float64]

_WIDE = 11
"""The radius, in pixels, from which a class has room for its number."""
_LED_TO = 8
"""The most classes whose small regions get a line to their number; more lines would fill the picture."""
_APART = 2 * RADIUS + 2
"""The least distance of two discs' centres, in pixels: a pixel of the map stays between them."""
_CLEAR = RADIUS + 3
"""How far a disc should stay from the lines and regions of other numbers."""
_ASIDE = 26
"""How far aside and above a small region its number stands where nothing is in the way."""
_REACHES = (37, 48, 60, 75, 95, 120, 150, 190, 240)
_TURNS = 16
_STEP = 4


@dataclass(frozen=True)
class NumberPlace:
    """A class's ``number``, the ``centre`` (x, y) of its disc, and the ``spot`` on the class, in pixels.

    If the two differ, a line leads from the spot to the disc.
    """

    number: int
    spot: tuple[float, float]
    centre: tuple[float, float]


def number_places(
    label_map: npt.NDArray[Any], numbers: Mapping[int, int], size: tuple[int, int]
) -> list[NumberPlace]:
    """Return where the classes' ``numbers``, by label, stand on ``label_map`` (H, W) drawn in ``size``.

    ``size`` is (width, height). A number stands where its class is widest. If that is too narrow for its
    disc, it stands beside it at the end of a line, but only up to number 8: the lowest number chooses first,
    and takes a near place where it hides nothing, if there is one. All discs lie in the picture, no two
    overlap, and no two lines cross; a number for which there is no room is left out. The numbers on their
    classes come first, then those beside them, each in order.
    """
    placed: list[NumberPlace] = []
    small = []
    for number, spot, wide in _widest_spots(label_map, numbers, size):
        if wide and _free(spot[None], placed, size)[0]:
            placed.append(_place(number, spot, spot))
        elif wide or number <= _LED_TO:  # a wide one may have a disc a little too near beside it
            small.append((number, spot))
    spots = np.array([spot for _, spot in small]).reshape(-1, 2)
    for row, (number, spot) in enumerate(small):
        centre = _beside(spot, np.delete(spots, row, axis=0), placed, size)
        if centre is not None:
            placed.append(_place(number, spot, centre))
    return _uncrossed(placed)


def _widest_spots(
    label_map: npt.NDArray[Any], numbers: Mapping[int, int], size: tuple[int, int]
) -> Iterator[tuple[int, _Points, bool]]:
    """Yield each number whose class occurs, in order, where the class is widest, and if a disc fits there."""
    scale = np.array([size[0] / label_map.shape[1], size[1] / label_map.shape[0]])
    for label, number in sorted(numbers.items(), key=lambda item: item[1]):
        mask = label_map == label
        if mask.any():
            x, y, radius = widest_place(mask)
            yield number, (np.array([x, y]) + 0.5) * scale, bool(radius * scale.min() >= _WIDE)


def _place(number: int, spot: _Points, centre: _Points) -> NumberPlace:
    return NumberPlace(number, (float(spot[0]), float(spot[1])), (float(centre[0]), float(centre[1])))


def _free(centres: _Points, placed: Sequence[NumberPlace], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return at which ``centres`` (n, 2) a disc lies in the picture and apart from all others."""
    inside = (centres >= RADIUS).all(axis=1) & (centres <= np.array(size) - 1 - RADIUS).all(axis=1)
    others = np.array([place.centre for place in placed]).reshape(-1, 2)
    apart = np.linalg.norm(centres[:, None] - others, axis=2) >= _APART
    return np.asarray(inside & apart.all(axis=1))


def _beside(
    spot: _Points, spots: _Points, placed: Sequence[NumberPlace], size: tuple[int, int]
) -> _Points | None:
    """Return a place for the number of the small region at ``spot``; None if there is no room.

    ``spots`` (n, 2) are the other small regions. Of places that hide or cross as little, the first of
    ``_around`` is taken, and if there are none, the nearest in the whole picture.
    """
    for candidates in (_around(spot, size), _anywhere(spot, size)):
        free = candidates[_free(candidates, placed, size)]
        if len(free):
            return np.asarray(free[np.argmin(_in_the_way(spot, free, spots, placed))])
    return None


def _around(spot: _Points, size: tuple[int, int]) -> _Points:
    """Return places (n, 2) around ``spot``: up and towards the middle, then all around, then farther."""
    aside = np.array([_ASIDE if spot[0] < size[0] / 2 else -_ASIDE, _ASIDE if spot[1] < 40 else -_ASIDE])
    steps = np.arange(_TURNS)
    # 0, 1, -1, 2, -2, ...: the directions nearest to the first come first
    turns = (steps + 1) // 2 * np.where(steps % 2, 1, -1) * (2 * np.pi / _TURNS)
    angles = np.arctan2(aside[1], aside[0]) + turns
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = [reach * directions for reach in _REACHES]
    return np.concatenate([[spot + aside], *(spot + ring for ring in rings)])


def _anywhere(spot: _Points, size: tuple[int, int]) -> _Points:
    """Return places (n, 2) all over the picture, the nearest to ``spot`` first."""
    columns, rows = (np.arange(RADIUS, max(side - RADIUS, RADIUS + 1), _STEP) for side in size)
    places = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2).astype(float)
    return places[np.argsort(np.linalg.norm(places - spot, axis=1), kind="stable")]


def _in_the_way(
    spot: _Points, centres: _Points, spots: _Points, placed: Sequence[NumberPlace]
) -> npt.NDArray[np.int64]:
    """Return how much a disc at each of ``centres`` (n, 2), led to from ``spot``, crosses or hides."""
    found = (np.linalg.norm(centres[:, None] - spots, axis=2) < _CLEAR).sum(axis=1)
    for place in placed:
        start, end = np.array(place.spot), np.array(place.centre)
        found += _distance(end, np.broadcast_to(spot, centres.shape), centres) < _CLEAR
        if place.spot != place.centre:
            found += _distance(centres, start, end) < _CLEAR
            found += _cross(spot, centres, start, end)
    return np.asarray(found)


def _uncrossed(placed: list[NumberPlace]) -> list[NumberPlace]:
    """Return the places with discs exchanged until no two lines cross; each exchange shortens the lines."""
    placed = list(placed)
    while pair := next(
        (pair for pair in combinations(range(len(placed)), 2) if _shorter(placed, *pair)), None
    ):
        one, other = (placed[place] for place in pair)
        placed[pair[0]] = replace(one, centre=other.centre)
        placed[pair[1]] = replace(other, centre=one.centre)
    return placed


def _shorter(placed: Sequence[NumberPlace], first: int, second: int) -> bool:
    """Return whether two numbers have lines that cross, and shorter ones with each other's discs."""
    one, other = placed[first], placed[second]
    if one.spot == one.centre or other.spot == other.centre:
        return False
    a, b, c, d = (np.array(point) for point in (one.spot, one.centre, other.spot, other.centre))
    now = np.linalg.norm(b - a) + np.linalg.norm(d - c)
    then = np.linalg.norm(d - a) + np.linalg.norm(b - c)
    return bool(_cross(a, b[None], c, d)[0] and then < now - 1e-9)


def _distance(points: _Points, start: _Points, end: _Points) -> _Points:
    """Return the distance of ``points`` from the line from ``start`` to ``end``, all (2,) or (n, 2)."""
    along = end - start
    share = ((points - start) * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), 1e-9)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(points - nearest, axis=-1))


def _cross(spot: _Points, centres: _Points, start: _Points, end: _Points) -> npt.NDArray[np.bool_]:
    """Return whether lines from ``spot`` to ``centres`` (n, 2) meet the line from ``start`` to ``end``."""
    between = _side(start, end, spot) * _side(start, end, centres) <= 0
    around = _side(spot, centres, start) * _side(spot, centres, end) <= 0
    return np.asarray(between & around)


def _side(start: _Points, end: _Points, point: _Points) -> _Points:
    """Return on which side of the line from ``start`` to ``end`` a point is, by its sign."""
    along, off = end - start, point - start
    return np.asarray(along[..., 0] * off[..., 1] - along[..., 1] * off[..., 0])
