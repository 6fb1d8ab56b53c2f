# SPDX-License-Identifier: MIT
"""Merging indexes: one index of all images of several, such as the parts of a large one.

The merged index has the ids, order and bits of one that was made at once. Segments are verified and copied, a
commit each, so a merge that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semcbir._files import display_path
from semcbir.errors import IndexStorageError
from semcbir.index.catalog import Catalog, locked_writer, read, writer_lock
from semcbir.index.create import BUILDING, create_like
from semcbir.index.database import SEGMENTS, is_index, require_index
from semcbir.index.limits import Limits
from semcbir.index.merge import LARGEST, new_segment, remove_litter, runs, tidy, verified_segment
from semcbir.index.merge_plan import (
    MergePlan,
    Source,
    SourceSegment,
    missing_words,
    plan_merge,
    require_unchanged,
)
from semcbir.index.report import Progress
from semcbir.index.roots import read_roots
from semcbir.index.rows import SegmentFile, StoredRow
from semcbir.index.segments import Batch
from semcbir.index.snapshot import MERGING
from semcbir.index.taken import COMPLETE
from semcbir.index.whereabouts import stored_place
from semcbir.signatures import Signatures

_MERGED = "merged"
"""In ``meta``, once that is done: the same hash."""
_ROWS = 50_000
"""Rows of a commit."""
_PIECES = 64
"""Segments that are open at a time."""
_Piece = tuple[Source, SourceSegment]


def merge(
    parts: Sequence[Path], folder: Path, partial: bool, on_progress: Callable[[Progress], None] | None
) -> None:
    """Merge the indexes at ``parts`` into one at ``folder``, as ``Index.merge`` does."""
    plan = plan_merge(parts)
    if (missing := plan.missing_parts()) and not partial:
        raise ValueError(f"parts: expected all of them, {missing_words(missing)}")
    if not is_index(folder):
        scanned = [root.folder for root in plan.roots if root.scanned]
        create_like(folder, scanned, parts[0], {MERGING: plan.digest})
    require_index(folder)
    # The lock is held throughout, the catalogue is open for commits alone: while any catalogue is open, a
    # file of each one that is read stays open, too (``inspection``), and there may be many parts.
    with writer_lock(folder):
        with locked_writer(folder) as catalog:
            if catalog.meta(_MERGED) == plan.digest:
                return
            if catalog.meta(MERGING) != plan.digest:
                merging = catalog.meta(MERGING) is not None
                other = "a merge of other indexes, or they have changed" if merging else "another index"
                raise IndexStorageError(
                    f"{display_path(folder)} is {other}; choose another place, or delete it first"
                )
            remove_litter(catalog)
            roots, left = _roots(plan, catalog), _left(plan, catalog)
        _copy_all(plan, folder, roots, left, on_progress or (lambda _: None))
        _finish(plan, folder)


def _left(plan: MergePlan, catalog: Catalog) -> list[_Piece]:
    """Return the segments that have not been copied yet; each is copied whole, or not at all."""
    return [
        (source, segment)
        for source in plan.sources
        for segment in source.segments
        if catalog.image(int(source.ids[segment.least])) is None
    ]


def _copy_all(
    plan: MergePlan,
    folder: Path,
    roots: Sequence[int],
    left: Sequence[_Piece],
    tell: Callable[[Progress], None],
) -> None:
    done = plan.images - sum(segment.images for _, segment in left)
    tell(Progress(done, plan.images, 0))
    for group in _groups(left):
        _copy(folder, group, roots)
        done += sum(segment.images for _, segment in group)
        tell(Progress(done, plan.images, 0))
    for source in plan.sources:
        _copy_unfound(source, folder, roots)


def _finish(plan: MergePlan, folder: Path) -> None:
    """Say that the index is whole, once it is."""
    with locked_writer(folder) as catalog:
        if (came := sum(images for images, _ in catalog.images_per_segment().values())) != plan.images:
            raise IndexStorageError(
                f"index {display_path(folder)} has {came} images of {plan.images} that were to be merged; "
                "delete it, run `semcbir check` on what it is made of, and merge again"
            )
        limits = [source.limits for source in plan.sources]
        Limits(min(one.pixels for one in limits), min(one.seconds for one in limits)).note(catalog)
        with catalog.changes():
            catalog.forget(MERGING)
            whole = not plan.missing_parts()
            if whole:
                catalog.forget(BUILDING)
            catalog.remember(_MERGED, plan.digest)
            if whole and all(source.dated for source in plan.sources):
                catalog.remember(COMPLETE, 1)
        tidy(catalog, plan.recipe)


def _roots(plan: MergePlan, catalog: Catalog) -> list[int]:
    """Return the number of each root of the plan; those that are not there yet are made."""
    known = {os.fspath(root.folder): root.id for root in read_roots(catalog)}
    new = [root for root in plan.roots if os.fspath(root.folder) not in known]
    with catalog.changes():
        for root in new:
            place = stored_place(root.folder, catalog.folder)
            known[os.fspath(root.folder)] = catalog.add_root(*place, root.state)
    return [known[os.fspath(root.folder)] for root in plan.roots]


def _groups(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Yield segments that become one: together of LARGEST images at most, or a larger one alone.

    They are open at the same time, so there are _PIECES of them at most.
    """
    group: list[_Piece] = []
    images = 0
    for source, segment in pieces:
        if group and (images + segment.images > LARGEST or len(group) == _PIECES):
            yield group
            group, images = [], 0
        group.append((source, segment))
        images += segment.images
    if group:
        yield group


