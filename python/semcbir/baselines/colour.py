# SPDX-License-Identifier: MIT
"""Colour histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from semcbir.baselines.descriptors import Floats
from semcbir.baselines.pixels import PixelDescriptor
from semcbir.features.parameters import integers
from semcbir.images.decode import ImageArray


@dataclass(frozen=True)
class ColourHistogram(PixelDescriptor):
    """The shares of colours in bins of hue, saturation and value (HSV), square-rooted.

    So L2 is sqrt(2) times the Hellinger distance between histograms (Swain and Ballard 1991 intersect theirs;
    18 x 3 x 3 bins are those of Smith and Chang 1996). Hues are bins of equal width, the first one's middle
    at red; colours without saturation are in it. Saturation and value are in bins of equal width from 0 on.
    Worked out in integers, so the bits are the same everywhere.
    """

    name: ClassVar[str] = "colour"
    about: ClassVar[str] = "histogram of hues, saturations and values"

    hues: int = 18
    saturations: int = 3
    values: int = 3

    def __post_init__(self) -> None:
        integers(self, hues=(1, 256), saturations=(1, 256), values=(1, 256))

    @property
    def dim(self) -> int:
        """The number of bins."""
        return self.hues * self.saturations * self.values

    def _vector(self, image: ImageArray) -> Floats:
        pixels = image.reshape(-1, 3).astype(np.int64)
        value = pixels.max(axis=1)
        chroma = value - pixels.min(axis=1)
        hue = _hue_bins(pixels, value, chroma, self.hues)
        saturation = np.minimum(self.saturations - 1, chroma * self.saturations // np.maximum(1, value))
        bins = (hue * self.saturations + saturation) * self.values + value * self.values // 256
        shares = np.bincount(bins, minlength=self.dim) / len(pixels)
        return np.sqrt(shares).astype(np.float32)


def _hue_bins(
    pixels: NDArray[np.int64], value: NDArray[np.int64], chroma: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return the bin of each hue, 0 for greys."""
    red, green, blue = pixels.T
    # The hue in sixths of the circle is `sixths` / chroma.
    sixths = np.select(
        [value == red, value == green],
        [green - blue, 2 * chroma + blue - red],
        4 * chroma + red - green,
    )
    twelfths = 12 * np.maximum(1, chroma)
    bins: NDArray[np.int64] = (2 * sixths * count + twelfths // 2) // twelfths % count
    return bins
