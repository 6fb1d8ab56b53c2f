# SPDX-License-Identifier: MIT
"""Checks of a feature's parameters, which also turn them into plain Python values that JSON can hold."""

from __future__ import annotations

import math

import numpy as np

from semcbir._validate import as_number, check_choice, check_integer, shown


def assign(feature: object, name: str, value: object) -> None:
    """Set an attribute of a frozen dataclass, from its ``__post_init__`` only."""
    object.__setattr__(feature, name, value)


def flags(feature: object, *names: str) -> None:
    """Make the attributes ``names`` bool; TypeError if one is anything else."""
    for name in names:
        value = getattr(feature, name)
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}: expected True or False, got {shown(value)}")
        assign(feature, name, bool(value))


def integers(feature: object, **ranges: tuple[int, int]) -> None:
    """Make the named attributes int; TypeError for another type, ValueError outside the closed range."""
    for name, (low, high) in ranges.items():
        assign(feature, name, check_integer(name, getattr(feature, name), low, high))


def fractions(feature: object, *names: str) -> None:
    """Make the attributes ``names`` float; TypeError for another type, ValueError outside [0, 1]."""
    for name in names:
        value = as_number(name, getattr(feature, name), "a number from 0 to 1")
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, got {value}")
        assign(feature, name, value)


def reals(feature: object, **ranges: tuple[float, float]) -> None:
    """Make the named attributes float; TypeError for another type, ValueError outside the closed range.

    The upper end may be infinite, but no value may be.
    """
    for name, (low, high) in ranges.items():
        value = getattr(feature, name)
        bounded = math.isfinite(high)
        what = f"a number from {low:g} to {high:g}" if bounded else f"a finite number of at least {low:g}"
        number = as_number(name, value, what)
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError(f"{name}: expected {what}, got {shown(value)}")
        assign(feature, name, number)


def choice(feature: object, name: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError if the attribute ``name`` is not one of ``choices``."""
    check_choice(name, getattr(feature, name), choices)
