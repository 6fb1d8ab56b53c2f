# SPDX-License-Identifier: MIT
"""duplicates(): the near-duplicate photos of an index, in groups."""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semcbir._files import PathLike, short_name
from semcbir._validate import as_number, counted, shown
from semcbir.grouping import Ids, near_groups
from semcbir.index.database import is_index
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.index.moves import size_and_mtime
from semcbir.index.ready import check_place, ready_index, stale_words
from semcbir.recipe import Recipe
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures

DISTANCE = 0.35
"""The default distance, for feature deep; docs/duplicates.md says how it was found."""

_MEASURED_AT_ONCE = 4096
"""Images of groups whose signatures are in memory at a time, unless a single group has more."""


@dataclass(frozen=True)
class Duplicate:
    """A photo of a group of near-duplicates.

    ``distance`` is that between its signature and that of the group's largest photo. ``size`` is that of its
    file in bytes, None if the file is gone; ``changed`` says that the file is gone, or that its size or mtime
    are not those that were indexed, so that it may show something else by now.
    """

    id: int
    path: Path
    distance: float
    size: int | None
    changed: bool


@dataclass(frozen=True, repr=False)
class DuplicateGroup:
    """Two near-duplicate photos or more, the largest file first, ties by id; those that changed come last."""

    photos: tuple[Duplicate, ...]

    @property
    def largest(self) -> Duplicate:
        """The first of ``photos``: the one with the largest file of those that have not changed."""
        return self.photos[0]

    @property
    def ids(self) -> tuple[int, ...]:
        """The photos' ids in the index."""
        return tuple(photo.id for photo in self.photos)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The photos' files."""
        return tuple(photo.path for photo in self.photos)

    def spare(self) -> list[Path]:
        """Return the files that are not needed beside the largest: those of all other photos.

        Without those that have changed, and without other names of the largest one's file (links). None if
        the largest has changed itself, or is gone by now.
        """
        kept = _status(self.largest.path)
        if kept is None or self.largest.changed:
            return []
        found = [(photo.path, _status(photo.path)) for photo in self.photos if not photo.changed]
        return [path for path, status in found if status and not os.path.samestat(status, kept)]

    def __len__(self) -> int:
        """Return how many photos there are."""
        return len(self.photos)

    def __repr__(self) -> str:
        farthest = max(photo.distance for photo in self.photos)
        return (
            f"DuplicateGroup({counted(len(self), 'photo')}, largest {short_name(self.largest.path)!r}, "
            f"distances up to {farthest:.4f})"
        )


def duplicates(
    index: Index | PathLike, distance: float | None = None, feature: str | None = None
) -> list[DuplicateGroup]:
    """Find groups of near-duplicate photos in ``index``.

    Two photos whose signatures of ``feature`` (None: the index's first) are at most ``distance`` apart are in
    one group, and so are two that a chain of such pairs joins: groups are connected components, and two
    photos of one may be farther apart. Every photo is compared with every other, exactly. ``distance`` None
    is DISTANCE, which was measured for ``deep`` with the models that come with the package; other features,
    and ``deep`` without weighting, have no default.

    ``index`` is an Index, the path of one, or a folder of photos, whose own index is brought up to date, or
    made, as ``search`` does it.

    Returns the groups with the most photos first, then by their lowest id; no groups if there are no
    duplicates. Photos whose files are gone, or have changed since they were indexed, are still there, and say
    so.

    Raises IndexStorageError for a path that is neither an index nor a folder or a damaged index, and
    TypeError or ValueError for a wrong argument.
    """
    checked = None if distance is None else check_distance(distance)
    if checked is None:
        require_default(feature)  # before any long work
    opened = _open(index, feature)
    bound = chosen_distance(checked, opened.recipe.for_feature(feature))
    name = opened.recipe.feature(feature).name

    def fetch(ids: Ids) -> Signatures:
        return opened.signatures(name, ids=ids)

    ids = np.array(opened._snapshot.ids(), np.int64)
    groups = near_groups(opened.searcher(name), ids, fetch, bound)
    groups.sort(key=len, reverse=True)  # stable: those of a size stay by their lowest id
    return [group for some in _batches(groups) for group in _described(opened, some, fetch)]


def check_distance(distance: float) -> float:
    """Return ``distance`` as a float. Raises TypeError or ValueError unless it is a number of 0 or more."""
    what = "a number of 0 or more, or None"
    value = as_number("distance", distance, what)
    if math.isnan(value) or value < 0:
        raise ValueError(f"distance: expected {what}, got {value}")
    return value


def require_default(feature: str | None) -> None:
    """Raise ValueError if ``feature`` (None: an index's first) is one that has no default distance."""
    if feature not in (None, "deep"):
        raise _no_default(shown(feature))


def chosen_distance(distance: float | None, recipe: Recipe) -> float:
    """Return the distance that ``distance`` means for signatures of ``recipe``; ValueError if for none."""
    if distance is not None:
        return distance
    feature = recipe.feature()
    require_default(feature.name)
    if feature.weighting != "share":
        raise _no_default(f"'deep' with weighting {feature.weighting}")
    return DISTANCE


def _no_default(feature: str) -> ValueError:
    return ValueError(
        f"distance: expected a number of 0 or more, as feature {feature} has no default, got None"
    )


def _open(index: Index | PathLike, feature: str | None) -> Index:
    """Open ``index``; the index of a folder of photos is brought up to date."""
    if isinstance(index, Index):
        return index
    place = check_place("index", index)
    if is_index(place):  # without an extractor: no model is needed to compare what is there
        opened = Index.open(place)
        stale = stale_words(opened)
    else:
        ready = ready_index(place, feature=feature)
        opened, stale = ready.index, ready.stale
    if stale:
        warnings.warn(stale, RuntimeWarning, stacklevel=3)
    return opened


def _batches(groups: Iterable[Ids]) -> Iterator[list[Ids]]:
    """Yield some groups at a time."""
    some: list[Ids] = []
    for group in groups:
        if some and sum(map(len, some)) + len(group) > _MEASURED_AT_ONCE:
            yield some
            some = []
        some.append(group)
    if some:
        yield some


def _described(
    index: Index, groups: list[Ids], fetch: Callable[[Ids], Signatures]
) -> Iterator[DuplicateGroup]:
    """Yield ``groups`` with their files, and with distances, for which signatures are fetched once."""
    every = np.concatenate(groups)
    signatures, records = fetch(every), index.records(every.tolist())
    start = 0
    for group in groups:
        end = start + len(group)
        yield _group(records[start:end], signatures[start:end])
        start = end


def _group(records: list[Record], signatures: Signatures) -> DuplicateGroup:
    files = [_file(record) for record in records]

    def rank(i: int) -> tuple[bool, int]:
        size, changed = files[i]
        return changed, -(size or 0)

    order = sorted(range(len(records)), key=rank)
    found = Searcher(signatures).search(signatures[order[0]], len(records), None)
    distances = dict(zip(found.ids[0].tolist(), found.distances[0].tolist(), strict=True))
    return DuplicateGroup(
        tuple(Duplicate(records[i].id, records[i].path, distances[records[i].id], *files[i]) for i in order)
    )


def _file(record: Record) -> tuple[int | None, bool]:
    """Return the size of a record's file, None if it is gone, and whether it is gone or has changed."""
    status = _status(record.path)
    if status is None:
        return None, True
    changed = record.size is not None and size_and_mtime(status) != (record.size, record.mtime_ns)
    return status.st_size, changed


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a regular file, None if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # a damaged catalogue may name what no path can be
        return None
    return status if stat.S_ISREG(status.st_mode) else None
