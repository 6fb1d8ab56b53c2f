# SPDX-License-Identifier: MIT
"""Distances and groups of all images in plain NumPy, for comparison."""

from __future__ import annotations

import numpy as np

from core_reference import Columns, Reference
from semcbir import Signatures


def distances(images: Signatures) -> np.ndarray:
    """Distances (n, n) by the definitions, rounded to float32 once, as float64."""
    s, classes = images, images.n_classes + images.whole
    columns = Columns(s.offsets, s.classes, s.proportions, s.centroids, s.ids)
    return np.sqrt(Reference(columns, columns, classes).squared).astype(np.float32).astype(np.float64)


def components(near: np.ndarray, ids: np.ndarray) -> list[list[int]]:
    """Connected components of two and more: what is reached is multiplied until nothing comes to it."""
    reached = near | np.eye(len(near), dtype=bool)
    while ((more := (reached.astype(int) @ reached) > 0) != reached).any():
        reached = more
    rows = {tuple(sorted(ids[row].tolist())) for row in reached}
    return [list(row) for row in sorted(rows) if len(row) > 1]
