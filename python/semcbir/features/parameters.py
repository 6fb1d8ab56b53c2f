# SPDX-License-Identifier: MIT
"""Checks of a feature's parameters, which also turn them into plain Python values fit for JSON."""

from __future__ import annotations

import math

import numpy as np

from semcbir._validate import check_choice, check_integer


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
        assign(feature, name, check_integer(name, getattr(feature, name), low, high))


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
    check_choice(name, getattr(feature, name), choices)
