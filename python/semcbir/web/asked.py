# SPDX-License-Identifier: MIT
"""What a page shows, as the parameters of its address: each state has one, and each one is a state."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from semcbir._validate import shown
from semcbir.expansion import MAX_EXPAND
from semcbir.index.where import parse_where
from semcbir.regions import check_region
from semcbir.smoothing import MAX_SMOOTH
from semcbir.terms import MAX_SHARE, MIN_SHARE

MAX_HITS = 500
"""The most hits of an answer."""
MAX_QUERIES = 20
"""The most photos of one query."""
_TOKEN = re.compile(r"u[0-9a-f]{32}")


@dataclass(frozen=True)
class Photo:
    """A photo of a query, with its weight: an image of the index by its id, or one that was sent."""

    key: int | str
    weight: float = 1.0

    def __str__(self) -> str:
        return str(self.key) if self.weight == 1 else f"{self.key}:{self.weight:g}"


@dataclass(frozen=True)
class Asked:
    """A search, as ``semcbir.search`` has it; ``photos`` are one query together."""

    photos: tuple[Photo, ...] = ()
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    region: tuple[int, ...] | None = None
    where: tuple[str, ...] = ()
    epsilon: float | str | None = "auto"
    keep: int | None = None
    penalized: str = "last"
    feature: str | None = None
    smooth: int | None = None
    expand: int = 0
    k: int = 60
    min_share: float = MIN_SHARE
    max_share: float = MAX_SHARE

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]]) -> Asked:
        """Read the parameters of an address. Raises ValueError, with its name, for a wrong one."""
        given: dict[str, list[str]] = {}
        for name, text in parameters:
            if name not in PARAMETERS:
                raise ValueError(f"{shown(name)}: expected one of {', '.join(PARAMETERS)}")
            if text:
                given.setdefault(name, []).append(text)
        values: dict[str, Any] = {}
        for name, texts in given.items():
            if name not in ("q", "where", "only", "without", "weights") and len(texts) > 1:
                raise ValueError(f"{name}: expected one value, got {len(texts)}")
            values["photos" if name == "q" else name] = PARAMETERS[name](texts)
        asked = cls(**values)
        if asked.keep is not None and asked.epsilon != "auto":
            raise ValueError("keep: expected no epsilon beside it, got both")
        if asked.region is not None and len(asked.photos) != 1:
            raise ValueError(f"region: expected one photo, got {len(asked.photos)}")
        return asked

    def parameters(self) -> list[tuple[str, str]]:
        """Return the parameters of this state's address; what is as usual is left out."""
        usual, pairs = Asked(), [("q", str(photo)) for photo in self.photos]
        for name in ("only", "without"):
            if names := getattr(self, name):
                pairs.append((name, ",".join(names)))
        if self.weights:
            pairs.append(("weights", ",".join(f"{name}={value:g}" for name, value in self.weights.items())))
        if self.region is not None:
            pairs.append(("region", ",".join(map(str, self.region))))
        pairs += [("where", one) for one in self.where]
        for name in SIMPLE:
            value = getattr(self, name)
            if value != getattr(usual, name):
                pairs.append(
                    (
                        name,
                        "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
                    )
                )
        return pairs

    def among(self, only: tuple[str, ...], without: tuple[str, ...]) -> Asked:
        """Return this with other classes that are compared alone, or must not be there.

        Weights of classes that do not count then go, and so does a pixel, whose class was meant; a box stays.
        """
        weights = {name: value for name, value in self.weights.items() if not only or name in only}
        region = self.region if self.region is not None and len(self.region) == 4 else None
        return replace(self, only=only, without=without, weights=weights, region=region)

    def changed(self, **values: Any) -> Asked:
        """Return this with other values."""
        return replace(self, **values)


SIMPLE = ("epsilon", "keep", "penalized", "feature", "smooth", "expand", "k", "min_share", "max_share")
"""Parameters that are one value, and are called as those of ``semcbir.search``."""


def _photos(texts: list[str]) -> tuple[Photo, ...]:
    if len(texts) > MAX_QUERIES:
        raise ValueError(f"q: expected at most {MAX_QUERIES} photos, got {len(texts)}")
    return tuple(map(_photo, texts))


def _photo(text: str) -> Photo:
    key, colon, weight = text.partition(":")
    if not (_TOKEN.fullmatch(key) or (key.isascii() and key.isdigit() and len(key) <= 18)):
        raise ValueError(f"q: expected an id, or what an upload gave, got {shown(text)}")
    return Photo(
        key if key.startswith("u") else int(key), _number("q", -100, 100)([weight]) if colon else 1.0
    )


def _names(texts: list[str]) -> tuple[str, ...]:
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())


def _weights(texts: list[str]) -> dict[str, float]:
    weights = {}
    for pair in _names(texts):
        name, equals, value = pair.rpartition("=")
        if not equals or not name:
            raise ValueError(f"weights: expected CLASS=NUMBER, got {shown(pair)}")
        weights[name] = _number("weights", 0, 1e6)([value])
    return weights


def _region(texts: list[str]) -> tuple[int, ...]:
    numbers = texts[0].split(",")
    if len(numbers) not in (2, 4) or not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers):
        raise ValueError(f"region: expected X,Y or X0,Y0,X1,Y1, got {shown(texts[0])}")
    region = tuple(map(int, numbers))
    check_region(region)
    return region


def _where(texts: list[str]) -> tuple[str, ...]:
    parse_where(texts)
    return tuple(texts)


def _epsilon(texts: list[str]) -> float | str | None:
    return (
        {"auto": "auto", "none": None}[texts[0]]
        if texts[0] in ("auto", "none")
        else _number("epsilon", 0, 2)(texts)
    )


def _number(name: str, low: float, high: float) -> Callable[[list[str]], float]:
    def parse(texts: list[str]) -> float:
        try:
            value = float(texts[0])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {shown(texts[0])}")
        return value

    return parse


def _integer(name: str, low: int, high: int) -> Callable[[list[str]], int]:
    def parse(texts: list[str]) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", texts[0]) or not low <= int(texts[0]) <= high:
            raise ValueError(f"{name}: expected an integer from {low} to {high}, got {shown(texts[0])}")
        return int(texts[0])

    return parse


def _penalized(texts: list[str]) -> str:
    if texts[0] not in ("last", "drop"):
        raise ValueError(f"penalized: expected 'last' or 'drop', got {shown(texts[0])}")
    return texts[0]


PARAMETERS: dict[str, Callable[[list[str]], Any]] = {
    "q": _photos,
    "only": _names,
    "without": _names,
    "weights": _weights,
    "region": _region,
    "where": _where,
    "epsilon": _epsilon,
    "keep": _integer("keep", 1, 2**31 - 1),
    "penalized": _penalized,
    "feature": lambda texts: texts[0],
    "smooth": _integer("smooth", 1, MAX_SMOOTH),
    "expand": _integer("expand", 0, MAX_EXPAND),
    "k": _integer("k", 1, MAX_HITS),
    "min_share": _number("min_share", 0, 1),
    "max_share": _number("max_share", 0, 1),
}
"""What an address may say, and how it is read."""
