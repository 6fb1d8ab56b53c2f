# SPDX-License-Identifier: MIT
"""Finding OpenCV's features, which move between versions, and reading what they return."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from semcbir.errors import SemcbirError
from semcbir.features.base import GreyArray


def opencv(name: str) -> Any:
    """Return OpenCV's ``name``; version 5 moved some names to contrib's ``xfeatures2d``."""
    for place in (cv2, getattr(cv2, "xfeatures2d", None)):
        if hasattr(place, name):
            return getattr(place, name)
    what, version = name.removesuffix("_create").removesuffix("Descriptor"), cv2.__version__
    fix = "pip install 'opencv-python-headless<5' (or the contrib package of OpenCV 5)"
    raise SemcbirError(f"OpenCV {version} has no {what}: {fix}")


def detected(detector: Any, grey: GreyArray, dim: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return keypoints (n, 2), x and y, and descriptors (n, dim) of one of OpenCV's detectors."""
    return as_arrays(detector.detectAndCompute(grey, None), dim)


def as_arrays(found: tuple[Any, Any], dim: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a detector's answer as two arrays; without keypoints OpenCV's descriptors are None or empty."""
    points, vectors = found
    if not len(points):
        return np.empty((0, 2)), np.empty((0, dim))
    return np.asarray(cv2.KeyPoint.convert(points)), vectors
