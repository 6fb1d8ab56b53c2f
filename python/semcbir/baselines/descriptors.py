# SPDX-License-Identifier: MIT
"""The local features that baselines are given: checked, and a sample of their descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from semcbir._validate import check_instance, shown
from semcbir.features.base import LocalFeatures

Floats: TypeAlias = NDArray[np.float32]


def checked_features(
    name: str, images: Iterable[LocalFeatures], dim: int | None = None
) -> Iterator[LocalFeatures]:
    """Yield the local features of each image, checked; the argument is called ``name``.

    ``dim``: the length D of descriptors; None: that of the first image. Raises TypeError for anything but
    float32 LocalFeatures, ValueError for another shape, another D, or numbers that are not finite.
    """
    if isinstance(images, LocalFeatures):
        raise TypeError(f"{name}: expected the LocalFeatures of several images, got those of one; pass [it]")
    try:
        items = iter(images)
    except TypeError:
        raise TypeError(f"{name}: expected the LocalFeatures of images, got {shown(images)}") from None
    for number, features in enumerate(items):
        place = f"{name}[{number}]"
        check_instance(place, features, LocalFeatures, "LocalFeatures")
        for part, shape in (("keypoints", "(n, 2)"), ("descriptors", "(n, D)")):
            _check_part(f"{place}.{part}", getattr(features, part), shape)
        points, vectors = features.keypoints, features.descriptors
        if points.shape[1] != 2 or len(points) != len(vectors):
            raise ValueError(
                f"{place}: expected keypoints (n, 2) and descriptors (n, D), got {points.shape} and "
                f"{vectors.shape}"
            )
        dim = vectors.shape[1] if dim is None else dim
        if vectors.shape[1] != dim or dim == 0:
            raise ValueError(
                f"{place}: expected descriptors of length {dim or 'at least 1'}, got {vectors.shape[1]}"
            )
        yield features


def _check_part(name: str, value: object, shape: str) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        came = value.dtype if isinstance(value, np.ndarray) else shown(value)
        raise TypeError(f"{name}: expected a float32 array {shape}, got {came}")
    if value.ndim != 2:
        raise ValueError(f"{name}: expected shape {shape}, got {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: expected finite numbers, got {value[~np.isfinite(value)][0]}")


def sampled(images: Sequence[LocalFeatures], most: int, seed: int) -> Floats:
    """Return all descriptors of ``images`` in their order, or ``most`` of them, drawn without replacement."""
    ends = np.cumsum([len(features) for features in images])
    total = int(ends[-1])
    if total <= most:
        return np.concatenate([features.descriptors for features in images])
    chosen = np.sort(np.random.default_rng(seed).choice(total, most, replace=False, shuffle=False))
    borders = np.searchsorted(chosen, [0, *ends])
    starts = [0, *ends[:-1]]
    return np.concatenate(
        [
            features.descriptors[chosen[low:high] - start]
            for features, start, low, high in zip(images, starts, borders[:-1], borders[1:], strict=True)
        ]
    )
