# SPDX-License-Identifier: MIT
"""Checks of arguments: what was expected, and what was given."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import SupportsIndex


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
    """Return the texts ``choices`` as a list for a message."""
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: object) -> str:
    """Return ``value`` for a message, shortened if it is long."""
    whole = repr(value)
    return whole if len(whole) <= 60 else whole[:57] + "..."
