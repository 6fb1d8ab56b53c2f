# SPDX-License-Identifier: MIT
"""Index: a folder on disk that knows the signatures of many image files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semcbir.errors import ImageError, ModelError
from semcbir.extractor import LONG_SIDE, Extractor
from semcbir.features import Feature
from semcbir.images import display_path
from semcbir.ingest import Ingest, Plan, Progress, Report, Skipped, plan
from semcbir.recipe import Recipe, require_same
from semcbir.searcher import Searcher
from semcbir.signature import Signatures
from semcbir.storage import catalog
from semcbir.storage.checking import check_index
from semcbir.storage.creating import create_index
from semcbir.storage.files import absolute
from semcbir.storage.merging import merge_all, merge_small, remove_litter
from semcbir.storage.roots import files_of, read_roots, root_of, scan_from_now_on, stored_folder
from semcbir.storage.snapshot import MODEL_CARD, load

PathLike = str | os.PathLike[str]
OnProgress = Callable[[Progress], None] | None


@dataclass(frozen=True)
class Record:
    """An image in an index: its id, where its file is, and the file's size (bytes) and mtime (ns)."""

    id: int
    path: Path
    size: int | None
    mtime_ns: int | None


class Index:
    """An index of image files, opened with ``Index.open`` or made with ``Index.build``.

    The object is one snapshot: what other processes add or remove later shows when it is opened again;
    its own ``add``, ``remove``, ``refresh`` and ``compact`` show at once. There is one writer at a time.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = absolute(path)
        self.report = Report()
        """What the last ``build``, ``add`` or ``refresh`` of this object did."""
        self._reload()

    def _reload(self) -> None:
        self._snapshot = load(self.path)
        self._searchers: dict[str, Searcher] = {}

    @classmethod
    def open(cls, path: PathLike) -> Index:
        """Open the index at ``path``. Raises IndexStorageError where it is no index or is damaged."""
        return cls(path)

    @classmethod
    def build(
        cls,
        folders: PathLike | Iterable[PathLike],
        path: PathLike,
        *,
        model: PathLike,
        features: str | Iterable[str | Feature] = "kaze",
        long_side: int | None = LONG_SIDE,
        device: str = "auto",
        threads: int | None = None,
        on_progress: OnProgress = None,
    ) -> Index:
        """Index every image below ``folders`` into a new index at ``path``.

        Where ``path`` is an index of the same recipe already, say from a run that was cut off, what is
        missing is added. Images that cannot be read are recorded and skipped; ``report`` tells which.

        Raises ImageError for a folder that is not there, IndexStorageError where ``path`` holds something
        else or cannot be written, IndexLockedError where another process writes to it, RecipeMismatchError
        where it was made in another way, ModelError and DeviceError like Extractor.
        """
        extractor = Extractor(model, features, long_side=long_side, device=device, threads=threads)
        roots = [_folder(folder) for folder in _paths(folders)]
        if not roots:
            raise ValueError("folders must name at least one folder, got none")
        folder = absolute(path)
        if not catalog.is_index(folder):
            create_index(
                folder, roots, extractor.recipe, extractor.model, extractor.model_path, extractor.card
            )
        index = cls(folder)
        require_same(index.recipe, extractor.recipe, "the images to add")
        index._run(extractor, roots, on_progress, revive=False, find_gone=True)
        return index

    def __len__(self) -> int:
        """Return how many images can be found."""
        return len(self._snapshot)

    def __repr__(self) -> str:
        features = ", ".join(feature.name for feature in self.recipe.features)
        return f"Index({display_path(self.path)!r}, {len(self)} images, features: {features})"

    @property
    def recipe(self) -> Recipe:
        """How the signatures were made."""
        return self._snapshot.recipe

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, the default one first."""
        return tuple(feature.name for feature in self.recipe.features)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that images were found in."""
        return tuple(root.folder for root in self._snapshot.roots)

    @property
    def skipped(self) -> list[Skipped]:
        """The image files that could not be read, with the reason, by path."""
        with catalog.read(self.path) as connection:
            rows = connection.execute("SELECT root, path, reason FROM images WHERE state = 'skipped'")
            found = [Skipped(self._file(root, path), reason) for root, path, reason in rows]
        return sorted(found, key=lambda skipped: os.fsencode(skipped.path))

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records of the images that can be found, by id."""
        records = self.records(sorted(int(key) for ids in self._snapshot.live_ids for key in ids if key >= 0))
        return iter(records)

    def records(self, ids: Iterable[int]) -> list[Record]:
        """Return the records of ``ids``, in their order. Raises KeyError for an id that never was."""
        query = "SELECT id, root, path, size, mtime_ns FROM images WHERE id = ?"
        records = []
        with catalog.read(self.path) as connection:
            for key in ids:
                row = connection.execute(query, (int(key),)).fetchone()
                if row is None:
                    raise KeyError(f"index {self.path} has no image with id {key}")
                records.append(Record(row[0], self._file(row[1], row[2]), row[3], row[4]))
        return records

    def find(self, path: PathLike) -> Record | None:
        """Return the record of the image file at ``path``, or None where it is not in the index."""
        file = absolute(path)
        with catalog.read(self.path) as connection:
            for root in self._snapshot.roots:
                if not file.is_relative_to(root.folder):
                    continue
                row = connection.execute(
                    "SELECT id, size, mtime_ns FROM images WHERE root = ? AND path = ? AND state = 'indexed'",
                    (root.id, root.relative(file)),
                ).fetchone()
                if row:
                    return Record(row[0], file, row[1], row[2])
        return None

    def _file(self, root: int, relative: bytes) -> Path:
        return next(known for known in self._snapshot.roots if known.id == root).file(relative)

    def signatures(self, feature: str | None = None, *, ids: Iterable[int] | None = None) -> Signatures:
        """Return the signatures of ``feature`` (None: the first), copied.

        Of every image, by id; or of those with the given ``ids``, in their order. Raises ValueError for an
        unknown feature and for an id that is not in the index.
        """
        name = self.recipe.feature(feature).name
        wanted = None if ids is None else np.fromiter(ids, np.int64)
        parts = [self._no_signatures(name)]
        for (_, segment), live in zip(self._snapshot.segments, self._snapshot.live_ids, strict=True):
            parts.append(segment.batch[name][(live >= 0) if wanted is None else np.isin(live, wanted)])
        joined = Signatures.concatenate(parts)
        order = joined.ids.argsort()
        if wanted is None:
            return joined[order]
        missing = wanted[~np.isin(wanted, joined.ids)]
        if len(missing):
            raise ValueError(f"id {missing[0]} is not in index {display_path(self.path)}")
        return joined[order[np.searchsorted(joined.ids, wanted, sorter=order)]]

    def searcher(self, feature: str | None = None) -> Searcher:
        """Return a Searcher over the mapped segments for ``feature`` (None: the first)."""
        name = self.recipe.feature(feature).name
        if name not in self._searchers:
            batches = [segment.batch[name] for _, segment in self._snapshot.segments]
            ids: Sequence[object] = self._snapshot.live_ids
            if not batches:
                batches = [self._no_signatures(name)]
                ids = [batches[0].ids]
            self._searchers[name] = Searcher._over_segments(batches, ids)  # type: ignore[arg-type]
        return self._searchers[name]

    def _no_signatures(self, feature: str) -> Signatures:
        recipe = self.recipe.for_feature(feature)
        return Signatures.empty(recipe.n_classes, recipe.feature().dim, recipe)

    def extractor(
        self, *, model: PathLike | None = None, device: str = "auto", threads: int | None = None
    ) -> Extractor:
        """Return an Extractor that makes signatures like this index's.

        ``model`` is needed where the index holds no copy and the model is no longer where it was. Raises
        ModelError where it is not to be found and RecipeMismatchError where it is another one.
        """
        extractor = Extractor(
            model or self._model(),
            self.recipe.features,
            long_side=self.recipe.long_side,
            device=device,
            threads=threads,
        )
        require_same(self.recipe, extractor.recipe, "the model's signatures")
        return extractor

    def _model(self) -> Path:
        copy = self.path / MODEL_CARD
        if copy.is_file():
            return copy
        with catalog.read(self.path) as connection:
            (stored,) = connection.execute("SELECT value FROM meta WHERE key = 'model'").fetchone()
        if Path(stored).is_absolute() and not Path(stored).exists():
            raise ModelError(
                f"the model of index {self.path}, {self.recipe.model['name']}, is not at {stored} any more; "
                f"give its new place (sha256 {self.recipe.model['sha256']})"
            )
        return Path(stored)

    def add(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        extractor: Extractor | None = None,
        on_progress: OnProgress = None,
    ) -> Report:
        """Add image files, and the images below folders; those already there and unchanged stay as they are.

        Folders are remembered: ``refresh`` looks there for new images. An image that ``remove`` took out
        comes back. ``extractor`` saves loading the network again. Raises like ``build``.
        """
        chosen = [absolute(path) for path in _paths(paths)]
        for path in chosen:
            if not path.exists():
                raise ImageError(f"{display_path(path)} is not there")
        return self._run(extractor, chosen, on_progress, revive=True, find_gone=False)

    def refresh(
        self,
        folders: PathLike | Iterable[PathLike] = (),
        *,
        extractor: Extractor | None = None,
        on_progress: OnProgress = None,
    ) -> Report:
        """Bring the index up to date with its folders, and with the new ``folders`` if any.

        New and changed images are read, vanished ones taken out. The network is loaded only where there is
        something to read. Raises like ``build``, and IndexStorageError where a folder of the index is not
        there as a whole (an unmounted disk must not empty an index).
        """
        chosen = [root.folder for root in self._snapshot.roots]
        chosen += [_folder(folder) for folder in _paths(folders)]
        return self._run(extractor, chosen, on_progress, revive=False, find_gone=True)

    def remove(self, images: int | PathLike | Iterable[int | PathLike]) -> int:
        """Take images out, given by id or path, and return how many; their files are not touched.

        ``refresh`` leaves them out from then on; ``add`` brings them back. Raises ValueError for an image
        that is not in the index, and then takes none out.
        """
        many = [images] if isinstance(images, (int, str, os.PathLike)) else list(images)
        with catalog.writer(self.path) as connection:
            self._reload()
            ids = {self._id(image) for image in many}
            count = Ingest(self.path, connection, None).take_out(ids, "removed")
            merge_small(self.path, connection, self.recipe)
        self._reload()
        return count

    def _id(self, image: int | PathLike) -> int:
        if isinstance(image, (str, os.PathLike)):
            record = self.find(image)
            if record is None:
                raise ValueError(f"{display_path(image)} is not in index {self.path}")
            return record.id
        if not any((ids == image).any() for ids in self._snapshot.live_ids) or image < 0:
            raise ValueError(f"id {image} is not in index {self.path}")
        return int(image)

    def check(self) -> list[str]:
        """Verify the whole index, checksums included, and return what is wrong; empty where it is sound."""
        return check_index(self.path)

    def compact(self) -> None:
        """Merge all segments into one and drop what removed images left behind."""
        with catalog.writer(self.path) as connection:
            remove_litter(self.path, connection)
            merge_all(self.path, connection, self.recipe)
        self._reload()

    def rebase(self, new: PathLike, old: PathLike | None = None) -> None:
        """Tell the index that the folder ``old`` is now at ``new``; ``old`` may be left out if it has one.

        Raises ValueError where ``old`` is none of its folders and ImageError where ``new`` is no folder.
        """
        folder = _folder(new)
        with catalog.writer(self.path) as connection:
            roots = read_roots(self.path, connection)
            wanted = None if old is None else absolute(old)
            chosen = [root for root in roots if wanted in (None, root.folder)]
            if len(chosen) != 1:
                known = ", ".join(display_path(root.folder) for root in roots)
                raise ValueError(f"old must name one of the index's folders: {known}")
            with connection:
                connection.execute(
                    "UPDATE roots SET path = ? WHERE id = ?", (stored_folder(folder, self.path), chosen[0].id)
                )
        self._reload()

    def _run(
        self,
        extractor: Extractor | None,
        paths: Iterable[Path],
        on_progress: OnProgress,
        *,
        revive: bool,
        find_gone: bool,
    ) -> Report:
        """Bring ``paths`` up to date: plan, take out what is gone, read what is new, merge."""
        if extractor is not None:
            require_same(self.recipe, extractor.recipe, "the images to add")
        with catalog.writer(self.path) as connection:
            remove_litter(self.path, connection)
            plans = [
                self._plan(connection, path, revive=revive, find_gone=find_gone)
                for path in dict.fromkeys(paths)
            ]
            ingest = Ingest(self.path, connection, on_progress)
            self.report = report = ingest.report
            report.unchanged = sum(part.unchanged for part in plans)
            report.removed = ingest.take_out((key for part in plans for key in part.gone), "gone")
            tasks = [task for part in plans for task in part.tasks]
            if tasks:
                try:
                    for _ in ingest.read(tasks, extractor or self.extractor()):
                        merge_small(self.path, connection, self.recipe)
                finally:
                    self._reload()
        self._reload()
        return report

    def _plan(self, connection: sqlite3.Connection, path: Path, *, revive: bool, find_gone: bool) -> Plan:
        root = root_of(self.path, connection, path)
        if path == root.folder and revive and not root.scanned:
            root = scan_from_now_on(self.path, connection, root)
        listing = files_of(self.path, connection, root, path)
        whole = find_gone and path == root.folder
        return plan(connection, root, listing, revive=revive, find_gone=whole)


def _folder(folder: PathLike) -> Path:
    path = absolute(folder)
    if not path.is_dir():
        came = "is not a folder" if path.exists() else "is not there"
        raise ImageError(f"folder {display_path(path)} {came}")
    return path


def _paths(paths: PathLike | Iterable[PathLike]) -> list[PathLike]:
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
