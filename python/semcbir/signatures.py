# SPDX-License-Identifier: MIT
"""Signatures: semantic signatures and histograms of many images, in columns (Sect. 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._columns import as_column, as_reals, chosen_positions, frozen
from semcbir._validate import check_flag, check_instance, check_integer, check_many, counted, shown
from semcbir.recipe import Recipe

MAX_CLASSES = 65536
MAX_DIM = 2**20


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Signatures:
    """n images in columns, CSR by image; a row is a class that is present in an image.

    The rows of image ``i`` are ``offsets[i]:offsets[i + 1]``, their classes ascending. An image whose pixels
    are all void has no rows, or only its whole row.

    - ``offsets``: int64 (n + 1,), from 0 to the number of rows
    - ``classes``: uint16 (rows,), below ``n_classes``; ``n_classes`` itself is the *whole row*
    - ``proportions``: float32 (rows,), the class's share of the labelled pixels, P_c of eq. 1, in [0, 1]
    - ``counts``: uint32 (rows,), keypoints on the class
    - ``centroids``: float32 (rows, D), mean descriptor S_c of Algorithm 1; zeros where ``counts`` is 0
    - ``n_classes``: C, the model's number of labels
    - ``ids``: int64 (n,), unique and not negative; 0..n-1 if not given. A selection keeps the ids, so they
      repeat where it repeats images; such a batch can be queries, but a Searcher over it is refused.
    - ``recipe``: how the signatures were made, or None
    - ``whole``: whether images may have a whole row, which describes a photo as a whole. Its class number is
      C, its proportion 0, so that eq. 1 does not see it, and its count that of all the photo's keypoints. It
      is part of the distance, as any row, so batches with and without whole rows do not go together.

    The arrays are read-only. What is given is copied, except for what nothing writes to: read-only arrays
    that own their memory, or are views of such an array or of a file mapped for reading. Raises TypeError for
    an array of the wrong kind, ValueError for one of the wrong shape or content.
    """

    offsets: npt.NDArray[np.int64]
    classes: npt.NDArray[np.uint16]
    proportions: npt.NDArray[np.float32]
    counts: npt.NDArray[np.uint32]
    centroids: npt.NDArray[np.float32]
    n_classes: int
    ids: npt.NDArray[np.int64]
    recipe: Recipe | None
    whole: bool = False

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
        whole: bool = False,
    ) -> None:
        self._set("offsets", as_column("offsets", offsets, np.int64, 1))
        self._set("classes", as_column("classes", classes, np.uint16, 1))
        self._set("proportions", as_column("proportions", proportions, np.float32, 1))
        self._set("counts", as_column("counts", counts, np.uint32, 1))
        self._set("centroids", as_column("centroids", centroids, np.float32, 2))
        check_flag("whole", whole)
        self._set("whole", whole)
        self._set("n_classes", check_integer("n_classes", n_classes, 1, MAX_CLASSES - whole))
        check_rows(self.offsets, self.classes, self.n_classes, whole)
        self._set("ids", as_column("ids", np.arange(len(self)) if ids is None else ids, np.int64, 1))
        if recipe is not None and not isinstance(recipe, Recipe):
            raise TypeError(f"recipe: expected a Recipe or None, got {shown(recipe)}")
        self._set("recipe", recipe)
        self._check_lengths()
        self._check_values()
        self._check_ids()

    @classmethod
    def _unchecked(cls, **columns: Any) -> Signatures:
        """Wrap columns that are known to be sound: the core's own, or validated slices of a segment."""
        signatures = object.__new__(cls)
        for name, value in columns.items():
            if isinstance(value, np.ndarray):
                value = frozen(value if value.base is None else value.view())
            signatures._set(name, value)
        return signatures

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a batch that was pickled or copied; NumPy gives arrays that are writable."""
        for name, value in state.items():
            self._set(name, frozen(value) if isinstance(value, np.ndarray) else value)

    @classmethod
    def empty(
        cls, n_classes: int, dim: int, recipe: Recipe | None = None, *, whole: bool = False
    ) -> Signatures:
        """Return a batch without images, for ``n_classes`` classes and descriptors of length ``dim``."""
        dim = check_integer("dim", dim, 1, MAX_DIM)
        return cls(
            offsets=np.zeros(1, np.int64),
            classes=np.empty(0, np.uint16),
            proportions=np.empty(0, np.float32),
            counts=np.empty(0, np.uint32),
            centroids=np.empty((0, dim), np.float32),
            n_classes=n_classes,
            recipe=recipe,
            whole=whole,
        )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_lengths(self) -> None:
        rows = len(self.classes)
        for name in ("proportions", "counts", "centroids"):
            if len(getattr(self, name)) != rows:
                came = len(getattr(self, name))
                raise ValueError(f"{name}: expected {counted(rows, 'row')} like classes, got {came}")
        if self.centroids.shape[1] == 0:
            raise ValueError("centroids: expected at least one column, got shape (rows, 0)")
        if len(self.ids) != len(self):
            raise ValueError(f"ids: expected {len(self)}, one for each image, got {len(self.ids)}")

    def _check_values(self) -> None:
        # Written so that NaN fails too.
        if not ((self.proportions >= 0) & (self.proportions <= 1)).all():
            raise ValueError("proportions: expected shares between 0 and 1, got others")
        if not np.isfinite(self.centroids).all():
            raise ValueError("centroids: expected finite numbers, got NaN or infinity")
        if self.centroids[self.counts == 0].any():
            raise ValueError("centroids: expected zeros where counts is 0 (the null vector of Algorithm 1)")
        if self.whole and (shares := self.proportions[self.classes == self.n_classes]).any():
            whole_row = f"the whole row, class {self.n_classes}"
            raise ValueError(f"proportions: expected 0 for {whole_row}, got {shares.max()}")

    def _check_ids(self) -> None:
        if len(self) and self.ids.min() < 0:
            raise ValueError(f"ids: expected none below 0, got {self.ids.min()}")
        if ids_repeat(self.ids):
            raise ValueError("ids: expected each id once, got the same one again")

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
        shape = f"{counted(len(self), 'image')}, {counted(rows, 'row')}"
        shape += f", n_classes={self.n_classes}, dim={self.dim}{', whole=True' if self.whole else ''}"
        return f"Signatures({shape}{feature})"

    def __getitem__(
        self, key: SupportsIndex | slice | npt.NDArray[Any] | Iterable[SupportsIndex]
    ) -> Signatures:
        """Return the chosen images as a batch that keeps their ids.

        ``key`` is a position (a batch of one), a slice, an array or iterable of positions, or a boolean mask
        (n,). Negative positions count from the end. An image chosen twice is there twice, and so is its id. A
        slice of step 1 shares memory, anything else copies. Raises IndexError for positions out of range and
        masks of another length, TypeError for another kind of key.
        """
        positions = chosen_positions(key, len(self))
        if isinstance(positions, range) and positions.step == 1:
            return self._range(positions.start, max(positions.start, positions.stop))
        return self._take(np.asarray(positions, np.intp))

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
            whole=self.whole,
        )

    def _take(self, positions: npt.NDArray[np.intp]) -> Signatures:
        lengths = np.diff(self.offsets)[positions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Row numbers: each image's first row, repeated, plus a counter that restarts at each image.
        rows = np.repeat(self.offsets[positions] - offsets[:-1], lengths) + np.arange(offsets[-1])
        chosen = Signatures._unchecked(
            offsets=offsets,
            classes=self.classes[rows],
            proportions=self.proportions[rows],
            counts=self.counts[rows],
            centroids=self.centroids[rows],
            n_classes=self.n_classes,
            ids=self.ids[positions],
            recipe=self.recipe,
            whole=self.whole,
        )
        chosen._check_values()  # A slice of a segment on disk has never been looked at.
        return chosen

    @staticmethod
    def concatenate(batches: Iterable[Signatures], *, ids: npt.ArrayLike | None = None) -> Signatures:
        """Join batches in order. ``ids`` (n,) replaces theirs; it is required if theirs collide.

        Raises TypeError for anything but an iterable of Signatures, ValueError if there are no batches, if
        they differ in classes, descriptor length, recipe or whole rows, or if ids collide.
        """
        parts = check_batches("batches", batches)
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
                raise ValueError(
                    "batches: expected each id once, got one again; pass ids=numpy.arange(n), say"
                )
        return Signatures(
            offsets=frozen(np.concatenate(offsets)),
            classes=frozen(np.concatenate([part.classes for part in parts])),
            proportions=frozen(np.concatenate([part.proportions for part in parts])),
            counts=frozen(np.concatenate([part.counts for part in parts])),
            centroids=frozen(np.concatenate([part.centroids for part in parts])),
            n_classes=first.n_classes,
            ids=ids,
            recipe=first.recipe,
            whole=first.whole,
        )

    def dense(self) -> npt.NDArray[np.float32]:
        """Return the signatures as the paper writes them: float32 (n, C, D), null vectors included.

        With whole rows (n, C + 1, D), the whole row last.
        """
        dense = np.zeros((len(self), self.n_classes + self.whole, self.dim), np.float32)
        dense[self._image_of_row(), self.classes] = self.centroids
        return dense

    def histograms(self) -> npt.NDArray[np.float32]:
        """Return the semantic histograms (Fig. 4): float32 (n, C), each summing to 1, or 0 if all void."""
        histograms = np.zeros((len(self), self.n_classes + self.whole), np.float32)
        histograms[self._image_of_row(), self.classes] = self.proportions
        return np.ascontiguousarray(histograms[:, : self.n_classes])

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
        whole: bool = False,
    ) -> Signatures:
        """Make a batch from dense arrays of real numbers: signatures (n, C, D) and histograms (n, C).

        A class is present where its histogram is above 0. ``counts`` (n, C) are numbers of keypoints; if not
        given, 1 where the signature is not the null vector. With ``whole``, signatures and counts have a
        column more, the last: the whole row, which is present where it is not null or its count not 0.

        Raises ValueError if shapes disagree or an absent class has a signature, TypeError for anything but
        real numbers.
        """
        check_flag("whole", whole)
        dense, shares = as_reals("signatures", signatures), as_reals("histograms", histograms)
        if dense.ndim != 3 or dense.shape[1] < whole:
            expected = "(n, C + 1, D)" if whole else "(n, C, D)"
            raise ValueError(f"signatures: expected shape {expected}, got {dense.shape}")
        of_classes = (len(dense), dense.shape[1] - whole)
        if shares.shape != of_classes:
            raise ValueError(f"histograms: expected shape {of_classes} like signatures, got {shares.shape}")
        filled = np.asarray(dense.any(axis=2))
        keypoints = as_column("counts", filled.astype(np.uint32) if counts is None else counts, np.uint32, 2)
        if keypoints.shape != filled.shape:
            raise ValueError(f"counts: expected shape {filled.shape} like signatures, got {keypoints.shape}")
        present = shares != 0
        if whole:
            present = np.column_stack([present, filled[:, -1] | (keypoints[:, -1] != 0)])
            shares = np.column_stack([shares, np.zeros(len(shares), np.float32)])
        if (filled & ~present).any():
            raise ValueError("signatures: expected null vectors where the histogram is 0, got others")
        return cls(
            offsets=np.concatenate([[0], np.cumsum(present.sum(axis=1))]),
            classes=np.nonzero(present)[1],
            proportions=frozen(shares[present]),
            counts=frozen(keypoints[present]),
            centroids=frozen(dense[present]),
            n_classes=of_classes[1],
            ids=ids,
            recipe=recipe,
            whole=whole,
        )


def with_ids(signatures: Signatures, ids: npt.ArrayLike) -> Signatures:
    """Return the same batch with other ids, int64 (n,), unique and not negative."""
    return Signatures(**{**vars(signatures), "ids": ids})


def check_batches(name: str, batches: Signatures | Iterable[Signatures]) -> list[Signatures]:
    """Return ``batches``, or one batch, as a list; TypeError for anything else, ValueError for none."""
    what = "a Signatures or several"
    many = [batches] if isinstance(batches, Signatures) else check_many(name, batches, what)
    for batch in many:
        check_instance(name, batch, Signatures, what)
    if not many:
        raise ValueError(f"{name}: expected at least one Signatures, got none")
    return many


def check_rows(
    offsets: npt.NDArray[np.int64], classes: npt.NDArray[np.uint16], n_classes: int, whole: bool
) -> None:
    """Raise ValueError unless the columns describe rows that are safe to walk: the core relies on it.

    Offsets run from 0 to the number of rows without decreasing; within an image classes ascend, below
    ``n_classes``, or up to it if there may be a ``whole`` row.
    """
    if whole and len(classes) and classes.max() > n_classes:
        expected = f"below n_classes={n_classes}, or {n_classes} for the whole row"
        raise ValueError(f"classes: expected {expected}, got {classes.max()}")
    _core.check_rows(offsets, classes, n_classes + whole)


def class_rows(signatures: Signatures) -> tuple[npt.NDArray[Any], ...]:
    """Return offsets, classes and proportions without whole rows: what the label maps alone decide."""
    if not signatures.whole:
        return signatures.offsets, signatures.classes, signatures.proportions
    chosen = np.asarray(signatures.classes < signatures.n_classes)
    before = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int64)
    return before[signatures.offsets], signatures.classes[chosen], signatures.proportions[chosen]


def ids_repeat(ids: npt.NDArray[np.int64]) -> bool:
    """Return whether an id is there more than once."""
    return bool((np.diff(ids) <= 0).any()) and len(np.unique(ids)) != len(ids)


def _check_alike(first: Signatures, other: Signatures) -> None:
    if (other.n_classes, other.dim) != (first.n_classes, first.dim):
        raise ValueError(
            f"batches: expected n_classes={first.n_classes} and dim={first.dim} in each like in the first, "
            f"got {other.n_classes} and {other.dim}"
        )
    if other.whole != first.whole:
        raise ValueError(
            f"batches: expected whole={first.whole} in each like in the first, got whole={other.whole}"
        )
    mine, theirs = first.recipe, other.recipe
    if mine is not theirs and (mine is None or theirs is None or not mine.agrees(theirs)):
        raise ValueError("batches: expected the same recipe in each, got different ones")
