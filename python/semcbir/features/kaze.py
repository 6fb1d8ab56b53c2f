# SPDX-License-Identifier: MIT
"""KAZE, by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from numpy.typing import NDArray

from semcbir.features.base import GreyArray, LocalFeature
from semcbir.features.opencv import detected, opencv
from semcbir.features.parameters import choice, flags, integers, reals


@dataclass(frozen=True)
class KAZE(LocalFeature):
    """KAZE (Alcantarilla, Bartoli, Davison 2012): blobs in a nonlinear scale space, 64-d (128-d extended).

    ``KAZE(weighting="share")`` makes a signature's rows count by the share of their class in the photo (see
    ``semcbir.weighted``); by default they are as Algorithm 1 gives them.
    """

    name: ClassVar[str] = "kaze"
    extended: bool = False
    upright: bool = False
    threshold: float = 0.001
    n_octaves: int = 4
    n_octave_layers: int = 4
    diffusivity: str = "pm_g2"
    """One of "pm_g1", "pm_g2", "weickert", "charbonnier"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        flags(self, "extended", "upright")
        reals(self, threshold=(0.0, inf))
        integers(self, n_octaves=(1, 8), n_octave_layers=(1, 16))
        most = _MOST_LAYERS // self.n_octaves
        if self.n_octave_layers > most:
            raise ValueError(
                f"n_octave_layers: expected at most {most} with {self.n_octaves} octaves, "
                f"got {self.n_octave_layers}"
            )
        choice(self, "diffusivity", tuple(_DIFFUSIVITIES))

    @property
    def dim(self) -> int:
        """64, or 128 if extended."""
        return 128 if self.extended else 64

    def check_available(self) -> None:
        """OpenCV 5 has KAZE only in its contrib packages."""
        opencv("KAZE_create")

    def _compute(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        kaze = opencv("KAZE_create")(
            extended=self.extended,
            upright=self.upright,
            threshold=self.threshold,
            nOctaves=self.n_octaves,
            nOctaveLayers=self.n_octave_layers,
            diffusivity=_DIFFUSIVITIES[self.diffusivity],
        )
        return detected(kaze, grey, self.dim)


_MOST_LAYERS = 64
"""Over all octaves: each takes 32 bytes a pixel, and twice the time for every further octave."""

_DIFFUSIVITIES = {"pm_g1": 0, "pm_g2": 1, "weickert": 2, "charbonnier": 3}
