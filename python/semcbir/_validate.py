# SPDX-License-Identifier: MIT
"""Checks of arguments: what was expected, and what came."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt


def check_integer(name: str, value: SupportsIndex, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int; TypeError unless it is an integer, ValueError outside ``low``..``high``.

    ``high`` None: no upper bound.
    """
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer {bounds}, got {shown(value)}")
    number = operator.index(value)
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name}: expected an integer {bounds}, got {number}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value``; ValueError unless it is one of the texts ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected {listed(choices)}, got {shown(value)}")
    return value


def listed(choices: Iterable[str]) -> str:
    """The texts ``choices`` as a message lists them."""
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: object) -> str:
    """``value`` for a message, cut short where it is long."""
    whole = repr(value)
    return whole if len(whole) <= 60 else whole[:57] + "..."


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
