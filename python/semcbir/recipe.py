# SPDX-License-Identifier: MIT
"""Recipe: how signatures were made, so that only those made alike are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from semcbir._validate import check_instance, check_integer, check_many, listed, shown
from semcbir.errors import RecipeMismatchError
from semcbir.features import Feature, feature_from_dict

FORMAT = 1
"""Version of everything that turns pixels into stored numbers; any change to those numbers raises it."""
MAX_LABELS = 2**16
MAX_LONG_SIDE = 2**16
_DEEPEST = 16


@dataclass(frozen=True)
class Recipe:
    """What must agree before two signatures may be compared.

    ``model`` is the part of a model card that decides labels (sha256, classes, masked, void,
    pre-processing, output); ``features`` are the local features with all their parameters; ``long_side`` is
    the bound in pixels on an image's longer side, at most MAX_LONG_SIDE (None: unbounded).
    """

    model: Mapping[str, Any]
    features: tuple[Feature, ...]
    long_side: int | None
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_instance("model", self.model, Mapping, "a mapping")
        features = tuple(check_many("features", self.features, "features"))
        for feature in features:
            check_instance("features", feature, Feature)
        if not features:
            raise ValueError("features: expected at least one, got none")
        object.__setattr__(self, "features", features)
        if self.long_side is not None:
            check_integer("long_side", self.long_side, 1, MAX_LONG_SIDE)
        check_integer("format", self.format, 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(self.model["classes"])

    @property
    def n_classes(self) -> int:
        """Number of labels, C."""
        return len(self.model["classes"])

    @property
    def void(self) -> int | None:
        """The label whose pixels and keypoints do not count, or None."""
        void = self.model.get("void")
        return None if void is None else int(void)

    def feature(self, name: str | None = None) -> Feature:
        """Return the feature called ``name`` (None: the first). Raises ValueError if the recipe lacks it."""
        if name is None:
            return self.features[0]
        for feature in self.features:
            if feature.name == name:
                return feature
        known = [feature.name for feature in self.features]
        raise ValueError(
            f"feature: expected {listed(known)}, got {shown(name)}; only {' and '.join(known)} "
            f"{'was' if len(known) == 1 else 'were'} computed, another index can hold others "
            "(`semcbir index FOLDER -o INDEX --features ...`)"
        )

    def for_feature(self, name: str | None = None) -> Recipe:
        """Return the recipe of the signatures of a single feature (None: the first)."""
        feature = self.feature(name)
        return self if self.features == (feature,) else replace(self, features=(feature,))

    def __hash__(self) -> int:
        return hash((self.model.get("sha256"), self.features, self.long_side, self.format))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values that JSON can hold."""
        return {
            "format": self.format,
            "model": dict(self.model),
            "features": [feature.to_dict() for feature in self.features],
            "long_side": self.long_side,
        }

    @classmethod
    def from_dict(cls, data: object) -> Recipe:
        """Rebuild a recipe from ``to_dict``. Raises ValueError, KeyError or TypeError if it is malformed."""
        if not isinstance(data, Mapping):
            raise TypeError(f"data: expected what to_dict gives, got {shown(data)}")
        if missing := {"model", "features", "long_side", "format"} - data.keys():
            raise ValueError(f"data: expected what to_dict gives, got nothing for {min(missing)}")
        if not isinstance(data["features"], (list, tuple)):
            raise TypeError(f"data: expected a list of features, got {shown(data['features'])}")
        features = tuple(feature_from_dict(feature) for feature in data["features"])
        names = [feature.name for feature in features]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"features: expected at least one, and each once, got {names}")
        long_side = data["long_side"]
        if long_side is not None:
            check_integer("long_side", long_side, 1, MAX_LONG_SIDE)
        check_integer("format", data["format"], 1)
        return cls(_checked_model(data["model"]), features, long_side, data["format"])

    def agrees(self, other: Recipe) -> bool:
        """Return whether ``differences`` would name nothing; fast where the two are the same or equal."""
        check_instance("other", other, Recipe)
        return self is other or self._equals(other) or not self.differences(other)

    def _equals(self, other: Recipe) -> bool:
        mine, theirs = (
            (recipe.features, recipe.long_side, recipe.format, {**recipe.model, "name": None})
            for recipe in (self, other)
        )
        return mine == theirs

    def differences(self, other: Recipe) -> list[str]:
        """Name what differs, as ``key: mine / other's`` lines; empty if the two agree.

        The model's name is not compared: its sha256 is.
        """
        check_instance("other", other, Recipe)
        mine, theirs = _flat(self), _flat(other)
        names = [[feature.name for feature in recipe.features] for recipe in (self, other)]
        if names[0] != names[1]:
            # The names of the features say more than all the parameters of a feature that only one has.
            mine, theirs = (
                {k: v for k, v in flat.items() if "features." not in k} for flat in (mine, theirs)
            )
            key = "features" if sorted(names[0]) != sorted(names[1]) else "order of features"
            mine[key], theirs[key] = map(", ".join, names)
        for what in ("model", "features.deep.encoder"):
            # Another model: that its card differs, too, says nothing.
            if mine.get(f"{what}.sha256") != theirs.get(f"{what}.sha256"):
                mine, theirs = (_named(flat, what) for flat in (mine, theirs))
        absent = "nothing"
        return [
            f"{key}: {mine.get(key, absent)} / {theirs.get(key, absent)}"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key, absent) != theirs.get(key, absent)
        ]


