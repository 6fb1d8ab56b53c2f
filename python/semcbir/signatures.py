# SPDX-License-Identifier: MIT
"""Signatures: semantic signatures and histograms of many images, in columns (Sect. 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._columns import as_column, read_only
from semcbir._validate import check_integer
from semcbir.recipe import Recipe
from semcbir.threads import check_threads

MAX_CLASSES = 65536


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Signatures:
    """n images in columns, CSR by image; a row is a class that is present in an image.

    The rows of image ``i`` are ``offsets[i]:offsets[i + 1]``, their classes ascending. An image whose pixels
    are all void has no rows.

    - ``offsets``: int64 (n + 1,), from 0 to the number of rows
    - ``classes``: uint16 (rows,), below ``n_classes``
    - ``proportions``: float32 (rows,), the class's share of the labelled pixels, P_c of eq. 1, in [0, 1]
    - ``counts``: uint32 (rows,), keypoints on the class
    - ``centroids``: float32 (rows, D), mean descriptor S_c of Algorithm 1; zeros where ``counts`` is 0
    - ``n_classes``: C, the model's number of labels
    - ``ids``: int64 (n,), unique and not negative; 0..n-1 if not given
    - ``recipe``: how the signatures were made, or None

    The arrays are read-only views of what was given. Raises TypeError for an array of the wrong kind,
    ValueError for one of the wrong shape or content.
    """

    offsets: npt.NDArray[np.int64]
    classes: npt.NDArray[np.uint16]
    proportions: npt.NDArray[np.float32]
    counts: npt.NDArray[np.uint32]
    centroids: npt.NDArray[np.float32]
    n_classes: int
    ids: npt.NDArray[np.int64]
    recipe: Recipe | None

    def __init__(
        self,
        *,
        offsets: npt.ArrayLike,
        classes: npt.ArrayLike,
        proportions: npt.ArrayLike,
        counts: npt.ArrayLike,
        centroids: npt.ArrayLike,
        n_classes: int,
        ids: npt.ArrayLike | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        self._set("offsets", as_column("offsets", offsets, np.int64, 1))
        self._set("classes", as_column("classes", classes, np.uint16, 1))
        self._set("proportions", as_column("proportions", proportions, np.float32, 1))
        self._set("counts", as_column("counts", counts, np.uint32, 1))
        self._set("centroids", as_column("centroids", centroids, np.float32, 2))
        self._set("n_classes", check_integer("n_classes", n_classes, 1, MAX_CLASSES))
        _core.check_rows(self.offsets, self.classes, self.n_classes)
        self._set("ids", as_column("ids", np.arange(len(self)) if ids is None else ids, np.int64, 1))
        if recipe is not None and not isinstance(recipe, Recipe):
            raise TypeError(f"recipe must be a Recipe or None, got {type(recipe).__name__}")
        self._set("recipe", recipe)
        self._check_lengths()
        self._check_values()

    @classmethod
    def _unchecked(cls, **columns: Any) -> Signatures:
        """Wrap columns that are known to be sound: the core's own, or validated slices of a segment."""
        signatures = object.__new__(cls)
        for name, value in columns.items():
            signatures._set(name, read_only(value) if isinstance(value, np.ndarray) else value)
        return signatures

    @classmethod
    def empty(cls, n_classes: int, dim: int, recipe: Recipe | None = None) -> Signatures:
        """Return a batch without images, for ``n_classes`` classes and descriptors of length ``dim``."""
        return cls(
            offsets=np.zeros(1, np.int64),
            classes=np.empty(0, np.uint16),
            proportions=np.empty(0, np.float32),
            counts=np.empty(0, np.uint32),
            centroids=np.empty((0, dim), np.float32),
            n_classes=n_classes,
            recipe=recipe,
        )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_lengths(self) -> None:
        rows = len(self.classes)
        for name in ("proportions", "counts", "centroids"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} must have {rows} rows like classes, got {len(getattr(self, name))}")
        if self.centroids.shape[1] == 0:
            raise ValueError("centroids must have at least one column, got shape (rows, 0)")
        if len(self.ids) != len(self):
            raise ValueError(f"ids must have {len(self)} entries, one for each image, got {len(self.ids)}")

    def _check_values(self) -> None:
        # Written so that NaN fails too.
        if not ((self.proportions >= 0) & (self.proportions <= 1)).all():
            raise ValueError("proportions must be shares between 0 and 1")
        if not np.isfinite(self.centroids).all():
            raise ValueError("centroids must be finite, got NaN or infinity")
        if self.centroids[self.counts == 0].any():
            raise ValueError("centroids must be zero where counts is 0 (the null vector of Algorithm 1)")
        if len(self) and self.ids.min() < 0:
            raise ValueError(f"ids must not be negative, got {self.ids.min()}")
        if (np.diff(self.ids) <= 0).any() and len(np.unique(self.ids)) != len(self):
            raise ValueError("ids must be unique, got the same id more than once")

    def __len__(self) -> int:
        """Return n, the number of images."""
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """D, the length of a descriptor."""
        return int(self.centroids.shape[1])

    def __repr__(self) -> str:
        feature = f", feature={self.recipe.feature().name!r}" if self.recipe else ""
        rows = len(self.classes)
        shape = f"{len(self)} images, {rows} rows, n_classes={self.n_classes}, dim={self.dim}"
        return f"Signatures({shape}{feature})"

    def __getitem__(
        self, key: SupportsIndex | slice | npt.NDArray[Any] | list[int] | list[bool]
    ) -> Signatures:
        """Return the chosen images as a batch that keeps their ids.

        ``key`` is an integer (a batch of one), a slice, an integer array or a boolean mask (n,). A slice
        of step 1 shares memory, anything else copies. Raises IndexError where NumPy does.
        """
        if isinstance(key, slice) and key.indices(len(self))[2] == 1:
            start, stop, _ = key.indices(len(self))
            return self._range(start, max(start, stop))
        if isinstance(key, SupportsIndex) and not isinstance(key, np.ndarray):
            position = range(len(self))[key.__index__()]
            return self._range(position, position + 1)
        if isinstance(key, list) and not key:
            key = slice(0)  # NumPy would take an empty list for a list of floats.
        return self._take(np.arange(len(self))[key])

    def _range(self, start: int, stop: int) -> Signatures:
        low, high = int(self.offsets[start]), int(self.offsets[stop])
        return Signatures._unchecked(
            offsets=self.offsets[start : stop + 1] - low,
            classes=self.classes[low:high],
            proportions=self.proportions[low:high],
            counts=self.counts[low:high],
            centroids=self.centroids[low:high],
            n_classes=self.n_classes,
            ids=self.ids[start:stop],
            recipe=self.recipe,
        )

    def _take(self, positions: npt.NDArray[np.intp]) -> Signatures:
        if positions.ndim != 1:
            raise IndexError(f"expected an index along one axis, got one of {positions.ndim} dimensions")
        lengths = np.diff(self.offsets)[positions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Row numbers: each image's first row, repeated, plus a counter that restarts at each image.
        rows = np.repeat(self.offsets[positions] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Signatures(
            offsets=offsets,
            classes=self.classes[rows],
            proportions=self.proportions[rows],
            counts=self.counts[rows],
            centroids=self.centroids[rows],
            n_classes=self.n_classes,
            ids=self.ids[positions],
            recipe=self.recipe,
        )

    @staticmethod
    def concatenate(batches: Iterable[Signatures], *, ids: npt.ArrayLike | None = None) -> Signatures:
        """Join batches in order. ``ids`` (n,) replaces theirs; it is required if theirs collide.

        Raises ValueError if there are no batches, if they differ in classes, descriptor length or recipe, or
        if ids collide.
        """
        parts = list(batches)
        if not parts:
            raise ValueError("batches must hold at least one Signatures, got none")
        first = parts[0]
        for part in parts[1:]:
            _check_alike(first, part)
        offsets, base = [np.zeros(1, np.int64)], 0
        for part in parts:
            offsets.append(part.offsets[1:] + base)
            base += int(part.offsets[-1])
        if ids is None:
            ids = np.concatenate([part.ids for part in parts])
            if len(np.unique(ids)) != len(ids):
                raise ValueError("the batches' ids collide; pass ids=, for instance numpy.arange(n)")
        return Signatures(
            offsets=np.concatenate(offsets),
            classes=np.concatenate([part.classes for part in parts]),
            proportions=np.concatenate([part.proportions for part in parts]),
            counts=np.concatenate([part.counts for part in parts]),
            centroids=np.concatenate([part.centroids for part in parts]),
            n_classes=first.n_classes,
            ids=ids,
            recipe=first.recipe,
        )

    def dense(self) -> npt.NDArray[np.float32]:
        """Return the signatures as the paper writes them: float32 (n, C, D), null vectors included."""
        dense = np.zeros((len(self), self.n_classes, self.dim), np.float32)
        dense[self._image_of_row(), self.classes] = self.centroids
        return dense

    def histograms(self) -> npt.NDArray[np.float32]:
        """Return the semantic histograms (Fig. 4): float32 (n, C), each summing to 1, or 0 if all void."""
        histograms = np.zeros((len(self), self.n_classes), np.float32)
        histograms[self._image_of_row(), self.classes] = self.proportions
        return histograms

    def _image_of_row(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def from_dense(
        cls,
        signatures: npt.ArrayLike,
        histograms: npt.ArrayLike,
        *,
        counts: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
        recipe: Recipe | None = None,
    ) -> Signatures:
        """Make a batch from dense arrays of real numbers: signatures (n, C, D) and histograms (n, C).

        A class is present where its histogram is above 0. ``counts`` (n, C) are numbers of keypoints; if not
        given, 1 where the signature is not the null vector. Raises ValueError if shapes disagree or an absent
        class has a signature.
        """
        dense = np.asarray(signatures, np.float32)
        shares = np.asarray(histograms, np.float32)
        if dense.ndim != 3 or shares.shape != dense.shape[:2]:
            raise ValueError(
                "signatures must be (n, C, D) and histograms (n, C), "
                f"got shapes {dense.shape} and {shares.shape}"
            )
        filled = dense.any(axis=2)
        keypoints: npt.NDArray[Any] = np.asarray(filled.astype(np.uint32) if counts is None else counts)
        if keypoints.shape != shares.shape:
            raise ValueError(f"counts must have shape {shares.shape} like histograms, got {keypoints.shape}")
        present = shares != 0
        if (filled & ~present).any():
            raise ValueError("signatures must be null where the histogram is 0, got a vector there")
        return cls(
            offsets=np.concatenate([[0], np.cumsum(present.sum(axis=1))]),
            classes=np.nonzero(present)[1],
            proportions=shares[present],
            counts=keypoints[present],
            centroids=dense[present],
            n_classes=dense.shape[1],
            ids=ids,
            recipe=recipe,
        )


def build_signatures(
    label_maps: Sequence[npt.NDArray[Any]],
    keypoints: Sequence[npt.ArrayLike],
    descriptors: Sequence[npt.ArrayLike],
    *,
    n_classes: int,
    void: int | None = None,
    ids: npt.ArrayLike | None = None,
    recipe: Recipe | None = None,
    threads: int | None = None,
) -> Signatures:
    """Build the signatures of many images from their label maps and local features (Algorithm 1, Fig. 4).

    For each image: a label map, uint8 or uint16 (H, W); keypoints, (n, 2) float32 as (x, y) in its pixels;
    descriptors, (n, D) float32. A keypoint belongs to the class at ``[floor(y + 1/2), floor(x + 1/2)]``,
    clamped to the image. ``void`` is a label that does not count. Any ``threads`` gives the same bits.

    Raises TypeError or ValueError, naming the image by its number, for arrays of the wrong kind or shape,
    labels of ``n_classes`` or more, and keypoints or descriptors that are NaN or infinite.
    """
    n_classes = check_integer("n_classes", n_classes, 1, MAX_CLASSES)
    if not len(label_maps) == len(keypoints) == len(descriptors):
        raise ValueError(
            "label_maps, keypoints and descriptors must have the same length, "
            f"got {len(label_maps)}, {len(keypoints)} and {len(descriptors)}"
        )
    maps = [_check_label_map(i, label_map) for i, label_map in enumerate(label_maps)]
    points = [_check_features(i, "keypoints", value, 2) for i, value in enumerate(keypoints)]
    dim = np.shape(descriptors[0])[-1] if len(descriptors) and np.ndim(descriptors[0]) == 2 else None
    vectors = [_check_features(i, "descriptors", value, dim) for i, value in enumerate(descriptors)]
    for i, (point, vector) in enumerate(zip(points, vectors, strict=True)):
        if len(point) != len(vector):
            raise ValueError(
                f"image {i}: descriptors must have {len(point)} rows like keypoints, got {len(vector)}"
            )
    void = -1 if void is None else check_integer("void", void, 0, MAX_CLASSES - 1)
    columns = _core.build_signatures(maps, points, vectors, dim or 1, n_classes, void, check_threads(threads))
    names = ("offsets", "classes", "proportions", "counts", "centroids")
    built = Signatures._unchecked(
        **dict(zip(names, columns, strict=True)), n_classes=n_classes, ids=np.arange(len(maps)), recipe=recipe
    )
    return built if ids is None else with_ids(built, ids)


def with_ids(signatures: Signatures, ids: npt.ArrayLike) -> Signatures:
    """Return the same batch with other ids, int64 (n,), unique and not negative."""
    return Signatures(**{**vars(signatures), "ids": ids})


def _check_alike(first: Signatures, other: Signatures) -> None:
    if (other.n_classes, other.dim) != (first.n_classes, first.dim):
        raise ValueError(
            f"batches must agree: n_classes={first.n_classes} and dim={first.dim} expected, "
            f"got {other.n_classes} and {other.dim}"
        )
    mine, theirs = first.recipe, other.recipe
    if mine is not theirs and (mine is None or theirs is None or mine.differences(theirs)):
        raise ValueError("batches must have the same recipe, got different ones")


def _check_label_map(i: int, label_map: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(label_map)
    if array.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"image {i}: label map must be uint8 or uint16, got {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"image {i}: label map must be (H, W) with at least one pixel, got shape {array.shape}"
        )
    return np.ascontiguousarray(array)


def _check_features(i: int, name: str, value: npt.ArrayLike, columns: int | None) -> npt.NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"image {i}: {name} must be real numbers, got {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0 or (columns is not None and array.shape[1] != columns):
        expected = "(n, D)" if columns is None else f"(n, {columns})"
        raise ValueError(f"image {i}: {name} must be {expected}, got shape {array.shape}")
    return np.ascontiguousarray(array, np.float32)
