# SPDX-License-Identifier: MIT
"""Checks of integers and NumPy columns: what was expected, and what came."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt


def check_integer(name: str, value: SupportsIndex, low: int, high: int) -> int:
    """Return ``value`` as an int; TypeError unless it is an integer, ValueError outside ``low``..``high``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    number = operator.index(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {number}")
    return number


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


def check_rows(offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16], n_classes: int) -> None:
    """Raise ValueError unless ``offsets`` and ``classes`` describe rows that are safe to walk.

    Offsets run from 0 to the number of rows without falling; within an image classes rise strictly and
    stay below ``n_classes``.
    """
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(classes):
        came = f"{offsets[0]} to {offsets[-1]}" if len(offsets) else "nothing"
        raise ValueError(f"offsets must run from 0 to the number of rows, {len(classes)}, got {came}")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError("offsets must not fall, got a smaller one after a larger one")
    if len(classes) and classes.max() >= n_classes:
        raise ValueError(f"classes must be below n_classes={n_classes}, got {classes.max()}")
    rising = classes[1:] > classes[:-1]
    starts = offsets[1:-1]
    rising[starts[(starts > 0) & (starts < len(classes))] - 1] = True
    if not rising.all():
        raise ValueError("classes must rise strictly within an image, got one out of order or twice")