def _checked_model(model: object) -> dict[str, Any]:
    """Return a copy of a recipe's ``model`` from outside: nested a little, with what every one has."""
    if not isinstance(model, Mapping):
        raise TypeError(f"model: expected an object with named fields, got {shown(model)}")
    if not _is_shallow(model, _DEEPEST):
        raise ValueError(f"model: expected values nested at most {_DEEPEST} deep")
    for name in ("name", "sha256"):
        if not isinstance(model[name], str):
            raise TypeError(f"model.{name}: expected text, got {shown(model[name])}")
    classes = model["classes"]
    if not isinstance(classes, (list, tuple)) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"model.classes: expected a list of names, got {shown(classes)}")
    if not 1 <= len(classes) <= MAX_LABELS:
        raise ValueError(f"model.classes: expected 1 to {MAX_LABELS} names, got {len(classes)}")
    if model.get("void") is not None:
        check_integer("model.void", model["void"], 0, MAX_LABELS - 1)
    return dict(model)


def _is_shallow(value: object, depth: int) -> bool:
    if not isinstance(value, (Mapping, list, tuple)):
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in inner)


def require_same(expected: Recipe, came: Recipe | None, what: str) -> None:
    """Raise RecipeMismatchError, naming what differs, unless ``came`` equals ``expected``."""
    if came is None:
        raise RecipeMismatchError(
            f"{what} carry no recipe, so nothing shows that they were made like the index; "
            "make them with index.extractor()"
        )
    if expected.agrees(came):
        return
    differences = expected.differences(came)
    named = "; ".join(differences[:4])
    if len(differences) > 4:
        named += f"; and {len(differences) - 4} more differences"
    raise RecipeMismatchError(f"{what} are made differently from the index's (its / these): {named}")


def _named(flat: Mapping[str, str], what: str) -> dict[str, str]:
    """Return ``flat`` with the start of a model's sha256 in the place of all that its card says."""
    rest = {key: value for key, value in flat.items() if not key.startswith(f"{what}.")}
    if digest := flat.get(f"{what}.sha256"):
        rest[f"{what} sha256"] = f"{digest[1:13]}..."
    return rest


def _flat(recipe: Recipe) -> dict[str, str]:
    data = recipe.to_dict()
    data["model"] = {key: value for key, value in data["model"].items() if key != "name"}
    # "none" is not stored: older indexes know no other.
    data["features"] = {one["name"]: {"weighting": "none", **one} for one in data["features"]}
    return dict(_leaves("", data))


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in value:
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), value[key])
    elif isinstance(value, (list, tuple)) and len(value) > 8:
        # A reader cannot use a list of 150 class names; its length and first difference are enough.
        yield f"{prefix}.count", str(len(value))
        for i, item in enumerate(value):
            yield f"{prefix}[{i}]", repr(item)
    else:
        yield prefix, repr(list(value) if isinstance(value, tuple) else value)
