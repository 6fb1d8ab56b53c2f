# SPDX-License-Identifier: MIT
"""Colours for classes: those that people expect, the same in every picture, clearly different within one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from semcbir.pictures.families import FAMILIES, Family, family_of

Colour = tuple[int, int, int]

VOID: Colour = (128, 128, 128)
CLEAR = 0.13
"""How far two colours of one picture are apart, at least, where a dozen classes are on it."""
NEAR = 0.085
"""How near to others a colour may be that people expect, a green of a plant, say: they still differ."""
NAMED = 512
"""The most classes of a network that have colours by their names."""
_APART = 0.02
"""How far two colours of a network are apart, at least, as long as there is room."""
_LIGHTNESS = 0.7
"""What lightness counts for in that: a photo shines through, so hue tells classes apart better."""

_Rgb = npt.NDArray[np.uint8]


def picture_colours(labels: Iterable[int], classes: Sequence[str] = ()) -> dict[int, Colour]:
    """Return a colour for each of the classes of one picture, each far from the others and from VOID.

    ``classes`` are the names of the network's classes. A class has its ``class_colour``, unless that is
    nearer than CLEAR to VOID or to the colour of a class before it in ``labels``. Then it has the colour
    farthest from those (of several, the first), of those that no family has, or of all if that is too near
    as well. A class of a family, such as plants, needs only NEAR, and takes one of the family's shades first.
    The same labels give the same colours.
    """
    named = min(len(classes), NAMED)
    taken = _Taken()
    chosen: dict[int, Colour] = {}
    for label in dict.fromkeys(labels):
        known = family_of(classes[label]) if label < named else None
        clear = NEAR if known else CLEAR
        tries = [np.array([class_colour(label, classes)], np.uint8)]
        if label < named:
            tries.append(_shades(known[0]) if known else _unfamiliar())
        far = (found for colours in tries if (found := taken.farthest(colours))[1] >= clear)
        chosen[label], _ = next(far, None) or taken.farthest(class_colours())
        taken.add(chosen[label])
    return chosen


def class_colour(label: int, classes: Sequence[str] = ()) -> Colour:
    """Return the colour that a class has in every picture where that can be.

    It is that of ``network_colours``; a label without a name there has ``class_colours()[label % 256]``.
    """
    if label < min(len(classes), NAMED):
        red, green, blue = network_colours(tuple(classes[:NAMED]))[label].tolist()
    else:
        red, green, blue = class_colours()[label % 256].tolist()
    return red, green, blue


@functools.lru_cache(maxsize=16)
def network_colours(classes: tuple[str, ...]) -> _Rgb:
    """Return a colour for each of at most NAMED classes of a network, by name: uint8 (n, 3), no two the same.

    The usual classes of a family (see ``families``) have colours of their own, its others are shades of it,
    and what is in no family has colours that no family has, as long as there are any.
    """
    known = [family_of(name) for name in classes]
    found: dict[int, Colour] = {}
    taken = _Taken()
    for label, family in enumerate(known):
        if family and family[1] and family[1] not in found.values():
            found[label] = family[1]
            taken.add(family[1])
    rest = [label for label in range(len(classes)) if label not in found]
    for label in sorted(rest, key=lambda label: (known[label] is None, label)):
        family = known[label]
        for candidates in (_shades(family[0]) if family else _unfamiliar(), _grid(24), _grid(8)):
            found[label], distance = taken.farthest(candidates)
            if distance > _APART:
                break
        taken.add(found[label])
    return np.array([found[label] for label in range(len(classes))], np.uint8).reshape(-1, 3)


class _Taken:
    """Colours that are in use; VOID is, from the beginning."""

    def __init__(self) -> None:
        self._places = _places(np.array([VOID]))
        self._known: dict[int, tuple[_Rgb, npt.NDArray[np.float64], npt.NDArray[np.float64], int]] = {}
        """By id: candidates, their places, and how far they are from the first so many colours."""

    def add(self, colour: Colour) -> None:
        self._places = np.concatenate([self._places, _places(np.array([colour]))])

    def farthest(self, candidates: _Rgb) -> tuple[Colour, float]:
        """Return the candidate (of several, the first) that is farthest from all, and how far it is."""
        known = self._known.get(id(candidates))
        if known is None:
            known = candidates, _places(candidates), np.full(len(candidates), np.inf), 0
        _, places, apart, count = known
        for place in self._places[count:]:
            apart = np.minimum(apart, np.linalg.norm(places - place, axis=1))
        self._known[id(candidates)] = candidates, places, apart, len(self._places)
        best = int(apart.argmax())
        red, green, blue = candidates[best].tolist()
        return (red, green, blue), float(apart[best])


def _places(rgb: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return where colours (n, 3) lie for CLEAR: float64 (n, 3)."""
    return _oklab(rgb) * [_LIGHTNESS, 1, 1]


@functools.cache
def class_colours() -> _Rgb:
    """Return 256 colours (256, 3) for labels: each far from those before it."""
    rgb = _grid(24)
    lab = _oklab(rgb)
    chosen = [int(np.hypot(lab[:, 1], lab[:, 2]).argmax())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < 256:
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return rgb[chosen]


@functools.cache
def _grid(step: int) -> _Rgb:
    """Return colours (n, 3), ``step`` apart in red, green and blue; none is grey, dark or pale."""
    rgb = np.array(list(itertools.product(np.arange(8, 256, step), repeat=3)), np.uint8)
    lab = _oklab(rgb)
    return rgb[(lab[:, 0] > 0.35) & (lab[:, 0] < 0.9) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.04)]


@functools.cache
def _shades(name: str) -> _Rgb:
    """Return the shades of a family (n, 3)."""
    rgb = np.array(list(itertools.product(np.arange(0, 256, 15), repeat=3)), np.uint8)
    return rgb[_within(FAMILIES[name], rgb)]


@functools.cache
def _unfamiliar() -> _Rgb:
    """Return colours (n, 3) that are no family's."""
    rgb = _grid(24)
    familiar = [_within(family, rgb) for family in FAMILIES.values()]
    return np.asarray(rgb[~np.logical_or.reduce(familiar)])


def _within(family: Family, rgb: _Rgb) -> npt.NDArray[np.bool_]:
    """Return which colours (n, 3) are a family's shades."""
    lightness, a, b = _oklab(rgb).T
    found = np.ones(len(rgb), bool)
    for values, (low, high) in (
        (lightness, family.lightness),
        (np.hypot(a, b), family.chroma),
        (np.degrees(np.arctan2(b, a)) % 360, family.hue),
    ):
        found &= (low <= values) & (values <= high)
    return found


def _oklab(rgb: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return sRGB 0..255 (n, 3) as OKLab (n, 3), where distances are about what the eye sees."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_lms = [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696],
              [0.08830246, 0.28171884, 0.6299787]]  # fmt: skip
    to_lab = [[0.21045426, 0.79361779, -0.00407205], [1.9779985, -2.42859221, 0.45059371],
              [0.02590404, 0.78277177, -0.80867577]]  # fmt: skip
    return np.asarray(np.cbrt(linear @ np.transpose(to_lms)) @ np.transpose(to_lab))
