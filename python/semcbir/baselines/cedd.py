# SPDX-License-Identifier: MIT
"""A compact descriptor of colours and edges, after CEDD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from semcbir.baselines.descriptors import Floats
from semcbir.baselines.normalising import Doubles, shares
from semcbir.baselines.pixels import PixelDescriptor
from semcbir.images.decode import ImageArray
from semcbir.inference.canvas import scale

BLOCKS = 40
"""Blocks along each side of the image."""
EDGE = 14.0
"""The least strength of an edge, of luminances 0..255."""
NON_DIRECTIONAL, DIRECTIONAL = 0.68, 0.98
"""From which share of the block's strongest filter on another one counts too."""

_DIAGONAL = 2**0.5
# MPEG-7's filters on the four quarters of a block: upper left, upper right, lower left, lower right.
_FILTERS = np.array(
    [
        [2, -2, -2, 2],
        [1, 1, -1, -1],
        [1, -1, 1, -1],
        [_DIAGONAL, 0, 0, -_DIAGONAL],
        [0, _DIAGONAL, -_DIAGONAL, 0],
    ]
)
TEXTURES = ("none", "non-directional", "horizontal", "vertical", "45 degrees", "135 degrees")
_HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "magenta")
_CENTRES = np.array([0, 0.5, 1, 2, 3, 4, 5, 6])  # of the hues, in sixths of the circle; the last is red again
COLOURS = (
    "black",
    "grey",
    "white",
    *(f"{shade} {hue}" for hue in _HUES for shade in ("light", "pure", "dark")),
)


@dataclass(frozen=True)
class CEDD(PixelDescriptor):
    """A compact descriptor of colours and edges, after CEDD (Chatzichristofis and Boutalis 2008): 144 bins.

    The image is 40 x 40 blocks. Each has one or more of six textures, by MPEG-7's edge filters on its four
    quarters, and shares in 24 colours, by fuzzy sets over hue, saturation and value; it adds its colours to
    each of its textures. The histogram, its sum 1, is square-rooted: L2 is sqrt(2) times the Hellinger
    distance.

    Simpler than the original, whose figures cannot be expected of it: borders of the fuzzy sets are round
    numbers of our own, and products of two or three ramps instead of rules; quarters are the pixels of the
    image scaled to 80 x 80; bins are not quantised to 3 bits; the original ranks by Tanimoto's coefficient.
    """

    name: ClassVar[str] = "cedd"
    about: ClassVar[str] = "compact histogram of colours and edges, after CEDD"

    @property
    def dim(self) -> int:
        """144: a bin for each texture and colour."""
        return len(TEXTURES) * len(COLOURS)

    def _vector(self, image: ImageArray) -> Floats:
        quarters = scale(image, (2 * BLOCKS, 2 * BLOCKS)).astype(np.float64)
        blocks = quarters.reshape(BLOCKS, 2, BLOCKS, 2, 3).swapaxes(1, 2).reshape(-1, 4, 3)
        bins = textures(blocks @ [0.299, 0.587, 0.114]).T @ colours(blocks.mean(axis=1))
        return np.sqrt(shares(bins.ravel())).astype(np.float32)


def textures(luminances: Doubles) -> Doubles:
    """Return which of TEXTURES each block has, from its quarters' luminances (n, 4): 0 or 1, (n, 6)."""
    strengths = np.abs(luminances @ _FILTERS.T)
    strongest = strengths.max(axis=1, keepdims=True)
    edge = strongest >= EDGE
    least = np.array([NON_DIRECTIONAL, *[DIRECTIONAL] * 4])
    found = edge & (strengths >= least * strongest)
    return np.concatenate([~edge, found], axis=1).astype(np.float64)


def colours(rgb: Doubles) -> Doubles:
    """Return the shares in COLOURS of colours (n, 3) in 0..255: (n, 24), rows sum to 1."""
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    saturation = chroma / np.where(value == 0, 1, value)
    lit = _ramp(value / 255, 0.05, 0.3)
    coloured = lit * _ramp(saturation, 0.05, 0.3)
    bright = _ramp(value / 255, 0.7, 0.85)
    light = _ramp(value / 255, 0.4, 0.7)
    deep = _ramp(saturation, 0.4, 0.7)
    shades = np.stack([light * (1 - deep), light * deep, 1 - light], axis=1)
    hues = _hues(rgb, value, chroma) * coloured[:, None]
    greys = np.stack([1 - lit, (lit - coloured) * (1 - bright), (lit - coloured) * bright], axis=1)
    return np.concatenate([greys, (hues[:, :, None] * shades[:, None]).reshape(len(rgb), -1)], axis=1)


def _ramp(x: Doubles, low: float, high: float) -> Doubles:
    """Return 0 up to ``low``, 1 from ``high`` on, and a straight line between."""
    return np.clip((x - low) / (high - low), 0, 1)


def _hues(rgb: Doubles, value: Doubles, chroma: Doubles) -> Doubles:
    """Return the shares in the seven hues, (n, 7): of the two whose centres a hue lies between."""
    red, green, blue = rgb.T
    spread = np.where(chroma == 0, 1, chroma)
    sixths = np.select(
        [value == red, value == green],
        [(green - blue) / spread % 6, 2 + (blue - red) / spread],
        4 + (red - green) / spread,
    )
    above = np.clip(np.searchsorted(_CENTRES, sixths, side="right"), 1, len(_HUES))
    share = (sixths - _CENTRES[above - 1]) / (_CENTRES[above] - _CENTRES[above - 1])
    rows = np.arange(len(rgb))
    found = np.zeros((len(rgb), len(_HUES)))
    found[rows, above - 1] = 1 - share
    found[rows, above % len(_HUES)] += share
    return found
