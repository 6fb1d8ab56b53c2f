# SPDX-License-Identifier: MIT
"""Local features for the baselines' tests: made, few, and of any kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from semcbir.features.base import LocalFeatures


def features_of(descriptors: npt.ArrayLike, keypoints: npt.ArrayLike | None = None) -> LocalFeatures:
    """An image's features from its descriptors (n, D); keypoints lie on a line, 1, 2, 3... apart."""
    vectors = np.array(descriptors, np.float32)
    if keypoints is None:
        number = np.arange(len(vectors))
        keypoints = np.stack([number * (number + 1) / 2, 0 * number], axis=1)
    return LocalFeatures(np.array(keypoints, np.float32).reshape(-1, 2), vectors)


def made_features(
    counts: Sequence[int] = (40, 0, 1, 25, 60), dim: int = 6, *, seed: int = 0, signed: bool = True
) -> list[LocalFeatures]:
    """Images of so many keypoints each; descriptors gather about ten places, which differ between images."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(10, dim))
    images = []
    for count in counts:
        near = rng.choice(10, count, p=rng.dirichlet(np.full(10, 0.7)))
        vectors = places[near] + 0.3 * rng.normal(size=(count, dim))
        points = rng.uniform(0, 200, (count, 2))
        images.append(features_of(vectors if signed else np.abs(vectors), points))
    return images
