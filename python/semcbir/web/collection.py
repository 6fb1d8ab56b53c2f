# SPDX-License-Identifier: MIT
"""The index that pages show, opened anew when it changes, made meanwhile; and what is asked of it.

All methods block; the event loop calls them in threads.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path, reason
from semcbir._fork import Lock
from semcbir._printable import printable
from semcbir.copying import copy_into
from semcbir.errors import SemcbirError
from semcbir.explanation import Explanation, explain
from semcbir.extractor import Analysis
from semcbir.finding import FoundImages, find
from semcbir.images.given import read_image
from semcbir.index.catalog import read
from semcbir.index.contents import Contents
from semcbir.index.database import NAME
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.index.place import index_place, own_place
from semcbir.index.ready import ready_index
from semcbir.index.report import Progress
from semcbir.index.roots import read_roots
from semcbir.near_duplicates import DuplicateGroup, duplicates
from semcbir.query import search
from semcbir.regions import check_region, part_of
from semcbir.results import Results
from semcbir.web.asked import SIMPLE, Asked
from semcbir.web.uploads import Uploads

ORDERS = ("folder", "date", "random")
_KEPT = 16
"""Orders and the like that are kept until the index changes."""
_DIGITS = re.compile(rb"[0-9]+")
_RECORDS = 20_000
"""Records that are kept likewise."""
_ANALYSES = 32
"""Photos whose label maps are kept: the pinned photo is asked for again and again."""


_Made = TypeVar("_Made")


class NotThereError(Exception):
    """What was asked for is not in the index, or not held any more."""


@dataclass(frozen=True)
class State:
    """Whether there is an index to search, and how far a run is that makes it or brings it up to date."""

    ready: bool
    running: bool
    done: int = 0
    total: int = 0
    skipped: int = 0
    trouble: str = ""


class Collection:
    """The index at ``target``: an index, or a folder of photos with its own.

    Photos that are chosen can be copied into the folder ``copies``.
    """

    def __init__(self, target: Path, uploads: Uploads | None = None, copies: Path | None = None) -> None:
        self.target = target
        self.copies = copies
        self.uploads = uploads or Uploads()
        self._index: Index | None = None
        self._stamp: tuple[int, ...] | None = None
        self._opening = Lock()
        self._model = threading.Semaphore(2)
        self._analyses: OrderedDict[tuple[object, ...], Analysis] = OrderedDict()
        self._kept: dict[object, tuple[Lock, list[Any]]] = {}
        self._records: dict[int, Record] = {}
        self._progress: Progress | None = None
        self._running = self._stop = False
        self._trouble = ""

    def begin(self) -> None:
        """Say that ``follow`` is about to run, so that nobody finds the index missing before it does."""
        self._running = True

    def follow(self) -> None:
        """Make the folder's own index, or bring it up to date; ``stop`` ends it, and what is done stays."""
        self._running = True
        try:
            ready_index(self.target, on_progress=self._note)
        except SemcbirError as error:
            self._trouble = str(error)
        except _StoppedError:
            pass
        finally:
            self._running = False

    def stop(self) -> None:
        """Make ``follow`` end soon."""
        self._stop = True

    def _note(self, progress: Progress) -> None:
        self._progress = progress
        if self._stop:
            raise _StoppedError

    @property
    def state(self) -> State:
        """How far the index is."""
        try:
            ready = len(self.index()) > 0
        except SemcbirError as error:
            trouble = self._trouble or ("" if self._running else str(error))
            ready = False
        else:
            trouble = self._trouble
        progress = self._progress or Progress(0, 0, 0)
        return State(ready, self._running, progress.done, progress.total, progress.skipped, trouble)

    @property
    def name(self) -> str:
        """What tells the index, as it was when it was asked last, from any other that was at its place."""
        return self._index.identity if self._index else ""

    def index(self) -> Index:
        """Return the index as it is now. Raises IndexStorageError if it is not there, or is damaged."""
        place = own_place(self.target) if self._running else index_place(self.target)
        status = (place / NAME).stat() if (place / NAME).exists() else None
        stamp = None if status is None else (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._opening:
            if self._index is None or stamp is None or stamp != self._stamp:
                self._index, self._stamp = Index.open(place), stamp
                self._kept, self._records = {}, {}
            return self._index

    def record(self, key: int) -> Record:
        """Return an image's record. Raises NotThereError if it is not in the index."""
        index = self.index()
        if key not in index._snapshot:
            raise _gone(key)
        return self.records([key])[0]

    def held(self, ids: Sequence[int]) -> list[Record]:
        """Return the records of those of ``ids`` that are in the index still; NotThereError if none is.

        What was chosen on a page may have left the index since.
        """
        index = self.index()
        left = [key for key in ids if key in index._snapshot]
        if not left:
            raise _gone(ids[0])
        return self.records(left)

    def records(self, ids: Sequence[int]) -> list[Record]:
        """Return the records of images: a page asks for the same ones again and again."""
        index = self.index()
        with self._opening:
            known = self._records
        found = {key: record for key in ids if (record := known.get(key))}
        new = [key for key in ids if key not in found]
        fetched = dict(zip(new, index.records(new), strict=True)) if new else {}
        if len(known) > _RECORDS:
            known.clear()
        known.update(fetched)
        return [found.get(key) or fetched[key] for key in ids]

    def source(self, key: int | str) -> Path | bytes:
        """Return the file of an image, or the bytes of a photo that was sent."""
        if isinstance(key, int):
            return self.record(key).path
        try:
            return self.uploads.get(key)
        except KeyError:
            raise NotThereError("the photo that was sent is not held any more; send it again") from None

    def search(self, asked: Asked) -> Results:
        """Search for one photo, or for several together."""
        index = self.index()
        if not asked.photos:
            raise ValueError("q: expected a photo, got none")
        box = asked.region is not None
        photos = [self._query(index, photo.key, asked.feature, box) for photo in asked.photos]
        single = len(photos) == 1 and asked.photos[0].weight == 1
        pairs = [(photo, asked.photos[place].weight) for place, photo in enumerate(photos)]
        options: dict[str, Any] = {
            "only": asked.only or None,
            "without": asked.without or None,
            "weights": asked.weights or None,
            "region": asked.region,
            "where": list(asked.where) or None,
        }
        options |= {name: getattr(asked, name) for name in SIMPLE}
        if any(not isinstance(key.key, int) or box for key in asked.photos):
            with self._model:
                found: Any = search(photos[0] if single else pairs, index, **options)
        else:
            found = search(photos[0] if single else pairs, index, **options)
        results: Results = found[0] if isinstance(found, list) else found
        return results

    def _query(self, index: Index, key: int | str, feature: str | None, box: bool) -> Any:
        if isinstance(key, str) or box:
            return self.source(key)
        if key not in index._snapshot:
            raise _gone(key)
        return index.signatures(feature, ids=[key])

    def find(
        self, only: Sequence[str], without: Sequence[str], shares: dict[str, float], k: int, page: int
    ) -> FoundImages:
        """Find photos by their classes, as ``semcbir.find`` does."""
        try:
            return find(self.index(), only, without, shares, k, page)
        except ValueError as error:  # who writes words does not know which argument they become
            raise ValueError(re.sub(r"^(only|without|shares): ", "words: ", str(error))) from None

    def size(self, key: int | str) -> tuple[int, int]:
        """Return the height and width of a photo as it is shown, in its own pixels."""
        height, width = read_image(self.source(key), None).shape[:2]
        return height, width

    def analysis(self, key: int | str) -> Analysis:
        """Return a photo as the network sees it; ImageError if it cannot be read."""
        index, source = self.index(), self.source(key)
        stamp = self.record(key).mtime_ns if isinstance(key, int) else None
        name = (key, stamp, self._stamp and self._stamp[0])
        with self._model:
            known = self._analyses.get(name)
            if known is None:
                known = self._analyses[name] = index.extractor().analyse(source)
                while len(self._analyses) > _ANALYSES:
                    self._analyses.popitem(last=False)
        return known

    def shares(self, key: int | str, region: Sequence[int] | None = None) -> dict[str, float]:
        """Return how much of a photo, or of a box of it, each class is, the largest first."""
        index = self.index()
        box = check_region(region) if region is not None and len(region) == 4 else None
        if isinstance(key, int) and box is None:
            batch = index.signatures(ids=[key])
        else:
            extractor, analysis = index.extractor(), self.analysis(key)
            if box is not None:
                limit = extractor.max_pixels
                analysis, _ = part_of(analysis, self.source(key), box, index.recipe, limit)
            batch = extractor.signatures_of(analysis)[index.features[0]]
        known = zip(batch.classes.tolist(), batch.proportions.tolist(), strict=True)
        ordered = sorted(known, key=lambda one: (-one[1], one[0]))
        return {index.classes[label]: share for label, share in ordered if label < len(index.classes)}

    def explain(self, asked: Asked, hit: int) -> Explanation:
        """Say why an image is as far from a single photo as it is."""
        if len(asked.photos) != 1:
            raise ValueError(f"q: expected one photo to explain, got {len(asked.photos)}")
        index, source = self.index(), self.source(asked.photos[0].key)
        self.record(hit)
        with self._model:
            return explain(
                source,
                hit,
                index,
                asked.feature,
                only=asked.only or None,
                weights=asked.weights or None,
                region=asked.region,
            )

    def contents(self) -> Contents:
        """Return what is in the photos."""
        index = self.index()
        return self._once("contents", index.contents)

    def duplicates(self, distance: float | None = None) -> tuple[DuplicateGroup, ...]:
        """Return groups of near-duplicates, at most ``distance`` apart (None: the feature's default)."""
        index = self.index()
        return self._once(("duplicates", distance), lambda: tuple(duplicates(index, distance)))

    def order(self, by: str, seed: int = 0) -> npt.NDArray[np.int64]:
        """Return all ids, by "folder" (path), "date" (latest first) or in a "random" order."""
        index = self.index()
        return self._once((by, seed), lambda: _ordered(index, by, seed))

    def _once(self, key: object, make: Callable[[], _Made]) -> _Made:
        """Return what ``make`` gives for the index as it is; others who ask for it meanwhile wait."""
        with self._opening:
            kept = self._kept
            lock, made = kept.get(key) or (Lock(), [])
            if key not in kept and len(kept) >= _KEPT:
                kept.clear()
            kept[key] = lock, made
        with lock:
            if not made:
                made.append(make())
            found: _Made = made[0]
        return found

    def copy(self, ids: Sequence[int]) -> dict[str, Any]:
        """Copy photos into the folder for copies; return where, how many, and which could not be read.

        Raises ValueError if there is no such folder, or if it lies in one whose photos are indexed.
        """
        if self.copies is None:
            raise ValueError("no folder was named for copies; `semcbir browse --copy DIR` names one")
        folder, index = self.copies.resolve(), self.index()
        inside = next((root for root in index.roots if folder.is_relative_to(root.resolve())), None)
        if inside is not None:
            raise ValueError(
                f"{display_path(folder)} is in {display_path(inside)}, whose photos are indexed: "
                "copies there would be photos of the index, too"
            )
        paths = [record.path for record in self.held(ids)]
        folder.mkdir(parents=True, exist_ok=True)
        made, skipped = 0, []
        for path in paths:
            try:
                made += copy_into(path, folder)
            except OSError as error:
                skipped.append({"path": printable(str(path)), "reason": reason(error)})
        already = len(paths) - made - len(skipped)
        return {"folder": display_path(folder), "copied": made, "already": already, "skipped": skipped}

    def where(self) -> str:
        """Return what the collection is called."""
        return display_path(self.target)


def _gone(key: int) -> NotThereError:
    return NotThereError(f"the index has no photo {key}")


class _StoppedError(Exception):
    """The run was asked to end."""


def _ordered(index: Index, by: str, seed: int) -> npt.NDArray[np.int64]:
    ids = np.array(index._snapshot.ids(), np.int64)
    if by == "random":
        return np.random.default_rng(seed).permutation(ids)
    with read(index.path) as catalog:
        if by == "date":
            ordered = catalog.ids_by_date()
        else:
            folders = {root.id: os.fsencode(root.folder) for root in read_roots(catalog)}
            rows = sorted(
                (folders.get(root, b""), _natural(path), path, key) for key, root, path in catalog.named()
            )
            ordered = [row[-1] for row in rows]
    found = np.array(ordered, np.int64)
    return found[np.isin(found, ids)]


def _natural(path: bytes) -> tuple[bytes, bytes]:
    """Return what paths are sorted by: folder by folder, numbers in names by their value (2 before 10)."""
    folder, _, name = path.rpartition(b"/")
    # With NUL, which no name has, between them, folders come right after the one that they are in.
    return _DIGITS.sub(_number, folder).replace(b"/", b"\0"), _DIGITS.sub(_number, name)


def _number(digits: re.Match[bytes]) -> bytes:
    value = digits[0].lstrip(b"0")
    return b"0" + len(value).to_bytes(2, "big") + value
