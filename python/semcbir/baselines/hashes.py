# SPDX-License-Identifier: MIT
"""Perceptual hashes, by the library imagehash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from semcbir.baselines.descriptors import Floats
from semcbir.baselines.libraries import library
from semcbir.baselines.pixels import PixelDescriptor
from semcbir.features.parameters import integers
from semcbir.images.decode import ImageArray


@dataclass(frozen=True)
class _Hash(PixelDescriptor):
    """``side``: a hash has side x side bits, which are the numbers 0 and 1 here, row by row.

    So the square of L2 is the Hamming distance, which hashes are compared by.
    """

    side: int = 8

    def __post_init__(self) -> None:
        integers(self, side=(2, 64))

    @property
    def dim(self) -> int:
        """The number of bits."""
        return self.side**2


@dataclass(frozen=True)
class PHash(_Hash):
    """The perceptual hash: which of the lowest frequencies (DCT) of the small grey image exceed their median.

    ``side``: side x side frequencies, of the image scaled to four times as many pixels a side. The square of
    L2 is the Hamming distance.
    """

    name: ClassVar[str] = "phash"
    about: ClassVar[str] = "perceptual hash: low frequencies above their median"

    def _vector(self, image: ImageArray) -> Floats:
        found = library("imagehash").phash(Image.fromarray(image), hash_size=self.side)
        return np.asarray(found.hash, np.float32).ravel()


@dataclass(frozen=True)
class DHash(_Hash):
    """The difference hash: where the small grey image, side x (side + 1) pixels, gets lighter to the right.

    The square of L2 is the Hamming distance.
    """

    name: ClassVar[str] = "dhash"
    about: ClassVar[str] = "difference hash: where the small image gets lighter to the right"

    def _vector(self, image: ImageArray) -> Floats:
        found = library("imagehash").dhash(Image.fromarray(image), hash_size=self.side)
        return np.asarray(found.hash, np.float32).ravel()
