# SPDX-License-Identifier: MIT
"""Checks of a card's fields: each raises a ValueError that says what was expected and what was given."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from semcbir._validate import check_integer, shown

_T = TypeVar("_T")


def build(kind: type[_T], prefix: str, data: Any) -> _T:
    """Make a ``kind``, a dataclass, from a JSON object; the error names a missing or unknown field."""
    given = mapping(prefix.rstrip("."), data)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{prefix}{unknown[0]}: unknown field; expected some of {', '.join(known)}")
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{prefix}{name}: missing")
    return kind(**given)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected an object with named fields, got {shown(value)}")
    return value


def sequence(name: str, value: Any) -> Sequence[Any]:
    """Return ``value`` if it is a list or a tuple."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name}: expected a list, got {shown(value)}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """Return ``value`` as a float if it is a number above ``low`` and at most ``high``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low < value <= high:
        raise ValueError(f"{name}: expected a number above {low} and at most {high}, got {shown(value)}")
    return float(value)


def json_object(name: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``value`` if it is an object that JSON can represent."""
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(mapping(name, value)), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected an object that JSON can hold, got {shown(value)}") from error
    return copy


def text(name: str, value: Any, *, empty: bool = False) -> str:
    """Return ``value`` if it is text; blank text only if ``empty`` is true."""
    if not isinstance(value, str) or not (empty or value.strip()):
        raise ValueError(f"{name}: expected text, got {shown(value)}")
    return value


def integer(name: str, value: Any, low: int, high: int) -> int:
    """Return ``value`` if it is a plain int, as JSON gives it, from ``low`` to ``high``."""
    try:
        number = check_integer(name, value, low, high)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, int):
        raise ValueError(f"{name}: expected a plain integer, got {shown(value)}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {shown(value)}")
    return value


def instance(name: str, value: Any, kind: type[_T]) -> _T:
    """Return ``value`` if it is an instance of ``kind``."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: expected {kind.__name__}, got {shown(value)}")
    return value


def matching(name: str, value: Any, pattern: str, what: str) -> str:
    """Return ``value`` if it is text that matches ``pattern`` as a whole."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"{name}: expected {what}, got {shown(value)}")
    return value


def three_numbers(name: str, value: Any) -> tuple[float, float, float]:
    """Return ``value`` as floats if it is three finite numbers."""
    numbers = sequence(name, value)
    if len(numbers) != 3 or not all(
        isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers
    ):
        raise ValueError(f"{name}: expected 3 finite numbers (red, green, blue), got {shown(value)}")
    red, green, blue = numbers
    return float(red), float(green), float(blue)
