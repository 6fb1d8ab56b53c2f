# SPDX-License-Identifier: MIT
"""NumPy columns: checked, and never changed through the batch that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set, ValuesView
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._validate import counted, shown


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``array``, which must be our own, with its flag set so that nothing writes to it by mistake."""
    array.flags.writeable = False
    return array


def is_frozen(array: npt.NDArray[Any]) -> bool:
    """Return whether nothing writes to the memory of ``array``: it and all that it is a view of forbid it."""
    base: object = array
    while isinstance(base, (np.ndarray, memoryview)):
        if base.flags.writeable if isinstance(base, np.ndarray) else not base.readonly:
            return False
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if base is None:
        return True
    try:
        with memoryview(base) as memory:  # type: ignore[arg-type]
            return memory.readonly  # bytes, and files mapped for reading
    except TypeError:
        return False


def as_array(name: str, value: object, kinds: str, what: str) -> npt.NDArray[Any]:
    """Return ``value``, which may be an iterator or a set, as an array of one of NumPy's ``kinds``.

    Raises TypeError for anything else, ValueError for rows of different lengths; ``what`` was expected.
    """
    given = list(value) if isinstance(value, (Iterator, Set, ValuesView)) else value
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{name}: expected {what}, got {shown(value)}") from None
    if array.dtype.kind not in kinds and (array.size or array.dtype.kind not in "fO" or array.ndim == 0):
        came = shown(value) if array.dtype == object else array.dtype
        raise TypeError(f"{name}: expected {what}, got {came}")
    return array


def as_reals(name: str, value: object) -> npt.NDArray[np.float32]:
    """Return ``value`` as a float32 array; TypeError for anything but real numbers (text, complex ones)."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and callers look for that.
        return as_array(name, value, "fiu", "an array of real numbers").astype(np.float32, copy=False)


def as_column(name: str, value: object, dtype: Any, ndim: int) -> npt.NDArray[Any]:
    """Return ``value`` as a C-contiguous read-only array of ``dtype`` without changing any integer.

    An array that nothing can write to is used where it is; any other is copied, so that a later change of it
    reaches nobody who was told that the values are sound.

    Raises TypeError for another kind of number and ValueError for another number of dimensions or for
    integers that ``dtype`` cannot hold.
    """
    target = np.dtype(dtype)
    whole = target.kind in "iu"
    if isinstance(value, np.ndarray) and value.dtype == target:
        array: npt.NDArray[Any] = value  # Writing a message for what is right takes longer than the rest.
    else:
        array = as_array(name, value, "iu" if whole else "fiu", f"an array of {target}")
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {counted(ndim, 'dimension')}, got shape {array.shape}")
    if array.dtype != target:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = array.astype(target)
        if whole and not np.array_equal(converted, array):
            raise ValueError(f"{name}: expected values that fit {target}, got {array.min()} to {array.max()}")
        array = converted
    column = np.ascontiguousarray(array)
    if is_frozen(column):
        return column
    made_here = isinstance(value, (list, tuple)) or (
        isinstance(value, np.ndarray) and not np.may_share_memory(column, value)
    )
    return frozen(column if made_here else column.copy())


def chosen_positions(key: object, length: int) -> range | npt.NDArray[np.intp]:
    """Return the positions along an axis of ``length`` that ``key`` chooses, none of them negative.

    ``key`` is an integer, a slice (both give a range), a boolean mask, or an array or iterable of integers.
    Raises TypeError for another kind of key, IndexError for one that does not fit the axis.
    """
    what = "a position, a slice, an array of positions or a mask"
    if isinstance(key, slice):
        try:
            return range(length)[key]
        except (TypeError, ValueError):
            raise TypeError(f"key: expected a slice of integers with a step, got {shown(key)}") from None
    if isinstance(key, SupportsIndex) and not isinstance(key, (bool, np.ndarray)):
        position = key.__index__()
        if not -length <= position < length:
            raise IndexError(_outside(length, position))
        return range(position % length, position % length + 1)
    if isinstance(key, (str, bytes, tuple, Mapping)) or not isinstance(key, Iterable):
        raise TypeError(f"key: expected {what}, got {shown(key)}")
    try:
        array = as_array("key", key if isinstance(key, np.ndarray) else list(key), "iub", what)
    except ValueError as error:
        raise TypeError(str(error)) from None
    if array.ndim != 1 or (array.dtype.kind == "b" and len(array) != length):
        expected = f"a mask of shape ({length},)" if array.dtype.kind == "b" else "one axis of positions"
        raise IndexError(f"key: expected {expected}, got shape {array.shape}")
    if array.dtype.kind == "b":
        return np.flatnonzero(array)
    if len(array) and not (array.min() >= -length and array.max() < length):
        raise IndexError(_outside(length, array.min() if array.min() < -length else array.max()))
    positions = array.astype(np.intp)
    return np.where(positions < 0, positions + length, positions)


def _outside(length: int, position: int) -> str:
    return f"key: expected positions from {-length} to {length - 1}, got {shown(int(position))}"