def _copy(folder: Path, group: Sequence[_Piece], roots: Sequence[int]) -> None:
    """Copy segments as one, in one commit."""
    listings = [_listing(source, segment.key) for source, segment in group]
    batches = [
        batch
        for (source, piece), listing in zip(group, listings, strict=True)
        for batch in _batches(source, piece.file, listing)
    ]
    segment = new_segment(folder / SEGMENTS, batches)
    with locked_writer(folder) as catalog, catalog.changes():
        number, row = catalog.add_segment(segment), 0
        for (source, _), listing in zip(group, listings, strict=True):
            for image in listing.images:
                catalog.put_image(
                    int(source.ids[image.id]),
                    roots[source.roots[image.root]],
                    image.path,
                    size=image.size,
                    mtime_ns=image.mtime_ns,
                    segment=number,
                    row=row,
                    reason=image.reason,
                )
                row += 1
            catalog.put_fingerprints(
                (int(source.ids[key]), size, mtime, digest)
                for key, size, mtime, digest in listing.fingerprints
            )
            catalog.put_taken(
                (int(source.ids[key]), size, mtime, at) for key, size, mtime, at in listing.taken
            )


@dataclass(frozen=True)
class _Listing:
    """What a catalogue says of the images of a segment, by row."""

    images: list[StoredRow]
    fingerprints: list[tuple[int, int, int, bytes]]
    taken: list[tuple[int, int, int, int | None]]


def _listing(source: Source, key: int) -> _Listing:
    with read(source.folder) as catalog:
        require_unchanged(source, catalog)
        return _Listing(catalog.stored_in_segment(key), *catalog.known_of_segment(key))


def _batches(source: Source, file: SegmentFile, listing: _Listing) -> Iterator[Batch]:
    """Yield the images of a segment that can be found, in runs of rows, under their new ids."""
    path = source.folder / SEGMENTS / file.name
    try:
        segment = verified_segment(path, source.recipe, file)
    except FileNotFoundError:
        raise IndexStorageError(f"segment {path} is not there; run `semcbir check`") from None
    rows = np.array([image.row for image in listing.images], np.int64)
    ids = np.array([image.id for image in listing.images], np.int64)
    if rows[-1] >= len(segment) or (segment.ids[rows] != ids).any():
        raise IndexStorageError(
            f"segment {path} holds other ids than the catalogue says; run `semcbir check`"
        )
    live = np.zeros(len(segment), bool)
    live[rows] = True
    for start, stop in runs(live):
        new = source.ids[segment.ids[start:stop]]
        yield {
            feature: Signatures._unchecked(**{**vars(signatures[start:stop]), "ids": new})
            for feature, signatures in segment.batch.items()
        }


def _copy_unfound(source: Source, folder: Path, roots: Sequence[int]) -> None:
    """List the files that could not be read, and the images that were removed by hand."""
    with read(source.folder) as opened:
        require_unchanged(source, opened)
        unfound = opened.unfound()
    for start in range(0, len(unfound), _ROWS):
        with locked_writer(folder) as catalog, catalog.changes():
            for row, reason in unfound[start : start + _ROWS]:
                new, root = int(source.ids[row.id]), source.roots.get(row.root)
                if root is None:
                    continue  # its folder is no longer followed
                catalog.put_image(
                    new, roots[root], row.path, size=row.size, mtime_ns=row.mtime_ns, reason=reason or ""
                )
                if row.state == "removed":
                    catalog.take_out([new], "removed")
