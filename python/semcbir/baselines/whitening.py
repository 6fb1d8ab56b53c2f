# SPDX-License-Identifier: MIT
"""PCA-whitening of vectors of any kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcbir.baselines.aggregator import MOST
from semcbir.baselines.axes import Axes
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.normalising import unit
from semcbir.baselines.vectors import checked_vectors
from semcbir.features.parameters import integers


@dataclass(frozen=True)
class Whitened:
    """PCA-whitening (Jégou and Chum 2012): vectors along principal axes, each divided by its deviation.

    Afterwards vectors get the length 1; the ranking distance is L2, as in the paper. The paper whitens
    several vocabularies' vectors together: give them side by side.
    """

    components: int = 128

    def __post_init__(self) -> None:
        integers(self, components=(1, MOST))

    def fit(self, training: npt.ArrayLike) -> FittedWhitening:
        """Learn from training vectors (n, D), real and finite.

        Raises:
            TypeError, ValueError: they are not such vectors, or vary along fewer axes than ``components``.
            SemcbirError: scikit-learn is not installed.
        """
        vectors = checked_vectors("training", training)
        most = min(len(vectors) - 1, vectors.shape[1])
        if self.components > most:
            raise ValueError(
                f"components: expected at most {most}, of {len(vectors)} training vectors of length "
                f"{vectors.shape[1]}, got {self.components}"
            )
        axes = Axes.of(vectors, self.components)
        # A variance of 0 comes out as a rounding error of the largest.
        least = axes.variances[0] * max(vectors.shape) * np.finfo(np.float64).eps
        varying = int(np.count_nonzero(axes.variances > least))
        if varying < self.components:
            raise ValueError(
                f"components: expected at most {varying}, the axes along which training vectors vary, "
                f"got {self.components}"
            )
        return FittedWhitening(axes)


@dataclass(frozen=True, eq=False)
class FittedWhitening:
    """What was learnt: the principal ``axes``."""

    axes: Axes

    @property
    def dim(self) -> int:
        """Length of a whitened vector."""
        return len(self.axes.variances)

    def vectors(self, vectors: npt.ArrayLike) -> Floats:
        """Return vectors (n, D) whitened: float32 (n, dim), of length 1; TypeError or ValueError if unfit.

        The mean of the training vectors becomes the null vector.
        """
        checked = checked_vectors("vectors", vectors, len(self.axes.mean))
        return unit(self.axes.projected(checked) / np.sqrt(self.axes.variances)).astype(np.float32)
