# SPDX-License-Identifier: MIT
"""NumPy columns: checked, and never changed through the batch that holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a read-only view; the array it was made from keeps its own flag."""
    view = array.view()
    view.flags.writeable = False
    return view


def as_column(name: str, value: npt.ArrayLike, dtype: Any, ndim: int) -> npt.NDArray[Any]:
    """Return ``value`` as a C-contiguous read-only array of ``dtype`` without changing any integer.

    Raises TypeError for another kind of number and ValueError for another number of dimensions or for
    integers that ``dtype`` cannot hold.
    """
    array = np.asarray(value)
    target = np.dtype(dtype)
    kinds = "iu" if target.kind in "iu" else "fiu"
    if array.dtype.kind not in kinds and array.size:
        raise TypeError(f"{name} must be an array of {target}, got {array.dtype}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' * (ndim > 1)}, got shape {array.shape}")
    if array.dtype != target:
        converted = array.astype(target)
        if target.kind in "iu" and not np.array_equal(converted, array):
            raise ValueError(f"{name} must fit {target}, got values from {array.min()} to {array.max()}")
        array = converted
    return read_only(np.ascontiguousarray(array))
