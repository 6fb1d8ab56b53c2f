# SPDX-License-Identifier: MIT
"""Contents: which classes the photos of an index hold, and how much of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir._validate import as_number, counted
from semcbir.errors import IndexStorageError
from semcbir.index.snapshot import Snapshot
from semcbir.networks.groups import known_groups

MIN_SHARE = 0.01
"""The least of an image that a class is of one that holds it."""
_UNIT = 2.0**24
"""Shares are summed as whole numbers of 1 / _UNIT and of 1 / _UNIT^2: exactly, so in any order."""


@dataclass(frozen=True)
class ClassTotal:
    """How much a class, or a group of classes, is of all images.

    ``share`` is the mean of its share of each image, in [0, 1]; ``images`` is how many images hold it.
    ``labels`` are those of the class or of the group's classes.
    """

    name: str
    labels: tuple[int, ...]
    share: float
    images: int


@dataclass(frozen=True, repr=False)
class Contents:
    """What so many ``images`` hold: each class that occurs, and each group with a class that does.

    The largest share comes first, ties by label and by name. An image holds a class, or a group, if at least
    ``min_share`` of its labelled pixels, and any, are of it.
    """

    images: int
    min_share: float
    classes: tuple[ClassTotal, ...]
    groups: tuple[ClassTotal, ...]

    def __repr__(self) -> str:
        classes = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        return f"Contents({counted(self.images, 'image')}, {classes})"


def contents(snapshot: Snapshot, min_share: float) -> Contents:
    """Return what the images of an index hold, over its columns; bits do not depend on its history.

    Raises TypeError or ValueError unless ``min_share`` is a number from 0 to 1, IndexStorageError for damaged
    values.
    """
    least = np.float32(
        check_share(min_share)
    )  # shares are float32 themselves: 0.01 of them is not below 0.01
    names, count = snapshot.classes, len(snapshot)
    groups = known_groups(names)
    units, rest, holding = (np.zeros(len(names)) for _ in range(3))
    grouped = dict.fromkeys(groups, 0)
    for classes, shares, image in _columns(snapshot):
        whole = np.floor(shares * _UNIT)
        units += np.bincount(classes, whole, len(names))
        rest += np.bincount(classes, np.floor((shares * _UNIT - whole) * _UNIT), len(names))
        holding += np.bincount(classes[(shares >= least) & (shares > 0)], minlength=len(names))
        for group, labels in groups.items():
            member = np.isin(np.arange(len(names)), labels)
            chosen = member[classes]
            sums = np.bincount(image[chosen], shares[chosen])
            grouped[group] += int(((sums >= least) & (sums > 0)).sum())
    totals = units / _UNIT + rest / _UNIT**2
    present = [int(label) for label in np.flatnonzero(totals)]
    present.sort(key=lambda label: (-totals[label], label))
    return Contents(
        images=count,
        min_share=float(min_share),
        classes=tuple(
            ClassTotal(names[label], (label,), float(totals[label]) / count, int(holding[label]))
            for label in present
        ),
        groups=_group_totals(groups, totals, grouped, count),
    )


def _group_totals(
    groups: Mapping[str, tuple[int, ...]],
    totals: npt.NDArray[np.float64],
    holding: Mapping[str, int],
    count: int,
) -> tuple[ClassTotal, ...]:
    sums = {name: float(totals[list(labels)].sum()) for name, labels in groups.items()}
    present = sorted((name for name in groups if sums[name]), key=lambda name: (-sums[name], name))
    return tuple(ClassTotal(name, groups[name], sums[name] / count, holding[name]) for name in present)


def check_share(min_share: float) -> float:
    """Return ``min_share``; TypeError or ValueError unless it is a number from 0 to 1."""
    share = as_number("min_share", min_share, "a number from 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"min_share: expected a number from 0 to 1, got {share}")
    return share


def _columns(
    snapshot: Snapshot,
) -> Iterator[tuple[npt.NDArray[np.uint16], npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
    """Yield, for each segment, the class, share and image (counted in the segment) of each row of its images.

    Rows of images that are no longer in the index, and whole rows, are left out.
    """
    snapshot.require_whole()
    feature = snapshot.recipe.feature().name
    for segment, live in zip(snapshot.segments, snapshot.live_ids, strict=True):
        batch = segment.batch[feature]
        image = np.repeat(np.arange(len(live)), np.diff(batch.offsets))
        chosen = (live[image] >= 0) & (batch.classes < batch.n_classes)
        shares = batch.proportions[chosen].astype(np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise IndexStorageError(
                f"a segment of index {display_path(snapshot.folder)} is damaged: its proportions are not "
                "all from 0 to 1; run `semcbir check`"
            )
        yield batch.classes[chosen], shares, image[chosen]
