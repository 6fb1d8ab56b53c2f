# SPDX-License-Identifier: MIT
"""What every kind of local feature offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semcbir._validate import counted
from semcbir.features.parameters import choice

FloatArray: TypeAlias = NDArray[np.float32]
GreyArray: TypeAlias = NDArray[np.uint8]
WEIGHTINGS = ("none", "share")


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """The n keypoints of an image and their descriptors; n may be 0.

    ``keypoints``: float32 (n, 2), x and y in pixels; (0, 0) is the centre of the upper left pixel.
    ``descriptors``: float32 (n, D), finite. Both C-contiguous.
    """

    keypoints: FloatArray
    descriptors: FloatArray

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f"LocalFeatures({counted(len(self), 'keypoint')}, dim={self.descriptors.shape[1]})"


@dataclass(frozen=True)
class Feature(ABC):
    """A kind of feature with its parameters. Subclasses are frozen dataclasses, and thread-safe.

    ``weighting``, a keyword of every kind, says how the rows of a signature count in a distance. "none": as
    Algorithm 1 gives them; "share": by the share of their class (see ``semcbir.weighted``).
    """

    name: ClassVar[str]
    epsilon: ClassVar[float | None] = 0.9
    """The filter's threshold unless a search gives another (eq. 1; None: no filter)."""

    weighting: str = field(default="none", kw_only=True)

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length D of a descriptor."""

    @property
    def whole_row(self) -> bool:
        """Whether its signatures have whole rows (``Signatures.whole``)."""
        return False

    def with_weighting(self, weighting: str) -> Self:
        """Return the same feature with another ``weighting``."""
        return replace(self, weighting=weighting)

    @abstractmethod
    def check_available(self) -> None:
        """Raise :class:`SemcbirError`, which says what to install, if the implementation is missing here."""

    @classmethod
    def _from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """Return the feature with these parameters; ValueError or TypeError for wrong or unknown ones."""
        unknown = parameters.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"{cls.name}: unknown parameters {', '.join(sorted(map(str, unknown)))}")
        return cls(**parameters)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": ..., parameter: value, ...}`` for JSON; :func:`feature_from_dict` reads it."""
        plain = asdict(self)
        if self.weighting == "none":  # as every index was made before there was another
            del plain["weighting"]
        return {"name": self.name, **plain}


class LocalFeature(Feature):
    """A kind of local feature: keypoints of a grey image, and how each looks."""

    def __post_init__(self) -> None:
        choice(self, "weighting", WEIGHTINGS)

    @abstractmethod
    def _compute(self, grey: GreyArray) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return keypoints (n, 2) and descriptors (n, D) of any float type."""

    def detect_and_compute(self, grey: GreyArray) -> LocalFeatures:
        """Return keypoints and descriptors of a grey image, uint8 (H, W), of any size from 1 x 1.

        On one computer the same image gives the same bits for any number of OpenCV's threads. Keypoints whose
        position or descriptor is not finite are left out.

        Raises:
            TypeError, ValueError: ``grey`` is not a uint8 array of two dimensions with at least one pixel.
            SemcbirError: see :meth:`check_available`.
        """
        check_uint8("grey", grey, "a grey image")
        if grey.ndim != 2 or grey.size == 0:
            raise ValueError(f"grey: expected a grey image of shape (height, width), got shape {grey.shape}")
        self.check_available()
        keypoints, descriptors = self._compute(np.ascontiguousarray(grey))
        points = np.ascontiguousarray(keypoints, np.float32).reshape(-1, 2)
        vectors = np.ascontiguousarray(descriptors, np.float32).reshape(-1, self.dim)
        finite = np.isfinite(vectors).all(axis=1) & np.isfinite(points).all(axis=1)
        if not finite.all():
            points, vectors = points[finite], vectors[finite]
        return LocalFeatures(points, vectors)


def check_uint8(name: str, array: object, what: str) -> None:
    """Raise TypeError if ``array`` is not a uint8 array; ``what`` was expected."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected {what} as a uint8 array, got {type(array).__name__}")
    if array.dtype != np.uint8:
        raise TypeError(f"{name}: expected {what} of dtype uint8, got {array.dtype}")
