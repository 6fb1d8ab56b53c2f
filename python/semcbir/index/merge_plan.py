# SPDX-License-Identifier: MIT
"""Plans to merge indexes: what each brings, and the ids that all images get, in the order of their paths.

That is the order of a single run over all folders. Searches over parts that are not merged use the same ids
(``distributed``).
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir._validate import counted
from semcbir.errors import IndexStorageError, RecipeMismatchError
from semcbir.index.catalog import Catalog, read
from semcbir.index.create import BUILDING
from semcbir.index.limits import Limits
from semcbir.index.part import Part
from semcbir.index.roots import Root, read_roots
from semcbir.index.rows import MAX_SEGMENTS, SegmentFile
from semcbir.index.snapshot import MERGING, read_recipe
from semcbir.index.taken import COMPLETE
from semcbir.recipe import Recipe, require_same

_ROWS_HELD, _FEWEST_ROWS = 500_000, 100
"""Rows of all catalogues together that are held while they are put in order; the fewest of each."""


class SourceSegment(NamedTuple):
    """A segment's number and file, how many images in the index it holds, and the least of their ids."""

    key: int
    file: SegmentFile
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
    followed: frozenset[int]
    """The places of the roots that are followed as a whole."""
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
    _require_once(folders)
    # In one order, whichever they are given in: the first name of a folder is the one that is kept.
    ordered = sorted(folders, key=lambda folder: (_part_at(folder), os.fsencode(os.path.realpath(folder))))
    found = [_read_source(folder, known) for folder in ordered]
    first = found[0]
    for other in found[1:]:
        _require_alike(first, other)
    parts = [source for source in found if source.part]
    for one, other in pairwise(parts):
        _require_of_one_index(one, other, known.roots)
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


def _require_once(folders: Iterable[Path]) -> None:
    """Raise ValueError if an index is given twice."""
    seen: set[str] = set()
    for folder in folders:
        real = os.path.realpath(folder)
        if real in seen:
            raise ValueError(f"parts: expected each index once, got {display_path(folder)} twice")
        seen.add(real)


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
        places = {root.id: known.add(root) for root in roots}
        return Source(
            folder,
            read_recipe(catalog),
            Part.of_index(catalog),
            places,
            frozenset(places[root.id] for root in roots if root.scanned),
            np.full(catalog.dense_ids(), -1, np.int64),
            tuple(SourceSegment(key, file, *live[key]) for key, file in catalog.segments() if key in live),
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


def _require_of_one_index(first: Source, other: Source, roots: Sequence[Root]) -> None:
    """Raise ValueError unless two parts are different ones of the same folders."""
    if first.part is None or other.part is None:
        return
    named = [f"{one.part} in {display_path(one.folder)}" for one in (first, other)]
    if first.part.parts != other.part.parts:
        raise ValueError(f"parts: expected parts of one number of parts, got {named[0]} and {named[1]}")
    if first.part == other.part:
        raise ValueError(f"parts: expected each part once, got {named[0]} and {named[1]}")
    for one, two in ((first, other), (other, first)):
        if alone := sorted(one.followed - two.followed):
            raise ValueError(
                f"parts: expected parts of the same folders, got {display_path(roots[alone[0]].folder)} in "
                f"{display_path(one.folder)} and not in {display_path(two.folder)}; where photos are "
                "elsewhere now, say so first: `semcbir info PART --root NEW`"
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
            require_unchanged(source, catalog)
            rows = catalog.listed_after(root, last, at_once)
        for key, path, state in rows:
            yield start + path, place, key, state == "indexed"
        if len(rows) < at_once:
            return
        last = rows[-1][1]


def require_unchanged(source: Source, catalog: Catalog) -> None:
    """Raise IndexStorageError if an index has changed since it was planned for."""
    if _stamp(catalog) != source.stamp:
        raise IndexStorageError(f"{display_path(source.folder)} was changed meanwhile; merge again")


def missing_words(missing: Iterable[Part]) -> str:
    """Return what is said of parts that are missing."""
    few = [str(part) for part in missing]
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return f"{counted(len(few), 'part')} missing: {', '.join(few[:5])}{more}"
