# SPDX-License-Identifier: MIT
"""Merging: keep the segments of an index few and free of dead rows."""

from __future__ import annotations

import contextlib
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir.errors import IndexStorageError
from semcbir.index.catalog import Catalog
from semcbir.index.database import SEGMENTS
from semcbir.index.files import IndexFolder, open_folder, sha256
from semcbir.index.rows import SegmentFile
from semcbir.index.segments import Batch, Segment, is_segment_name, map_segment, write_segment
from semcbir.index.snapshot import live_ids
from semcbir.recipe import Recipe

FANOUT = 8
"""The number of segments of one tier that are merged into one; each tier is FANOUT times the one before."""
LARGEST = 32768
"""Segments of this many images or more are not merged, which bounds the memory and time of a merge."""


@dataclass(frozen=True)
class _Stored:
    key: int
    file: SegmentFile
    dead: list[int]

    @property
    def live(self) -> int:
        return self.file.images - len(self.dead)

    @property
    def tier(self) -> int:
        return (max(self.live, 1).bit_length() - 1) // (FANOUT.bit_length() - 1)


def new_segment(folder: Path, batches: Sequence[Batch]) -> SegmentFile:
    """Write a segment; a failure (a full disk, say) becomes an IndexStorageError that names the folder."""
    try:
        return write_segment(folder, batches)
    except OSError as error:
        raise IndexStorageError(
            f"index segment in {folder} cannot be written: {error.strerror or error}; "
            "what was committed before is safe"
        ) from error


def tidy(catalog: Catalog, recipe: Recipe) -> None:
    """Run ``merge_small`` after a change; the change is already safe, so a failure only warns."""
    try:
        merge_small(catalog, recipe)
    except IndexStorageError as error:
        warnings.warn(f"segments could not be merged: {error}", RuntimeWarning, stacklevel=3)


def merge_small(catalog: Catalog, recipe: Recipe) -> None:
    """Merge segments while a tier has FANOUT of them, and rewrite those that are mostly dead."""
    while chosen := _choose(_stored(catalog)):
        _replace(catalog, recipe, chosen)


def merge_all(catalog: Catalog, recipe: Recipe) -> None:
    """Merge all segments into one without dead rows, and free the catalogue's unused pages."""
    stored = _stored(catalog)
    if len(stored) > 1 or any(segment.dead for segment in stored):
        _replace(catalog, recipe, stored)
    catalog.shrink()


def remove_litter(catalog: Catalog) -> None:
    """Delete the segments that the catalogue does not list: what a killed run left.

    Only regular files with a name that a segment can have: anything else there is not ours to delete. Where
    the writers' lock does nothing, this may take another writer's new segment, but never a listed one: the
    other notices before it commits (``Catalog.changes``).
    """
    with open_folder(catalog.folder / SEGMENTS, create=True) as folder:  # Some archives drop empty folders.
        found = {name for name in folder.names() if is_segment_name(name)} - _listed(catalog)
        litter = {name for name in found if folder.is_regular(name)}
        if litter:
            with catalog.standstill():
                for name in litter - _listed(catalog):
                    _remove(folder, name)


def _listed(catalog: Catalog) -> set[str]:
    return {file.name for _, file in catalog.segments()}


def _stored(catalog: Catalog) -> list[_Stored]:
    dead = catalog.dead_rows()
    return [_Stored(key, file, dead.get(key, [])) for key, file in catalog.segments()]


def _choose(stored: Sequence[_Stored]) -> list[_Stored]:
    tiers: dict[int, list[_Stored]] = defaultdict(list)
    for segment in stored:
        if 2 * len(segment.dead) > segment.file.images:
            return [segment]
        if segment.live < LARGEST:
            tiers[segment.tier].append(segment)
    return next((tier for _, tier in sorted(tiers.items()) if len(tier) >= FANOUT), [])


def _replace(catalog: Catalog, recipe: Recipe, old: Sequence[_Stored]) -> None:
    folder = catalog.folder / SEGMENTS
    batches: list[Batch] = []
    for stored in old:
        path = folder / stored.file.name
        try:
            segment = verified_segment(path, recipe, stored.file)
        except FileNotFoundError:
            raise _unmergeable(path) from None
        # Runs of live images as slices, which share the mapped memory.
        for start, stop in runs(live_ids(segment.ids, stored.dead) >= 0):
            batches.append({name: signatures[start:stop] for name, signatures in segment.batch.items()})
    merged = new_segment(folder, batches) if batches else None
    ids = (int(image) for batch in batches for image in next(iter(batch.values())).ids)
    with catalog.changes():
        catalog.replace_segments([stored.key for stored in old], merged, ids)
    with open_folder(folder) as opened:
        for stored in old:
            _remove(opened, stored.file.name)


def verified_segment(path: Path, recipe: Recipe, file: SegmentFile) -> Segment:
    """Map a segment that is to be copied, and verify its checksum: else damage would get a valid one.

    Raises FileNotFoundError if it is missing, IndexStorageError if it is damaged.
    """
    if sha256(path, file.size) != file.sha256:
        raise _unmergeable(path)
    segment = map_segment(path, recipe, size=file.size)
    segment.require_whole()
    return segment


def _unmergeable(path: Path) -> IndexStorageError:
    return IndexStorageError(f"segment {path} is damaged and cannot be merged; run `semcbir check`")


def runs(live: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where runs of True begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], live, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _remove(folder: IndexFolder, name: str) -> None:
    # Some systems keep a file that a reader has mapped: the next writer deletes it.
    with contextlib.suppress(OSError):
        folder.remove(name)
