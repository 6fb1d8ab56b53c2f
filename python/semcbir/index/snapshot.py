# SPDX-License-Identifier: MIT
"""Snapshot: what an index held at one moment, mapped and ready to search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._core import SegmentScreen
from semcbir._files import display_path
from semcbir._fork import Lock
from semcbir._validate import shown
from semcbir.errors import IndexStorageError
from semcbir.index.catalog import Catalog, read
from semcbir.index.class_names import read_class_names
from semcbir.index.database import SEGMENTS
from semcbir.index.part import Part
from semcbir.index.roots import Root, read_roots
from semcbir.index.segments import Segment, map_segments
from semcbir.networks.groups import ClassNames
from semcbir.recipe import FORMAT, Recipe
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures
from semcbir.smoothing import SmoothedSearcher

RECIPE_SHA256 = "recipe_sha256"
MERGING = "merging"
"""In the catalogue's ``meta``, of an index that is being merged: a hash of what it is made of."""
_ATTEMPTS = 5
_LARGEST_RECIPE = 2**24
"""Characters; a recipe of 65,536 classes has about a million."""

SCREENED = 512
"""The fewest images that searches have screens for: kImagesThatPay in cpp/src/searcher.cpp."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One consistent view of an index; later changes to the index do not affect it."""

    folder: Path
    recipe: Recipe
    classes: ClassNames
    roots: tuple[Root, ...]
    segments: tuple[Segment, ...]
    live_ids: tuple[npt.NDArray[np.int64], ...]
    """Per segment, the ids of its images; -1 for those that are no longer in the index."""
    identity: str = ""
    """What no other index has."""
    generation: int = 0
    """How many commits there were."""
    part: Part | None = None
    """Which part of its folders' images it is of; None: of all."""

    _known: dict[tuple[str, str], SegmentScreen] = field(default_factory=dict)
    """What searchers, earlier snapshots' too, know of segments, per feature name and name of the file.

    A segment's file never changes: where another image is added, most of a search is as before.
    """
    _searchers: dict[str, Searcher] = field(default_factory=dict)
    """The searchers made so far, per feature name."""
    _smoothed: dict[str, SmoothedSearcher] = field(default_factory=dict)
    """Per feature name, the one for the last k: each holds more than all signatures of the index."""

    def __len__(self) -> int:
        """Return how many images can be found."""
        return sum(int(np.count_nonzero(ids >= 0)) for ids in self.live_ids)

    def __contains__(self, image: int) -> bool:
        """Return whether the image with this id can be found."""
        return image >= 0 and any((ids == image).any() for ids in self.live_ids)

    def ids(self) -> list[int]:
        """Return the ids of the images that can be found, ascending."""
        return sorted(int(key) for ids in self.live_ids for key in ids if key >= 0)

    def require_whole(self) -> None:
        """Raise IndexStorageError if a segment's file has become shorter since it was mapped."""
        _require_whole(self.segments)

    def searcher(self, feature: str) -> Searcher:
        """Return a Searcher over the mapped segments, always the same one for a feature."""
        if feature not in self._searchers:
            keys = [(feature, segment.path.name) for segment in self.segments]
            searcher = self._searcher_of(feature, self.live_ids, [self._known.get(key) for key in keys])
            self._known.update(zip(keys, searcher._core.screens[1:], strict=True))
            self._searchers[feature] = searcher
        return self._searchers[feature]

    def searcher_among(self, feature: str, ids: npt.NDArray[np.int64]) -> Searcher:
        """Return a new Searcher that finds the images with these ids alone."""
        whole = self.searcher(feature)
        chosen = [np.where(np.isin(live, ids), live, -1) for live in self.live_ids]
        return self._searcher_of(feature, chosen, whole._core.screens[1:])

    def searcher_under(self, feature: str, ids: npt.NDArray[np.int64]) -> Searcher:
        """Return a new Searcher whose images have other ids: image i is ``ids[i]``."""
        if any(len(live) and live.max() >= len(ids) for live in self.live_ids):
            raise IndexStorageError(
                f"index {display_path(self.folder)} holds other images than its catalogue says; "
                "run `semcbir check`"
            )
        renamed = [np.where(live >= 0, ids[live], -1) for live in self.live_ids]
        return self._searcher_of(feature, renamed, [None] * len(self.segments))

    def _searcher_of(
        self, feature: str, ids: Sequence[npt.NDArray[np.int64]], screens: Sequence[SegmentScreen | None]
    ) -> Searcher:
        """Return a new Searcher over the segments under ``ids``, with what is known of each."""
        none = self._no_signatures(feature)
        batches = [none, *(segment.batch[feature] for segment in self.segments)]
        # Not a method of this object: a circle of references would keep the files mapped for a while.
        before = partial(_require_whole, self.segments)
        return Searcher._over_segments(batches, [none.ids, *ids], before, [None, *screens])

    def mapped_bytes(self) -> int:
        """Return how many bytes of segments are mapped: what searches without screens may read."""
        return sum(len(segment._mapped) for segment in self.segments)

    def screen_bytes(self, feature: str) -> int:
        """Return about how many bytes the screens of a feature take once they are built (docs/search.md).

        Fewer than SCREENED images get none unless a search is told to.
        """
        batches = [segment.batch[feature] for segment in self.segments]
        rows, images = sum(len(batch.classes) for batch in batches), sum(map(len, batches))
        dim = self.recipe.feature(feature).dim
        width = 16 if dim <= 16 else 32 if dim <= 32 else -(-dim // 64) * 64
        # Columns over a block, a third of whose images have a class, and centers; lengths and the order.
        return rows * (width + width // 64 + 4 + 5 * 4) + images * 8

    def smoothed_searcher(self, feature: str, k: int) -> SmoothedSearcher:
        """Return a searcher of smoothed signatures, in memory; it is kept until another ``k`` is asked for.

        The first call takes as long as a search for every image; other threads wait for it. Raises
        IndexStorageError for damaged values.
        """
        known = self._smoothed.get(feature)
        if known is not None and known.k == k:
            return known
        with _smoothing:
            known = self._smoothed.get(feature)
            if known is None or known.k != k:
                # Not a method of this object, as above, but of one that does not know the searcher.
                fetch = partial(Snapshot.signatures, replace(self, _searchers={}, _smoothed={}), feature)
                known = SmoothedSearcher(self.searcher(feature), fetch(None), k, fetch)
                self._smoothed[feature] = known
        return known

    def signatures(self, feature: str, wanted: npt.NDArray[np.int64] | None) -> Signatures:
        """Return a copy of the signatures: of all images by id (None), or of the ``wanted`` ids in order.

        Raises ValueError for an id that is not in the index, IndexStorageError for damaged values.
        """
        self.require_whole()
        places = self._places[1] if wanted is None else self._places_of(wanted)
        # By segment, each of which is read in the order of its rows.
        order = places.argsort()
        starts = np.cumsum([0, *map(len, self.segments)])
        cuts = np.searchsorted(places[order], starts)
        parts = [self._no_signatures(feature)]
        try:
            for segment, start, low, high in zip(self.segments, starts, cuts, cuts[1:], strict=False):
                if low < high:
                    parts.append(segment.batch[feature][places[order[low:high]] - start])
            read = Signatures.concatenate(parts, ids=np.arange(len(places)))
        except ValueError as error:
            raise IndexStorageError(
                f"a segment of index {display_path(self.folder)} is damaged: {error}; run `semcbir check`"
            ) from error
        ids = self._places[0] if wanted is None else wanted.copy()
        return Signatures._unchecked(**{**vars(read[order.argsort()]), "ids": ids})

    def _places_of(self, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where images are, as ``_places`` has it. Raises ValueError for an id that is not there."""
        ids, places = self._places
        at = np.searchsorted(ids, wanted).clip(0, max(0, len(ids) - 1))
        missing = wanted[ids[at] != wanted] if len(ids) else wanted
        if len(missing):
            raise ValueError(f"id {missing[0]} is not in index {display_path(self.folder)}")
        found: npt.NDArray[np.int64] = places[at]
        return found

    @cached_property
    def _places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids of all images, ascending, and where they are in the segments, one after another."""
        ids = np.concatenate([np.empty(0, np.int64), *self.live_ids])
        places = np.flatnonzero(ids >= 0)
        places = places[ids[places].argsort()]
        ids = ids[places]
        if (ids[1:] == ids[:-1]).any():
            raise IndexStorageError(
                f"a segment of index {display_path(self.folder)} is damaged: expected each id once, "
                "got one again; run `semcbir check`"
            )
        return ids, places

    def _no_signatures(self, feature: str) -> Signatures:
        recipe = self.recipe.for_feature(feature)
        kind = recipe.feature()
        return Signatures.empty(recipe.n_classes, kind.dim, recipe, whole=kind.whole_row)


_smoothing = Lock()
"""Held by whoever smooths the signatures of any snapshot: that uses every CPU."""


def _require_whole(segments: Iterable[Segment]) -> None:
    for segment in segments:
        segment.require_whole()


def load(folder: Path, before: Snapshot | None = None) -> Snapshot:
    """Read the catalogue of the index at ``folder`` and map its segments.

    What is known of segments that were there ``before`` is taken over.

    Raises IndexStorageError if it is not an index or is damaged.
    """
    for _ in range(_ATTEMPTS):
        with read(folder) as catalog:
            if catalog.meta(MERGING) is not None:
                raise IndexStorageError(
                    f"index {display_path(folder)} is only merged in part; run its `semcbir merge` to its end"
                )
            recipe, roots = read_recipe(catalog), read_roots(catalog)
            classes = read_class_names(catalog, recipe)
            files, dead = catalog.segments(), catalog.dead_rows()
            part, uuid = Part.of_index(catalog), catalog.meta("uuid")
            generation = catalog.meta("generation") or 0
        try:
            # A writer may have merged these segments in the meantime; then read the catalogue again.
            segments = map_segments(folder / SEGMENTS, [file for _, file in files], recipe)
        except FileNotFoundError as error:
            missing = error.filename
            continue
        for segment, (_, file) in zip(segments, files, strict=True):
            if len(segment) != file.images:
                raise IndexStorageError(
                    f"segment {file.name} of index {folder} holds {len(segment)} images, "
                    f"the catalogue says {file.images}; run `semcbir check`"
                )
        live = tuple(
            live_ids(segment.ids, dead.get(key, ()))
            for segment, (key, _) in zip(segments, files, strict=True)
        )
        names = {segment.path.name for segment in segments}
        known = {key: one for key, one in before._known.items() if key[1] in names} if before else {}
        return Snapshot(
            folder,
            recipe,
            classes,
            roots,
            tuple(segments),
            live,
            identity=str(uuid or ""),
            generation=generation,
            part=part,
            _known=known,
        )
    raise IndexStorageError(f"index {folder} lists a segment that is not there: {missing}")


def live_ids(ids: npt.NDArray[np.int64], dead: Iterable[int]) -> npt.NDArray[np.int64]:
    """Return a segment's ids with -1 in the dead rows."""
    rows = np.fromiter(dead, np.int64)
    if not len(rows):
        return ids
    if rows.min() < 0 or rows.max() >= len(ids):
        raise IndexStorageError("the catalogue marks rows as dead that a segment does not have")
    live = ids.copy()
    live[rows] = -1
    return live


def recipe_sha256(text: str) -> str:
    """Return the digest that the catalogue keeps of a recipe's text, which never changes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_recipe(catalog: Catalog) -> Recipe:
    """Return the recipe of an index. Raises IndexStorageError if it is malformed or too new."""
    try:
        text = catalog.meta("recipe")
        if not isinstance(text, str):
            raise ValueError(f"expected JSON text, got {shown(text)}")
        if len(text) > _LARGEST_RECIPE:
            raise ValueError(f"expected at most {_LARGEST_RECIPE} characters, got {len(text)}")
        data = json.loads(text)
        made = data["format"]
        if isinstance(made, int) and made > FORMAT:
            raise IndexStorageError(
                f"index {catalog.folder} was made by a newer semcbir: "
                f"its recipe has format {made}, this one knows {FORMAT}"
            )
        recipe = Recipe.from_dict(data)
        # With another number it is a sound recipe too, of other signatures. Older indexes have no digest.
        if catalog.meta(RECIPE_SHA256) not in (None, recipe_sha256(text)):
            raise ValueError("its sha256 is not the one that it was made with")
        return recipe
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise IndexStorageError(f"the recipe of index {catalog.folder} is damaged: {error}") from error
