# SPDX-License-Identifier: MIT
"""Merging indexes: one index of all images of several, such as the parts of a large one.

Ids are handed out anew, in the order of paths, as a single run over all folders would: the merged index has
the same ids, order and bits as one that was made at once. Segments are verified and copied, a commit each,
so a merge that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir._validate import counted
from semcbir.errors import IndexStorageError, RecipeMismatchError
from semcbir.index.catalog import Catalog, read, writer
from semcbir.index.create import BUILDING, create_like, finish_building
from semcbir.index.database import SEGMENTS, is_index
from semcbir.index.files import sha256
from semcbir.index.limits import Limits
from semcbir.index.merge import LARGEST, new_segment, remove_litter, tidy
from semcbir.index.part import Part
from semcbir.index.report import Progress
from semcbir.index.roots import Root, read_roots
from semcbir.index.rows import MAX_SEGMENTS, StoredRow
from semcbir.index.segments import Batch, map_segment
from semcbir.index.snapshot import MERGING, read_recipe
from semcbir.index.taken import COMPLETE
from semcbir.index.whereabouts import stored_place
from semcbir.recipe import Recipe, require_same
from semcbir.signatures import Signatures

_MERGED = "merged"
"""In ``meta``, once that is done: the same hash."""
_ROWS = 50_000


class SourceSegment(NamedTuple):
    """A segment's number and name, how many images in the index it holds, and the least of their ids."""

    key: int
    name: str
    images: int
    least: int


@dataclass(frozen=True, eq=False)
class Source:
    """An index that is merged."""

    folder: Path
    recipe: Recipe
    part: Part | None
    roots: dict[int, int]
    """Per root, its place among the roots of the merged index."""
    ids: npt.NDArray[np.int64]
    """int64 (largest id + 1,): the ids in the merged index; -1 for images that are gone."""
    segments: tuple[SourceSegment, ...]
    """Those that hold images in the index."""
    stamp: tuple[object, object]
    limits: Limits
    dated: bool


@dataclass(frozen=True, eq=False)
class MergePlan:
    """What a merged index is made of: ``images`` that can be found, and ``listed`` files of any state."""

    sources: tuple[Source, ...]
    roots: tuple[Root, ...]
    images: int
    listed: int

    @property
    def recipe(self) -> Recipe:
        """How all signatures were made."""
        return self.sources[0].recipe

    @property
    def digest(self) -> str:
        """A hash of what is merged, as it is now."""
        text = json.dumps([(source.stamp, str(source.part)) for source in self.sources])
        return hashlib.sha256(text.encode()).hexdigest()

    def missing_parts(self) -> list[Part]:
        """Return the parts that are not among the indexes, though others of so many are."""
        held = {source.part for source in self.sources if source.part}
        wanted = {Part(number, part.parts) for part in held for number in range(1, part.parts + 1)}
        return sorted(wanted - held)


@dataclass
class _Folders:
    """The roots of all indexes, each folder once."""

    roots: list[Root] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, root: Root) -> int:
        """Return the place of a root's folder, which may be known under another name."""
        place = self.places.setdefault(root.real, len(self.roots))
        if place == len(self.roots):
            self.roots.append(Root(place, root.folder, root.state))
        elif root.scanned:
            self.roots[place] = Root(place, self.roots[place].folder, root.state)
        return place

    def require_apart(self) -> None:
        """Raise ValueError if a folder that is followed holds another one."""
        for outer in self.roots:
            for inner in self.roots:
                if outer.scanned and outer is not inner and outer.way_to(os.fspath(inner.folder), inner.real):
                    raise ValueError(
                        f"parts: expected folders apart from one another, got {display_path(inner.folder)} "
                        f"in {display_path(outer.folder)}"
                    )


def plan_merge(folders: Sequence[Path]) -> MergePlan:
    """Return how the indexes at ``folders`` become one: their order, and the id of each image.

    Raises IndexStorageError for what is no index or was not made to its end, RecipeMismatchError for those
    made differently, ValueError if two hold the same file, or are parts of different numbers of parts.
    """
    known = _Folders()
    found = [_read_source(folder, known) for folder in folders]
    first = found[0]
    for other in found[1:]:
        _require_alike(first, other)
    known.require_apart()
    found.sort(key=lambda source: (source.part or Part(0, 0), os.fsencode(os.path.realpath(source.folder))))
    if sum(len(source.segments) for source in found) > MAX_SEGMENTS:
        raise ValueError(f"parts: expected at most {MAX_SEGMENTS} segments together; compact them first")
    images = listed = 0
    before: tuple[bytes, Source] | None = None
    for path, place, old, is_indexed in heapq.merge(
        *(_paths(source, place, known.roots) for place, source in enumerate(found))
    ):
        source = found[place]
        if before is not None and before[0] == path:
            raise ValueError(
                f"parts: expected each file in one of them, got {display_path(os.fsdecode(path))} in both "
                f"{display_path(before[1].folder)} and {display_path(source.folder)}"
            )
        before = path, source
        source.ids[old] = listed
        listed += 1
        images += is_indexed
    return MergePlan(tuple(found), tuple(known.roots), images, listed)


