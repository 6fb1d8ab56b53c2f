# SPDX-License-Identifier: MIT
"""Checks of arguments: what was expected, and what was given."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex


def check_integer(name: str, value: SupportsIndex, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int; TypeError unless it is an integer, ValueError outside ``low``..``high``.

    ``high`` None: no upper bound.
    """
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    number = as_integer(name, value, f"an integer {bounds}")
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name}: expected an integer {bounds}, got {shown(number)}")
    return number


def as_integer(name: str, value: object, what: str) -> int:
    """Return ``value`` as an int; TypeError unless it is an integer, and not True or False."""
    if type(value) is int:  # The rest takes a while, for a protocol is looked for.
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}")
    try:
        return operator.index(value)
    except TypeError:  # an array
        raise TypeError(f"{name}: expected {what}, got {shown(value)}") from None


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value``; ValueError unless it is one of the texts ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected {listed(choices)}, got {shown(value)}")
    return value


def check_instance(name: str, value: object, kind: type, what: str | None = None) -> None:
    """Raise TypeError unless ``value`` is a ``kind``, which the message calls ``what``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {what or named(kind)}, got {shown(value)}")


def as_number(name: str, value: Any, what: str) -> float:
    """Return ``value`` as a float, infinite if it is too large; TypeError unless it is a real number."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}") from None


def check_many(name: str, value: object, what: str) -> list[Any]:
    """Return the items of ``value``, which may be a generator, as a list; ``what`` says what was expected.

    Raises TypeError unless it is iterable, and for text, bytes and mappings, whose items nobody means.
    """
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}")
    if callable(getattr(value, "read", None)):
        raise TypeError(f"{name}: expected {what}, got an open file; pass what its read() gives, or its name")
    try:
        items = iter(value)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"{name}: expected {what}, got {shown(value)}") from None
    return list(items)


def check_call(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` can be called or is None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function or None, got {shown(value)}")


def check_flag(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is True or False."""
    check_instance(name, value, bool, "True or False")


def named(kind: type) -> str:
    """Return a class's name with its article."""
    return f"a{'n' * (kind.__name__[0] in 'AEIO')} {kind.__name__}"


def counted(count: int, what: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def listed(choices: Iterable[str]) -> str:
    """Return the texts ``choices`` as a list for a message."""
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: object) -> str:
    """Return ``value`` for a message, shortened if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**60:
        return "a huge integer"  # Python refuses to write out the largest.
    whole = " ".join(repr(value).split())
    return whole if len(whole) <= 60 else whole[:57] + "..."
