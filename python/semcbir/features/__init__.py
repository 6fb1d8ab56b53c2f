# SPDX-License-Identifier: MIT
"""Local features: the points of an image that stand out (keypoints), and how each looks (descriptors).

Each kind of feature is a frozen dataclass whose fields are its parameters, named as in OpenCV (in snake
case) and with OpenCV's defaults. The parameters are part of an index's recipe.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from semcbir._validate import check_many, shown
from semcbir.features.base import Feature, LocalFeature, LocalFeatures, check_uint8
from semcbir.features.deep import Deep
from semcbir.features.hog import HOG
from semcbir.features.kaze import KAZE
from semcbir.features.sift import SIFT
from semcbir.features.surf import SURF

__all__ = [
    "DEFAULT_FEATURES",
    "FEATURES",
    "HOG",
    "KAZE",
    "SIFT",
    "SURF",
    "Deep",
    "Feature",
    "LocalFeature",
    "LocalFeatures",
    "extract_features",
    "feature_from_dict",
    "feature_names",
    "parse_features",
]

FEATURES: dict[str, type[Feature]] = {kind.name: kind for kind in (Deep, KAZE, SURF, SIFT, HOG)}
"""The kinds of features by name."""
DEFAULT_FEATURES = Deep.name
"""What a new index holds unless features are named."""


def parse_features(
    features: str | Feature | Iterable[str | Feature] | None = None,
    *,
    encoder: str | os.PathLike[str] | None = None,
    weighting: str | None = None,
    held: Iterable[Feature] = (),
) -> tuple[Feature, ...]:
    """Return features, given as "kaze,hog", as names, or as features; in the order given.

    A name means the feature of that name among ``held``, those of an index, or else one with its defaults;
    None means all of ``held``, or else the default one. ``encoder``, of "deep", and ``weighting`` change
    what was not given as a feature; None: they stay.

    Raises:
        ValueError: an unknown name, the same kind twice, no feature at all, or an ``encoder`` or
            ``weighting`` that none of the features takes.
        TypeError: something that is neither a name nor a feature.
        SemcbirError: a feature that this computer cannot compute.
    """
    known = {feature.name: feature for feature in held}
    if features is None:
        features = tuple(known) or DEFAULT_FEATURES
    if isinstance(features, str):
        features = features.split(",")
    elif isinstance(features, Feature):
        features = (features,)
    elif isinstance(features, Mapping):  # of something by feature
        features = tuple(features)
    many = check_many("features", features, "names or features")
    kinds = [feature if isinstance(feature, Feature) else _kind(feature) for feature in many]
    names = [kind.name for kind in kinds]
    if not names:
        raise ValueError(f"features: expected at least one of {_known()}, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"features: expected each once, got {', '.join(names)}")
    if encoder is not None and Deep not in kinds:
        raise ValueError(f"encoder: expected feature deep, as no other has one, got {', '.join(names)}")
    if weighting is not None and all(isinstance(kind, Feature) for kind in kinds):
        raise ValueError("weighting: expected features given by name, got features with their own")
    parsed = tuple(
        kind if isinstance(kind, Feature) else _made(kind, known.get(kind.name), encoder, weighting)
        for kind in kinds
    )
    for feature in parsed:
        feature.check_available()
    return parsed


def feature_from_dict(parameters: Mapping[str, Any]) -> Feature:
    """Return the feature that :meth:`Feature.to_dict` described.

    It need not be available here: indexes made elsewhere can be opened and searched with ready signatures.

    Raises:
        ValueError, TypeError: a missing or unknown name, an unknown parameter, a value out of range.
    """
    values = dict(parameters)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in FEATURES:
        raise ValueError(f"expected a feature of {_known()}, got {name!r}")
    kind = FEATURES[name]
    return kind._from_parameters(values)


def extract_features(
    image: npt.NDArray[np.uint8], features: Iterable[LocalFeature]
) -> dict[str, LocalFeatures]:
    """Return all local ``features`` of an RGB uint8 (H, W, 3) image, by name.

    They are found in its grey values (ITU-R BT.601).

    Raises:
        TypeError, ValueError: ``image`` is not such an array.
        SemcbirError: a feature is not available here.
    """
    check_uint8("image", image, "an RGB image")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image: expected an RGB image of shape (height, width, 3), got shape {image.shape}")
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return {feature.name: feature.detect_and_compute(grey) for feature in features}


def feature_names(names: str) -> list[str]:
    """Return the names in "kaze,hog", checked; ValueError for unknown ones, the same twice or none."""
    found = [_name(name) for name in names.split(",")]
    if len(set(found)) < len(found):
        raise ValueError(f"features: expected each once, got {', '.join(found)}")
    return found


def _name(name: str) -> str:
    plain = name.strip().lower()
    if plain not in FEATURES:
        raise ValueError(f"features: expected some of {_known()}, got {shown(name.strip())}")
    return plain


def _kind(feature: object) -> type[Feature]:
    if not isinstance(feature, str):
        raise TypeError(f"features: expected names or features, got {shown(feature)}")
    return FEATURES[_name(feature)]


def _made(
    kind: type[Feature],
    held: Feature | None,
    encoder: str | os.PathLike[str] | None,
    weighting: str | None,
) -> Feature:
    """Return ``held``, or a feature of ``kind``, with ``encoder`` and ``weighting`` where they are given."""
    if held is None:
        held = Deep(encoder) if issubclass(kind, Deep) else kind()
    elif isinstance(held, Deep) and encoder is not None:
        held = held.with_encoder(encoder)
    return held if weighting is None else held.with_weighting(weighting)


def _known() -> str:
    return ", ".join(FEATURES)