def _read_source(folder: Path, known: _Folders) -> Source:
    with read(folder) as catalog:
        if catalog.meta(MERGING) is not None:
            raise IndexStorageError(f"{display_path(folder)} is being merged; merge it to its end first")
        if catalog.meta(BUILDING) is not None:
            raise IndexStorageError(
                f"the photos of {display_path(folder)} were not all read; run its `semcbir index` to its end"
            )
        live = catalog.images_per_segment()
        return Source(
            folder,
            read_recipe(catalog),
            Part.of_index(catalog),
            {root.id: known.add(root) for root in read_roots(catalog)},
            np.full(catalog.next_id(), -1, np.int64),
            tuple(
                SourceSegment(key, file.name, *live[key]) for key, file in catalog.segments() if key in live
            ),
            _stamp(catalog),
            Limits.of_last_run(catalog),
            catalog.meta(COMPLETE) is not None,
        )


def _stamp(catalog: Catalog) -> tuple[object, object]:
    """Return what changes when an index does: its identity, and how many commits there were."""
    return str(catalog.meta("uuid") or ""), catalog.meta("generation") or 0


def _require_alike(first: Source, other: Source) -> None:
    try:
        require_same(first.recipe, other.recipe, f"the signatures of {display_path(other.folder)}")
    except RecipeMismatchError as error:
        raise RecipeMismatchError(
            f"{display_path(first.folder)} and {display_path(other.folder)}: {error}"
        ) from None
    if first.part and other.part and first.part.parts != other.part.parts:
        raise ValueError(
            f"parts: expected parts of one number of parts, got {first.part} in "
            f"{display_path(first.folder)} and {other.part} in {display_path(other.folder)}"
        )


def _paths(source: Source, place: int, roots: Sequence[Root]) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield (path, place, id, whether it can be found) of the files that an index lists, by path."""
    starts = {root: os.fsencode(roots[merged].folder) for root, merged in source.roots.items()}
    starts = {root: start if start.endswith(b"/") else start + b"/" for root, start in starts.items()}
    with read(source.folder) as catalog:
        _require_unchanged(source, catalog)
        for root, start in sorted(starts.items(), key=lambda one: one[1]):
            for key, path, state in catalog.each_listed(root):
                yield start + path, place, key, state == "indexed"


def _require_unchanged(source: Source, catalog: Catalog) -> None:
    if _stamp(catalog) != source.stamp:
        raise IndexStorageError(f"{display_path(source.folder)} was changed meanwhile; merge again")


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
    with writer(folder) as catalog:
        if catalog.meta(_MERGED) == plan.digest:
            return
        if catalog.meta(MERGING) != plan.digest:
            other = (
                "a merge of other indexes, or they have changed" if catalog.meta(MERGING) else "another index"
            )
            raise IndexStorageError(
                f"{display_path(folder)} is {other}; choose another place, or delete it first"
            )
        remove_litter(catalog)
        _carry_out(plan, catalog, on_progress)


def _carry_out(plan: MergePlan, catalog: Catalog, on_progress: Callable[[Progress], None] | None) -> None:
    """Copy what ``plan`` says, and is not there yet, into the index of ``catalog``; the caller writes it."""
    roots = _roots(plan, catalog)
    left = [
        (source, segment)
        for source in plan.sources
        for segment in source.segments
        if catalog.image(int(source.ids[segment.least])) is None  # a segment is copied whole, or not at all
    ]
    done = plan.images - sum(segment.images for _, segment in left)
    tell = on_progress or (lambda _: None)
    tell(Progress(done, plan.images, 0))
    for group in _groups(left):
        _copy(catalog, group, roots)
        done += sum(segment.images for _, segment in group)
        tell(Progress(done, plan.images, 0))
    for source in plan.sources:
        _copy_unfound(source, catalog, roots)
    with catalog.changes():
        if all(source.dated for source in plan.sources):
            catalog.remember(COMPLETE, 1)
    limits = [source.limits for source in plan.sources]
    Limits(min(one.pixels for one in limits), min(one.seconds for one in limits)).note(catalog)
    with catalog.changes():
        catalog.forget(MERGING)
        catalog.remember(_MERGED, plan.digest)
    tidy(catalog, plan.recipe)
    finish_building(catalog)


def _roots(plan: MergePlan, catalog: Catalog) -> list[int]:
    """Return the number of each root of the plan; those that are not there yet are made."""
    known = {os.fspath(root.folder): root.id for root in read_roots(catalog)}
    new = [root for root in plan.roots if os.fspath(root.folder) not in known]
    with catalog.changes():
        for root in new:
            place = stored_place(root.folder, catalog.folder)
            known[os.fspath(root.folder)] = catalog.add_root(*place, root.state)
    return [known[os.fspath(root.folder)] for root in plan.roots]


_Piece = tuple[Source, SourceSegment]


def _groups(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Yield segments that become one: together of LARGEST images at most, or a larger one alone."""
    group: list[_Piece] = []
    images = 0
    for source, segment in pieces:
        if group and images + segment.images > LARGEST:
            yield group
            group, images = [], 0
        group.append((source, segment))
        images += segment.images
    if group:
        yield group


