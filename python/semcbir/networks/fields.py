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
from semcbir.networks.bounds import MAX_DEPTH, MAX_MEASURED, MAX_NAME

_T = TypeVar("_T")


def build(kind: type[_T], prefix: str, data: Any) -> _T:
    """Make a ``kind``, a dataclass, from a JSON object; the error names a missing or unknown field."""
    given = mapping(prefix.rstrip("."), data)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(map(str, set(given) - set(known))):
        name = unknown[0] if len(unknown[0]) <= 60 else unknown[0][:57] + "..."
        raise ValueError(f"{prefix}{name}: unknown field; expected some of {', '.join(known)}")
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
    """Return a copy of ``value`` if it is an object that JSON can hold, neither too large nor too deep."""
    try:
        whole = json.dumps(dict(mapping(name, value)), allow_nan=False)
        copy: dict[str, Any] = json.loads(whole)
        depth = _depth(copy)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected an object that JSON can hold, got {shown(value)}") from error
    if len(whole) > MAX_MEASURED or depth > MAX_DEPTH:
        raise ValueError(
            f"{name}: expected at most {MAX_MEASURED} characters of JSON, {MAX_DEPTH} levels deep, "
            f"got {len(whole)}, {depth} levels deep"
        )
    return copy


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def text(name: str, value: Any, *, longest: int = MAX_NAME, empty: bool = False) -> str:
    """Return ``value`` if it is text of at most ``longest`` characters; blank only if ``empty`` is true."""
    if not isinstance(value, str) or not (empty or value.strip()):
        raise ValueError(f"{name}: expected text, got {shown(value)}")
    if len(value) > longest:
        raise ValueError(f"{name}: expected at most {longest} characters, got {len(value)}")
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
    if len(numbers) != 3 or not all(map(_is_finite, numbers)):
        raise ValueError(f"{name}: expected 3 finite numbers (red, green, blue), got {shown(value)}")
    red, green, blue = numbers
    return float(red), float(green), float(blue)


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**53
