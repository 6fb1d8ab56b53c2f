# SPDX-License-Identifier: MIT
"""Vectors of images that baselines are given, checked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semcbir._columns import as_array
from semcbir.baselines.normalising import Doubles


def checked_vectors(name: str, value: npt.ArrayLike, dim: int | None = None) -> Doubles:
    """Return ``value`` as float64 (n, D), D of at least 1 or ``dim``; n may be 0 if ``dim`` is given.

    Raises TypeError for anything but real numbers, ValueError for another shape, or what is not finite.
    """
    array = as_array(name, value, "fiu", "an array of real numbers")
    wanted = f"(n, {'D' if dim is None else dim})"
    if array.ndim != 2 or array.shape[1] != (array.shape[1] if dim is None else dim):
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
    if dim is None and array.size == 0:
        raise ValueError(f"{name}: expected shape {wanted} with at least one number, got {array.shape}")
    vectors = array.astype(np.float64)
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name}: expected finite numbers, got {vectors[~np.isfinite(vectors)][0]}")
    return vectors
