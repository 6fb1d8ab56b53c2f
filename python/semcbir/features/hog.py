# SPDX-License-Identifier: MIT
"""Dense histograms of oriented gradients, by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from semcbir.features.base import GreyArray, LocalFeature
from semcbir.features.opencv import opencv
from semcbir.features.parameters import flags, integers


@dataclass(frozen=True)
class HOG(LocalFeature):
    """Histograms of oriented gradients (Dalal and Triggs 2005) on a dense grid, 36-d.

    One descriptor per square block of ``block_size`` pixels, every ``block_stride`` pixels from the upper
    left corner. Its keypoint is the block's centre: (8 bx + 7.5, 8 by + 7.5) by default. Blocks without
    gradients count, with the null vector. An image smaller than a block has no keypoints; one of too many
    blocks for the memory or the time is refused (ValueError).

    ``HOG(weighting="share")`` makes a signature's rows count by the share of their class in the photo (see
    ``semcbir.weighted``); by default they are as Algorithm 1 gives them.
    """

    name: ClassVar[str] = "hog"
    block_size: int = 16
    block_stride: int = 8
    cell_size: int = 8
    n_bins: int = 9
    signed_gradient: bool = False
    gamma_correction: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, block_size=(2, 512), block_stride=(1, 512), cell_size=(1, 512), n_bins=(2, 180))
        flags(self, "signed_gradient", "gamma_correction")
        if self.block_size % self.cell_size:
            raise ValueError(f"block_size: expected a multiple of cell_size, got {self.block_size}")
        if not _LEAST_DIM <= self.dim <= _MOST_DIM:
            raise ValueError(
                "block_size, cell_size, n_bins: expected descriptors of "
                f"{_LEAST_DIM} to {_MOST_DIM} numbers, got {self.dim}"
            )

    @property
    def dim(self) -> int:
        """The cells of a block times the bins."""
        return (self.block_size // self.cell_size) ** 2 * self.n_bins

    def check_available(self) -> None:
        """OpenCV 5 has HOG only in its contrib packages."""
        opencv("HOGDescriptor")

    def _compute(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        height, width = grey.shape
        columns, rows = ((side - self.block_size) // self.block_stride + 1 for side in (width, height))
        if columns < 1 or rows < 1:
            return np.empty((0, 2)), np.empty((0, self.dim))
        self._check_work(columns * rows, width, height)
        window = [(count - 1) * self.block_stride + self.block_size for count in (columns, rows)]
        squares = [(side, side) for side in (self.block_size, self.block_stride, self.cell_size)]
        options = 1, -1.0, 0, 0.2, self.gamma_correction, 64, self.signed_gradient  # OpenCV ignores the 0.2
        hog = opencv("HOGDescriptor")(window, *squares, self.n_bins, *options)
        descriptors = np.asarray(hog.compute(grey, locations=[(0, 0)]))
        x, y = np.divmod(np.arange(columns * rows), rows)  # OpenCV goes through the blocks by columns
        centres = np.stack([x, y], axis=1) * self.block_stride + (self.block_size - 1) / 2
        return centres, descriptors.reshape(-1, self.dim)

    def _check_work(self, blocks: int, width: int, height: int) -> None:
        if blocks * self.dim > _MOST_NUMBERS or blocks * self.block_size**2 > _MOST_PIXELS:
            raise ValueError(
                f"HOG takes too much for an image of {width} x {height} pixels: {blocks} blocks of "
                f"{self.block_size} x {self.block_size} pixels, {self.dim} numbers each; choose a larger "
                "block_stride or a smaller long_side"
            )


_LEAST_DIM, _MOST_DIM = 4, 2**14
"""Of a descriptor; for fewer OpenCV writes beside the memory that it has."""
_MOST_NUMBERS = 2**27
"""In all descriptors of an image; OpenCV's array and ours take 8 bytes for each."""
_MOST_PIXELS = 2**32
"""In all blocks of an image, however they overlap; some 2**28 a second are done."""
