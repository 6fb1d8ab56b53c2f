# SPDX-License-Identifier: MIT
"""SURF, by mahotas or by OpenCV."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any, ClassVar

import cv2
from numpy.typing import NDArray

from semcbir.errors import SemcbirError
from semcbir.features.base import GreyArray, LocalFeature
from semcbir.features.opencv import as_arrays, opencv
from semcbir.features.parameters import assign, choice, integers, reals


@dataclass(frozen=True)
class SURF(LocalFeature):
    """SURF (Bay, Ess, Tuytelaars, Van Gool 2008), rotation-invariant, 64-d.

    Two implementations, each with its own parameters and so its own recipes: "mahotas" (from PyPI) and
    "opencv" (nonfree, only in builds of your own). "auto" becomes "opencv" where that works and
    "mahotas" elsewhere, at once, so that the recipe says which. None becomes the implementation's default.

    ``SURF(weighting="share")`` makes a signature's rows count by the share of their class in the photo (see
    ``semcbir.weighted``); by default they are as Algorithm 1 gives them.
    """

    name: ClassVar[str] = "surf"
    implementation: str = "auto"
    hessian_threshold: float | None = None
    """Least determinant of the Hessian, which the two scale differently; 0.1 for mahotas, 100 for OpenCV."""
    n_octaves: int = 4
    n_octave_layers: int | None = None
    """6 for mahotas, which counts the outermost filters too, 3 for OpenCV."""
    max_points: int = 1024
    """How many points are described at most, the strongest first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self, "implementation", ("auto", "mahotas", "opencv"))
        if self.implementation == "auto":
            assign(self, "implementation", "opencv" if _opencv_has_surf() else "mahotas")
        threshold, layers = (100.0, 3) if self.implementation == "opencv" else (0.1, 6)
        if self.hessian_threshold is None:
            assign(self, "hessian_threshold", threshold)
        if self.n_octave_layers is None:
            assign(self, "n_octave_layers", layers)
        reals(self, hessian_threshold=(0.0, inf))
        # From 14 octaves on mahotas crashes.
        integers(self, n_octaves=(1, 8), n_octave_layers=(1, 16), max_points=(1, 2**31 - 1))

    @property
    def dim(self) -> int:
        """64."""
        return 64

    def check_available(self) -> None:
        """The named implementation must be available; the other one gives other numbers."""
        if self.implementation == "opencv" and not _opencv_has_surf():
            raise SemcbirError("this OpenCV has no SURF (nonfree); use SURF(implementation='mahotas')")
        if self.implementation == "mahotas" and not _has_module("mahotas"):
            raise SemcbirError("SURF needs mahotas: pip install mahotas")

    def _compute(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.implementation == "opencv":
            return self._compute_opencv(grey)
        surf = importlib.import_module("mahotas.features.surf")
        # surf.surf() in two halves: the same bits, but the GIL is free nearly all the time.
        integral = surf.integral(grey)
        parameters = self.n_octaves, self.n_octave_layers, 1, self.hessian_threshold, self.max_points
        points = surf.interest_points(integral, *parameters, is_integral=True)
        rows = surf.descriptors(integral, points, is_integral=True)  # y, x, scale, score, sign, angle, vector
        return rows[:, 1::-1], rows[:, 6:]

    def _compute_opencv(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        surf = opencv("SURF_create")(
            hessianThreshold=self.hessian_threshold,
            nOctaves=self.n_octaves,
            nOctaveLayers=self.n_octave_layers,
        )
        points = sorted(surf.detect(grey, None), key=lambda point: -point.response)
        return as_arrays(surf.compute(grey, points[: self.max_points]), self.dim)


@cache
def _opencv_has_surf() -> bool:
    try:
        opencv("SURF_create")()
    except (SemcbirError, cv2.error):  # builds without nonfree have the name and raise
        return False
    return True


@cache
def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
