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
from semcbir.index.catalog import Catalog, locked_writer, read, writer_lock
from semcbir.index.create import BUILDING, create_like
from semcbir.index.database import SEGMENTS, is_index, require_index
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
_PIECES = 64
_ROWS_HELD, _FEWEST_ROWS = 500_000, 100
"""Rows of all catalogues together that are held while they are put in order; the fewest of each."""


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
        """A hash of what is merged, as it is now, and of what it becomes."""
        made_of = [
            (source.stamp, str(source.part), hashlib.sha256(source.ids.tobytes()).hexdigest())
            for source in self.sources
        ]
        roots = [(os.fsencode(root.folder).hex(), root.state) for root in self.roots]
        text = json.dumps([made_of, roots, self.images, self.listed])
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
    # In one order, whichever they are given in: the first name of a folder is the one that is kept.
    ordered = sorted(folders, key=lambda folder: (_part_at(folder), os.fsencode(os.path.realpath(folder))))
    found = [_read_source(folder, known) for folder in ordered]
    first = found[0]
    for other in found[1:]:
        _require_alike(first, other)
    known.require_apart()
    if sum(len(source.segments) for source in found) > MAX_SEGMENTS:
        raise ValueError(f"parts: expected at most {MAX_SEGMENTS} segments together; compact them first")
    images = listed = 0
    before: tuple[bytes, Source] | None = None
    at_once = max(_FEWEST_ROWS, _ROWS_HELD // len(found))
    for path, place, old, is_indexed in heapq.merge(
        *(_paths(source, place, known.roots, at_once) for place, source in enumerate(found))
    ):
        source = found[place]
        if before is not None and before[0] == path:
            raise ValueError(
                f"parts: expected each file in one of them, got {display_path(os.fsdecode(path))} in both "
                f"{display_path(before[1].folder)} and {display_path(source.folder)}"
            )
        before = path, source
        if not 0 <= old < len(source.ids) or source.ids[old] >= 0:
            raise _damaged(source, f"image {old}: expected each id once, below {len(source.ids)}")
        source.ids[old] = listed
        listed += 1
        images += is_indexed
    return MergePlan(tuple(found), tuple(known.roots), images, listed)


def _part_at(folder: Path) -> Part:
    """Return which part an index is; whole ones come first."""
    with read(folder) as catalog:
        return Part.of_index(catalog) or Part(0, 0)


def _damaged(source: Source, what: str) -> IndexStorageError:
    return IndexStorageError(
        f"catalogue of index {display_path(source.folder)} is damaged: {what}; run `semcbir check`"
    )


def _read_source(folder: Path, known: _Folders) -> Source:
    with read(folder) as catalog:
        if catalog.meta(MERGING) is not None:
            raise IndexStorageError(f"{display_path(folder)} is being merged; merge it to its end first")
        if catalog.meta(BUILDING) is not None:
            raise IndexStorageError(
                f"the photos of {display_path(folder)} were not all read; run its `semcbir index` to its end"
            )
        live = catalog.images_per_segment()
        roots = read_roots(catalog)
        for root in roots:
            if root.lost and os.path.isdir(root.folder):  # noqa: PTH112 - false for every error
                raise IndexStorageError(
                    f"{display_path(root.folder)} holds none of the photos of {display_path(folder)}; say "
                    f"where they are now with `semcbir info {display_path(folder)} --root NEW`"
                )
        return Source(
            folder,
            read_recipe(catalog),
            Part.of_index(catalog),
            {root.id: known.add(root) for root in roots},
            np.full(catalog.dense_ids(), -1, np.int64),
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


def _paths(
    source: Source, place: int, roots: Sequence[Root], at_once: int
) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield (path, place, id, whether it can be found) of the files that an index lists, by path."""
    starts = {root: os.fsencode(roots[merged].folder) for root, merged in source.roots.items()}
    yield from heapq.merge(
        *(
            _paths_of_root(source, place, root, start if start.endswith(b"/") else start + b"/", at_once)
            for root, start in starts.items()
        )
    )


def _paths_of_root(
    source: Source, place: int, root: int, start: bytes, at_once: int
) -> Iterator[tuple[bytes, int, int, bool]]:
    last = b""
    while True:
        with read(source.folder) as catalog:  # There may be more indexes than files that can be open.
            _require_unchanged(source, catalog)
            rows = catalog.listed_after(root, last, at_once)
        for key, path, state in rows:
            yield start + path, place, key, state == "indexed"
        if len(rows) < at_once:
            return
        last = rows[-1][1]


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
            catalog.forget(BUILDING)
            catalog.remember(_MERGED, plan.digest)
            if all(source.dated for source in plan.sources):
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


_Piece = tuple[Source, SourceSegment]


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
        for batch in _batches(source, piece.name, listing)
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


def _copy_unfound(source: Source, folder: Path, roots: Sequence[int]) -> None:
    """List the files that could not be read, and the images that were removed by hand."""
    with read(source.folder) as opened:
        _require_unchanged(source, opened)
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


def missing_words(missing: Iterable[Part]) -> str:
    """Return what is said of parts that are missing."""
    few = [str(part) for part in missing]
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return f"{counted(len(few), 'part')} missing: {', '.join(few[:5])}{more}"
