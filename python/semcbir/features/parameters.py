# SPDX-License-Identifier: MIT
"""Checks of a feature's parameters, which also turn them into plain Python values fit for JSON."""

from __future__ import annotations

import math
import operator

import numpy as np


def assign(feature: object, name: str, value: object) -> None:
    """Set an attribute of a frozen dataclass, as its ``__post_init__`` may."""
    object.__setattr__(feature, name, value)


def flags(feature: object, *names: str) -> None:
    """The attributes ``names`` become bool; TypeError where one is anything else."""
    for name in names:
        value = getattr(feature, name)
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}: expected True or False, got {value!r}")
        assign(feature, name, bool(value))


def integers(feature: object, **ranges: tuple[int, int]) -> None:
    """The attributes named become int; TypeError, or ValueError outside of the closed range."""
    for name, (low, high) in ranges.items():
        value = getattr(feature, name)
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, got {value}")
        assign(feature, name, operator.index(value))


def reals(feature: object, **lows: float) -> None:
    """The attributes named become float; TypeError, or ValueError where not finite or too small."""
    for name, low in lows.items():
        value = getattr(feature, name)
        if isinstance(value, bool | str) or not hasattr(value, "__float__"):
            raise TypeError(f"{name}: expected a number, got {value!r}")
        if not (math.isfinite(value) and value >= low):
            raise ValueError(f"{name}: expected a finite number of at least {low:g}, got {value}")
        assign(feature, name, float(value))


def choice(feature: object, name: str, choices: tuple[str, ...]) -> None:
    """ValueError where the attribute ``name`` is none of ``choices``."""
    value = getattr(feature, name)
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
