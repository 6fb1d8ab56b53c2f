# SPDX-License-Identifier: MIT
"""Index: a folder on disk that knows the signatures of many image files."""

from __future__ import annotations

import operator
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from semcbir._files import absolute, display_path
from semcbir.errors import ImageError, IndexStorageError, ModelError, RecipeMismatchError
from semcbir.extractor import LONG_SIDE, Extractor
from semcbir.features import Feature
from semcbir.index import catalog
from semcbir.index.check import check_index
from semcbir.index.create import create_index
from semcbir.index.merge import merge_all, merge_small, remove_litter
from semcbir.index.plan import Plan, plan_add, plan_refresh
from semcbir.index.roots import Root, forget_root, holding, move_root, read_roots
from semcbir.index.run import Ingest, Progress, Report, Skipped, put_back, take_out
from semcbir.index.snapshot import MODEL_CARD, load
from semcbir.networks.names import resolve
from semcbir.networks.presets import inference_of, with_inference
from semcbir.networks.specs import InferenceSpec
from semcbir.recipe import Recipe, require_same
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures

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
        self._extractor: Extractor | None = None
        self._reload()

    def _reload(self) -> None:
        self._snapshot = load(self.path)

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
        model: PathLike | None = None,
        features: str | Iterable[str | Feature] = "kaze",
        long_side: int | None = LONG_SIDE,
        device: str = "auto",
        threads: int | None = None,
        inference: InferenceSpec | str | None = None,
        on_progress: OnProgress = None,
    ) -> Index:
        """Index every image below ``folders`` into a new index at ``path``.

        Where ``path`` is an index of the same recipe already, say from a run that was cut off, what is
        missing is added. Images that cannot be read are recorded and skipped; ``report`` tells which.

        Raises ImageError for a folder that is not there, IndexStorageError where ``path`` holds something
        else or cannot be written, IndexLockedError where another process writes to it, RecipeMismatchError
        where it was made in another way, ValueError for no folder at all, and like Extractor: ModelError,
        DeviceError, ValueError for settings.
        """
        extractor = Extractor(
            model, features, long_side=long_side, device=device, threads=threads, inference=inference
        )
        roots = [_folder(folder) for folder in _paths(folders)]
        if not roots:
            raise ValueError("folders must name at least one folder, got none")
        folder = absolute(path)
        if not catalog.is_index(folder):
            extractor.load()  # An index must not be made with a network that does not work.
            create_index(
                folder, roots, extractor.recipe, extractor.model, extractor.model_path, extractor.card
            )
        index = cls(folder)
        index._require_same(extractor, "what is to be added")
        index.refresh(roots, extractor=extractor, on_progress=on_progress)
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
            roots = self._roots(connection)
            rows = connection.execute("SELECT root, path, reason FROM images WHERE state = 'skipped'")
            found = [Skipped(roots[root].file(path), reason) for root, path, reason in rows if root in roots]
        return sorted(found, key=lambda skipped: os.fsencode(skipped.path))

    def _roots(self, connection: sqlite3.Connection) -> dict[int, Root]:
        return {root.id: root for root in read_roots(self.path, connection)}

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records of the images that can be found, by id."""
        records = self.records(sorted(int(key) for ids in self._snapshot.live_ids for key in ids if key >= 0))
        return iter(records)

    def records(self, ids: Iterable[SupportsIndex]) -> list[Record]:
        """Return the records of ``ids``, in their order. Raises KeyError for an id that never was."""
        query = "SELECT id, root, path, size, mtime_ns FROM images WHERE id = ?"
        records = []
        with catalog.read(self.path) as connection:
            roots = {root.id: root for root in read_roots(self.path, connection, forgotten=True)}
            for key in ids:
                row = connection.execute(query, (operator.index(key),)).fetchone()
                if row is None or row[1] not in roots:
                    raise KeyError(f"index {display_path(self.path)} has no image with id {key}")
                records.append(Record(row[0], roots[row[1]].file(row[2]), row[3], row[4]))
        return records

    def find(self, path: PathLike) -> Record | None:
        """Return the record of the image file at ``path``, or None where it is not in the index."""
        file = absolute(path)
        query = "SELECT id, size, mtime_ns FROM images WHERE root = ? AND path = ? AND state = 'indexed'"
        with catalog.read(self.path) as connection:
            root = holding(read_roots(self.path, connection), file)
            row = connection.execute(query, (root.id, root.relative(file))).fetchone() if root else None
        return Record(row[0], file, row[1], row[2]) if row else None

    def signatures(self, feature: str | None = None, *, ids: Iterable[int] | None = None) -> Signatures:
        """Return the signatures of ``feature`` (None: the first), copied.

        Of every image, by id; or of those with the given ``ids``, in their order. Raises ValueError for an
        unknown feature and for an id that is not in the index.
        """
        name = self.recipe.feature(feature).name
        wanted = None if ids is None else np.fromiter(ids, np.int64)
        parts = [self._no_signatures(name)]
        snapshot = self._snapshot
        for (_, segment), live in zip(snapshot.segments, snapshot.live_ids, strict=True):
            chosen = (live >= 0) if wanted is None else np.isin(live, wanted)
            try:
                parts.append(segment.batch[name][chosen])
            except ValueError as error:
                raise IndexStorageError(
                    f"a segment of index {display_path(self.path)} is damaged: {error}; run `semcbir check`"
                ) from error
        joined = Signatures.concatenate(parts)
        order = joined.ids.argsort()
        if wanted is None:
            return joined[order]
        missing = wanted[~np.isin(wanted, joined.ids)]
        if len(missing):
            raise ValueError(f"id {missing[0]} is not in index {display_path(self.path)}")
        return joined[order[np.searchsorted(joined.ids, wanted, sorter=order)]]

    def searcher(self, feature: str | None = None) -> Searcher:
        """Return a Searcher over the mapped segments for ``feature`` (None: the first).

        Raises ValueError for a feature that the index has not.
        """
        name = self.recipe.feature(feature).name
        snapshot = self._snapshot  # One look: another thread may load a newer one meanwhile.
        if name not in snapshot.searchers:
            batches = [self._no_signatures(name), *(segment.batch[name] for _, segment in snapshot.segments)]
            ids = [batches[0].ids, *snapshot.live_ids]
            snapshot.searchers[name] = Searcher._over_segments(batches, ids)
        return snapshot.searchers[name]

    def _no_signatures(self, feature: str) -> Signatures:
        recipe = self.recipe.for_feature(feature)
        return Signatures.empty(recipe.n_classes, recipe.feature().dim, recipe)

    def extractor(
        self, *, model: PathLike | None = None, device: str = "auto", threads: int | None = None
    ) -> Extractor:
        """Return an Extractor that makes signatures like this index's; without arguments always the same one.

        ``model`` is needed where the index holds no copy and the model is no longer where it was. Raises
        ModelError where it is not to be found and RecipeMismatchError where it is another one.
        """
        default = model is None and device == "auto" and threads is None
        if default and self._extractor is not None:
            return self._extractor
        model = model or self._model()
        inference = inference_of(self.recipe.model)
        try:
            with_inference(resolve(model)[1], inference)
        except ValueError as error:
            raise self._mismatch(f"this network cannot do what it was made with ({error})") from None
        extractor = Extractor(
            model,
            self.recipe.features,
            long_side=self.recipe.long_side,
            device=device,
            threads=threads,
            inference=inference,
        )
        self._require_same(extractor, "this network")
        if default:
            self._extractor = extractor
        return extractor

    def _model(self) -> Path:
        copy = self.path / MODEL_CARD
        if copy.is_file():
            return copy
        with catalog.read(self.path) as connection:
            (value,) = connection.execute("SELECT value FROM meta WHERE key = 'model'").fetchone()
        stored = os.fsdecode(value)
        if Path(stored).is_absolute() and not Path(stored).exists():
            raise ModelError(
                f"the model of index {display_path(self.path)}, {self.recipe.model['name']}, is not at "
                f"{display_path(stored)} any more; "
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
        chosen = list(dict.fromkeys(absolute(path) for path in _paths(paths)))
        for path in chosen:
            if not path.exists():
                raise ImageError(f"{display_path(path)} is not there")

        return self._run(partial(plan_add, self.path, chosen), extractor, on_progress)

    def refresh(
        self,
        folders: PathLike | Iterable[PathLike] = (),
        *,
        extractor: Extractor | None = None,
        on_progress: OnProgress = None,
    ) -> Report:
        """Bring the index up to date with its folders, and with the new ``folders`` if any.

        New and changed images are read, vanished ones taken out. The network is loaded only where there is
        something to read. The images of a folder that is not there as a whole, or has none left at all, stay
        (an unmounted disk must not empty an index), and ``report.missing`` names it; take it out with
        ``remove``. Raises like ``build``, and IndexStorageError where no folder of the index is there.
        """
        chosen = [_folder(folder) for folder in _paths(folders)]

        return self._run(partial(plan_refresh, self.path, chosen), extractor, on_progress)

    def remove(self, images: SupportsIndex | PathLike | Iterable[SupportsIndex | PathLike]) -> int:
        """Take images out, given by id or path, and return how many; their files are not touched.

        ``refresh`` leaves them out from then on; ``add`` brings them back. One of the index's ``roots`` takes
        all its images with it and is followed no more. Raises ValueError for an image
        that is not in the index, and then takes none out; IndexLockedError where another process writes.
        """
        many: list[Any] = [images] if isinstance(images, (Integral, str, os.PathLike)) else list(images)  # type: ignore[arg-type]
        with catalog.writer(self.path) as connection:
            self._reload()
            known = {root.folder: root for root in read_roots(self.path, connection)}
            folders: list[Root] = []
            ids: set[int] = set()
            for image in many:
                root = None if isinstance(image, Integral) else known.get(absolute(image))
                if root is None:
                    ids.add(self._id(image))
                else:
                    folders.append(root)
            try:
                with connection:
                    for root in folders:
                        ids |= _indexed(connection, root)
                        forget_root(connection, root)
                    count = take_out(connection, ids, "removed")
                self._merge(connection)
            finally:
                self._reload()
        return count

    def _id(self, image: SupportsIndex | PathLike) -> int:
        if isinstance(image, (str, os.PathLike)):
            record = self.find(image)
            if record is None:
                raise ValueError(f"{display_path(image)} is not in index {display_path(self.path)}")
            return record.id
        key = operator.index(image)
        if key < 0 or not any((ids == key).any() for ids in self._snapshot.live_ids):
            raise ValueError(f"id {key} is not in index {display_path(self.path)}")
        return key

    def check(self) -> list[str]:
        """Verify the whole index, checksums included, and return what is wrong; empty where it is sound."""
        return check_index(self.path)

    def compact(self) -> None:
        """Merge all segments into one and drop what removed images left behind.

        Raises IndexLockedError where another process writes.
        """
        with catalog.writer(self.path) as connection:
            remove_litter(self.path, connection)
            merge_all(self.path, connection, self.recipe)
        self._reload()

    def rebase(self, new: PathLike, old: PathLike | None = None) -> None:
        """Tell the index that the folder ``old`` is now at ``new``; ``old`` may be left out if it has one.

        Raises ValueError where ``old`` is none of its folders, or ``new`` overlaps another one or has none of
        its photos, ImageError where ``new`` is no folder, IndexLockedError where another process writes.
        """
        folder = _folder(new)
        with catalog.writer(self.path) as connection:
            roots = read_roots(self.path, connection)
            wanted = None if old is None else absolute(old)
            chosen = [root for root in roots if wanted in (None, root.folder)]
            if len(chosen) != 1:
                known = ", ".join(display_path(root.folder) for root in roots)
                raise ValueError(f"old must name one of the index's folders: {known}")
            others = [root for root in roots if root is not chosen[0]]
            if any(folder.is_relative_to(o.folder) or o.folder.is_relative_to(folder) for o in others):
                raise ValueError(
                    f"new must not overlap another folder of the index, got {display_path(folder)}"
                )
            if not _holds_any(connection, chosen[0], folder):
                name = display_path(folder)
                raise ValueError(f"new must hold images of the folder that moved, none of them is at {name}")
            with connection:
                move_root(self.path, connection, chosen[0], folder)
        self._reload()

    def _run(
        self,
        make_plans: Callable[[sqlite3.Connection], list[Plan]],
        extractor: Extractor | None,
        on_progress: OnProgress,
    ) -> Report:
        """Carry plans out: take out what is gone, put back what returned, read what is new, merge."""
        if extractor is not None:
            self._require_same(extractor, "what is to be added")
        with catalog.writer(self.path) as connection:
            remove_litter(self.path, connection)
            plans = make_plans(connection)
            ingest = Ingest(self.path, connection, on_progress)
            self.report = report = ingest.report
            report.missing = [plan.root.folder for plan in plans if plan.missing]
            report.unreadable = [folder for plan in plans for folder in plan.unreadable]
            report.unchanged = sum(plan.unchanged for plan in plans)
            try:
                with connection:
                    report.removed = take_out(
                        connection, (key for plan in plans for key in plan.gone), "gone"
                    )
                    returned = [key for plan in plans for key in plan.returned]
                    put_back(connection, returned)
                    report.added = len(returned)
                tasks = [task for plan in plans for task in plan.tasks]
                if tasks:
                    for _ in ingest.read(tasks, extractor or self.extractor()):
                        self._merge(connection)
            finally:
                self._reload()
        return report

    def _require_same(self, extractor: Extractor, what: str) -> None:
        try:
            require_same(self.recipe, extractor.recipe, what)
        except RecipeMismatchError as error:
            raise self._mismatch(str(error)) from None

    def _mismatch(self, what: str) -> RecipeMismatchError:
        return RecipeMismatchError(
            f"index {display_path(self.path)}: {what}; use the network and features it was made with, "
            "or make another index"
        )

    def _merge(self, connection: sqlite3.Connection) -> None:
        try:
            merge_small(self.path, connection, self.recipe)
        except IndexStorageError as error:
            # What was asked for is done and safe; a merge can wait.
            warnings.warn(f"segments could not be merged: {error}", RuntimeWarning, stacklevel=3)


def _indexed(connection: sqlite3.Connection, root: Root) -> set[int]:
    rows = connection.execute("SELECT id FROM images WHERE root = ? AND state = 'indexed'", (root.id,))
    return {key for (key,) in rows}


def _holds_any(connection: sqlite3.Connection, root: Root, folder: Path) -> bool:
    """Tell whether an image of ``root`` is at ``folder``; true where there is none to look for."""
    rows = connection.execute("SELECT path FROM images WHERE root = ? AND state = 'indexed'", (root.id,))
    relatives = [path for (path,) in rows]
    return not relatives or any((folder / os.fsdecode(path)).exists() for path in relatives)


def _folder(folder: PathLike) -> Path:
    path = absolute(folder)
    if not path.is_dir():
        came = "is not a folder" if path.exists() else "is not there"
        raise ImageError(f"folder {display_path(path)} {came}")
    return path


def _paths(paths: PathLike | Iterable[PathLike]) -> list[PathLike]:
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
