# SPDX-License-Identifier: MIT
"""SIFT, by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from numpy.typing import NDArray

from semcbir.features.base import GreyArray, LocalFeature
from semcbir.features.opencv import detected, opencv
from semcbir.features.parameters import integers, reals


@dataclass(frozen=True)
class SIFT(LocalFeature):
    """SIFT (Lowe 2004), 128-d.

    ``SIFT(weighting="share")`` makes a signature's rows count by the share of their class in the photo (see
    ``semcbir.weighted``); by default they are as Algorithm 1 gives them.
    """

    name: ClassVar[str] = "sift"
    n_features: int = 0
    """How many keypoints are kept, the strongest first; 0: all."""
    n_octave_layers: int = 3
    contrast_threshold: float = 0.04
    edge_threshold: float = 10.0
    sigma: float = 1.6

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, n_features=(0, 2**31 - 1), n_octave_layers=(1, 16))
        # The time to blur grows with sigma, without an end.
        reals(self, contrast_threshold=(0.0, inf), edge_threshold=(0.0, inf), sigma=(0.1, 10.0))

    @property
    def dim(self) -> int:
        """128."""
        return 128

    def check_available(self) -> None:
        """Every OpenCV since 4.4 has SIFT."""
        opencv("SIFT_create")

    def _compute(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        sift = opencv("SIFT_create")(
            nfeatures=self.n_features,
            nOctaveLayers=self.n_octave_layers,
            contrastThreshold=self.contrast_threshold,
            edgeThreshold=self.edge_threshold,
            sigma=self.sigma,
        )
        return detected(sift, grey, self.dim)
