# SPDX-License-Identifier: MIT
"""Colours for classes: the same in every picture where that can be, and clearly different within one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

VOID: Colour = (128, 128, 128)
CLEAR = 0.13
"""How far two colours of one picture are apart, at least, where a dozen classes are on it."""
_LIGHTNESS = 0.7
"""What lightness counts for in that: a photo shines through, so hue tells classes apart better."""


def picture_colours(labels: Iterable[int]) -> dict[int, Colour]:
    """Return a colour for each of the classes of one picture, each far from the others and from VOID.

    A class has the colour that it has in every picture, ``class_colours()[label % 256]``, unless that is
    nearer than CLEAR to VOID or the colour of a class before it in ``labels``; then it has, of all the
    colours, the one farthest from those (of several, the first). The same labels give the same colours.
    """
    palette = class_colours()
    places = _places(palette)
    nearest = np.linalg.norm(places - _places(np.array([VOID])), axis=1)
    chosen: dict[int, Colour] = {}
    for label in dict.fromkeys(labels):
        own = label % len(palette)
        at = own if nearest[own] >= CLEAR else int(nearest.argmax())
        red, green, blue = palette[at].tolist()
        chosen[label] = (red, green, blue)
        nearest = np.minimum(nearest, np.linalg.norm(places - places[at], axis=1))
    return chosen


def _places(rgb: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return where colours (n, 3) lie for CLEAR: float64 (n, 3)."""
    return _oklab(rgb) * [_LIGHTNESS, 1, 1]


@functools.cache
def class_colours() -> npt.NDArray[np.uint8]:
    """Return 256 colours (256, 3) for labels: each far from those before it."""
    levels = np.arange(8, 256, 24)
    rgb = np.array(list(itertools.product(levels, repeat=3)))
    lab = _oklab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (lab[:, 0] > 0.35) & (lab[:, 0] < 0.9) & (chroma > 0.04)
    rgb, lab = rgb[usable], lab[usable]
    chosen = [int(chroma[usable].argmax())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < 256:
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return rgb[chosen].astype(np.uint8)


def _oklab(rgb: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return sRGB 0..255 (n, 3) as OKLab (n, 3), where distances are about what the eye sees."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_lms = [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696],
              [0.08830246, 0.28171884, 0.6299787]]  # fmt: skip
    to_lab = [[0.21045426, 0.79361779, -0.00407205], [1.9779985, -2.42859221, 0.45059371],
              [0.02590404, 0.78277177, -0.80867577]]  # fmt: skip
    return np.asarray(np.cbrt(linear @ np.transpose(to_lms)) @ np.transpose(to_lab))