def _copy(catalog: Catalog, group: Sequence[_Piece], roots: Sequence[int]) -> None:
    """Copy segments as one, in one commit."""
    listings = [_listing(source, segment.key) for source, segment in group]
    batches = [
        batch
        for (source, piece), listing in zip(group, listings, strict=True)
        for batch in _batches(source, piece.name, listing)
    ]
    segment = new_segment(catalog.folder / SEGMENTS, batches)
    with catalog.changes():
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

    file_size: int
    sha256: str
    images: list[StoredRow]
    fingerprints: list[tuple[int, int, int, bytes]]
    taken: list[tuple[int, int, int, int | None]]


def _listing(source: Source, key: int) -> _Listing:
    with read(source.folder) as catalog:
        _require_unchanged(source, catalog)
        file = dict(catalog.segments())[key]
        images = catalog.stored_in_segment(key)
        return _Listing(file.size, file.sha256, images, *catalog.known_of_segment(key))


def _batches(source: Source, name: str, listing: _Listing) -> Iterator[Batch]:
    """Yield the images of a segment that can be found, in runs of rows, under their new ids."""
    path = source.folder / SEGMENTS / name
    try:
        if sha256(path, listing.file_size) != listing.sha256:
            raise IndexStorageError(f"segment {path} is damaged and cannot be merged; run `semcbir check`")
        segment = map_segment(path, source.recipe, size=listing.file_size)
    except FileNotFoundError:
        raise IndexStorageError(f"segment {path} is not there; run `semcbir check`") from None
    rows = np.array([image.row for image in listing.images], np.int64)
    ids = np.array([image.id for image in listing.images], np.int64)
    if rows[-1] >= len(segment) or (segment.ids[rows] != ids).any():
        raise IndexStorageError(
            f"segment {path} holds other ids than the catalogue says; run `semcbir check`"
        )
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, breaks):
        start, stop = int(run[0]), int(run[-1]) + 1
        new = source.ids[segment.ids[start:stop]]
        yield {
            feature: Signatures._unchecked(**{**vars(signatures[start:stop]), "ids": new})
            for feature, signatures in segment.batch.items()
        }


def _copy_unfound(source: Source, catalog: Catalog, roots: Sequence[int]) -> None:
    """List the files that could not be read, and the images that were removed by hand."""
    with read(source.folder) as opened:
        _require_unchanged(source, opened)
        unfound = opened.unfound()
    for start in range(0, len(unfound), _ROWS):
        with catalog.changes():
            for row, reason in unfound[start : start + _ROWS]:
                new, root = int(source.ids[row.id]), source.roots.get(row.root)
                if root is None:
                    continue  # its folder is no longer followed
                catalog.put_image(
                    new, roots[root], row.path, size=row.size, mtime_ns=row.mtime_ns, reason=reason or ""
                )
                if row.state == "removed":
                    catalog.take_out([new], "removed")


def missing_words(missing: Iterable[Part]) -> str:
    """Return what is said of parts that are missing."""
    few = [str(part) for part in missing]
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return f"{counted(len(few), 'part')} missing: {', '.join(few[:5])}{more}"
