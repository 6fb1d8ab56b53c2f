# SPDX-License-Identifier: MIT
"""Index: a folder on disk that holds the signatures of many image files.

What only writing needs is imported by the methods that write: most programs only search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._columns import as_column
from semcbir._files import PathLike, absolute, display_path
from semcbir._validate import check_call, check_flag, check_instance, counted, shown
from semcbir.errors import ImageError
from semcbir.extractor import LONG_SIDE, Extractor
from semcbir.features import Feature, parse_features
from semcbir.images.limits import MAX_PIXELS
from semcbir.index import lookup
from semcbir.index.arguments import (
    check_folders,
    check_ids,
    check_key,
    check_keys,
    check_paths,
)
from semcbir.index.catalog import Catalog, read, writer
from semcbir.index.database import is_index
from semcbir.index.lookup import Record, record_at, records
from semcbir.index.model import as_made, deep_of, extractor_like, find_model, require_like
from semcbir.index.model_place import ENCODER, MODEL
from semcbir.index.part import KEY, Part, require_part
from semcbir.index.report import Damaged, Progress, Report, Skipped
from semcbir.index.snapshot import Snapshot, load, read_recipe
from semcbir.index.where import Where, ids_where, parse_where
from semcbir.networks.groups import ClassNames
from semcbir.networks.specs import InferenceSpec
from semcbir.recipe import Recipe
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures
from semcbir.smoothing import check_smooth

if TYPE_CHECKING:
    from semcbir.index.contents import Contents
    from semcbir.index.limits import Limits
    from semcbir.index.tasks import Plan

OnProgress = Callable[[Progress], None] | None


class Index:
    """An index of image files, opened with ``Index.open`` or made with ``Index.build``.

    The object is one snapshot: later changes by other processes show when the index is opened again; its own
    ``add``, ``remove``, ``refresh`` and ``compact`` show at once. There is one writer at a time.

    ``len(index)`` counts the images that can be found, iterating gives a Record for each, ``id in index``,
    ``path in index`` and ``record in index`` say whether one is there, and ``index[id]`` is its Record.

    Once it is closed, by ``close`` or at the end of a ``with`` block, using it raises ValueError.
    ``~`` at the start of a path is the home folder, here and wherever semcbir takes a path.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = absolute(path)
        self.report = Report()
        """What the last ``build``, ``add`` or ``refresh`` of this object did."""
        self._extractor: Extractor | None = None
        self._held: Snapshot | None = None
        self._reload()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: where the index is. It is then opened as it is at that time."""
        self._require_open()
        return {"path": self.path, "report": self.report}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]
        self.report = state["report"]

    def _reload(self) -> None:
        self._held = load(self.path, self._held)

    @property
    def _snapshot(self) -> Snapshot:
        """What the index held when it was opened or last changed; ValueError once it is closed."""
        if self._held is None:
            raise ValueError(f"index {display_path(self.path)} is closed; open it again")
        return self._held

    def _require_open(self) -> None:
        """Raise ValueError if the index is closed."""
        self._snapshot  # noqa: B018

    def _read(self) -> AbstractContextManager[Catalog]:
        self._require_open()
        return read(self.path)

    @contextmanager
    def _changing(self) -> Iterator[Catalog]:
        """Be the index's writer, and show what was changed, whatever happened."""
        from semcbir.index.merge import remove_litter
        from semcbir.index.whereabouts import store_places

        self._require_open()
        with writer(self.path) as catalog:
            remove_litter(catalog)
            try:
                store_places(catalog)
                yield catalog
                store_places(catalog)  # A folder without images may have its first ones now.
            finally:
                self._reload()

    def close(self) -> None:
        """Let go of the mapped files and of the model; doing so again changes nothing.

        A Searcher that came from the index goes on working, and keeps its files mapped until it is deleted.
        """
        self._held = self._extractor = None

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def open(cls, path: PathLike) -> Index:
        """Open the index at ``path``. Raises IndexStorageError if it is not an index or is damaged."""
        return cls(path)

    @classmethod
    def build(
        cls,
        folders: PathLike | Iterable[PathLike],
        path: PathLike,
        *,
        model: PathLike | None = None,
        features: str | Iterable[str | Feature] | None = None,
        encoder: PathLike | None = None,
        weighting: str | None = None,
        long_side: int | Literal["auto"] | None = "auto",
        device: str = "auto",
        threads: int | None = None,
        inference: InferenceSpec | str | None = None,
        max_pixels: int | None = MAX_PIXELS,
        part: str | None = None,
        on_progress: OnProgress = None,
    ) -> Index:
        """Index every image below ``folders`` into a new index at ``path``.

        ``model``, ``features``, ``long_side``, ``device``, ``threads`` and ``inference`` are Extractor's;
        ``encoder``, of feature "deep", and ``weighting``, "none" or "share" (see ``weighted``), are those of
        features given by name; None: their defaults.

        If ``path`` is already an index of the same recipe, for example from an interrupted run, what is
        missing is added. ``model`` (with its ``inference``) and ``features`` are then its own where they are
        None, as is a ``long_side`` of "auto" (of a new index LONG_SIDE), and a feature's name means the
        feature with all the parameters that it has there.

        ``part``, as in "3/16", indexes the third of 16 parts of the images alone, chosen by a hash of their
        paths in their folders, and the index keeps to it; ``Index.merge`` makes one index of all parts.

        Images that cannot be read are recorded and skipped; ``report`` lists them. ``max_pixels`` is the
        limit on what is decoded (see ``load_image``; None: no limit); a higher one than in the run before
        tries images again that were skipped.

        Raises ImageError for a folder that is not there, IndexStorageError if ``path`` holds something else
        or cannot be written, IndexLockedError if another process writes to it, RecipeMismatchError if it was
        made with another recipe, ValueError if no folder is given or ``path`` is another part, and the
        errors of Extractor: ModelError, DeviceError, ValueError for settings.
        """
        folder = absolute(path)
        check_call("on_progress", on_progress)
        chosen_part = None if part is None else Part.parse(part)
        if is_index(folder):
            with read(folder) as catalog:
                require_part(folder, catalog, chosen_part)
                recipe = read_recipe(catalog)
                model, features, inference = as_made(
                    catalog, recipe, model, features, encoder, weighting, inference
                )
            own_side = recipe.long_side
        else:
            features = parse_features(features, encoder=encoder, weighting=weighting)
            own_side = LONG_SIDE
        extractor = Extractor(
            model,
            features,
            long_side=own_side if long_side == "auto" else long_side,
            device=device,
            threads=threads,
            inference=inference,
            max_pixels=max_pixels,
        )
        roots = check_folders("folders", folders)
        if not roots:
            raise ValueError("folders: expected at least one folder, got none")
        if not is_index(folder):
            from semcbir.index.create import create_index

            extractor.load()  # An index must not be made with a model that does not work.
            create_index(folder, roots, extractor, {} if chosen_part is None else {KEY: str(chosen_part)})
            with read(folder) as catalog:  # Another process may have been faster.
                require_part(folder, catalog, chosen_part)
        index = cls(folder)
        require_like(folder, index.recipe, extractor, "signatures with these settings")
        index.refresh(roots, extractor=extractor, on_progress=on_progress)
        return index

    @classmethod
    def merge(
        cls,
        parts: PathLike | Iterable[PathLike],
        path: PathLike,
        *,
        partial: bool = False,
        on_progress: OnProgress = None,
    ) -> Index:
        """Make one index at ``path`` of the indexes at ``parts``, which stay: see ``build``'s ``part``.

        Ids are handed out anew, in the order of paths: the index has the ids, order and bits of one that was
        made at once. Photos and models need not be there. Indexes of folders apart from one another can be
        merged, too. A merge that was interrupted goes on where it was if it is called again; until it is
        done the index cannot be opened. With ``partial``, some parts may be missing; a later ``refresh``
        reads their photos.

        Raises ValueError if parts are missing, hold the same file, or lie one in another's folder;
        RecipeMismatchError if they were made differently; IndexStorageError if one is no index, was not made
        to its end, is damaged or changes meanwhile, or if ``path`` holds something else;
        IndexLockedError if another process writes there.
        """
        from semcbir.index.merge_indexes import merge

        folder, chosen = absolute(path), list(check_paths("parts", parts))
        check_flag("partial", partial)
        check_call("on_progress", on_progress)
        if not chosen:
            raise ValueError("parts: expected at least one index, got none")
        merge(chosen, folder, partial, on_progress)
        index = cls(folder)
        index.report = Report(added=len(index))
        return index

    def __len__(self) -> int:
        """Return how many images can be found."""
        return len(self._snapshot)

    def __repr__(self) -> str:
        if self._held is None:
            return f"Index({display_path(self.path)!r}, closed)"
        images = counted(len(self), "image")
        return f"Index({display_path(self.path)!r}, {images}, features: {', '.join(self.features)})"

    @property
    def recipe(self) -> Recipe:
        """How the signatures were made."""
        return self._snapshot.recipe

    @property
    def classes(self) -> ClassNames:
        """The names of the network's classes by label, which know the groups that its card gave."""
        return self._snapshot.classes

    @property
    def identity(self) -> str:
        """What no other index has, not even one made later at the same place; ids are its own."""
        return self._snapshot.identity

    @property
    def part(self) -> str | None:
        """Which part of its folders' images it is of, as in "3/16"; None for all of them."""
        held = self._snapshot.part
        return None if held is None else str(held)

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
        with self._read() as catalog:
            return lookup.skipped(catalog)

    @property
    def damaged(self) -> list[Damaged]:
        """The images in the index whose files could be read only in part, with the reason, by path."""
        with self._read() as catalog:
            return lookup.damaged(catalog)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records of the images that can be found, by id."""
        return iter(self.records(self._snapshot.ids()))

    def __contains__(self, image: object) -> bool:
        """Return whether an image, given by id, path or Record, can be found; TypeError for anything else."""
        return self._found(image) is not None

    def __getitem__(self, image: SupportsIndex | PathLike) -> Record:
        """Return the record of an image, given by id or path. Raises KeyError if it cannot be found."""
        record = self._found(image)
        if record is None:
            raise KeyError(f"index {display_path(self.path)} has no image {shown(image)}")
        return record

    def _found(self, image: object) -> Record | None:
        wanted = check_key("image", image.id if isinstance(image, Record) else image)
        if isinstance(wanted, Path):
            record = self.find(wanted)
        else:
            record = self.records([wanted])[0] if wanted in self._snapshot else None
        if record is None or record.id not in self._snapshot:
            return None
        return record if not isinstance(image, Record) or image == record else None

    def records(self, ids: Iterable[SupportsIndex]) -> list[Record]:
        """Return the records of ``ids``, in their order.

        Raises KeyError for an id that never existed, IndexStorageError if the catalogue is damaged.
        """
        wanted = check_ids("ids", ids)
        with self._read() as catalog:
            return records(catalog, wanted, self._snapshot)

    def find(self, path: PathLike) -> Record | None:
        """Return the record of the image file at ``path``, or None if it is not in the index."""
        file = absolute(path)
        with self._read() as catalog:
            return record_at(catalog, file)

    def signatures(
        self, feature: str | None = None, *, ids: Iterable[SupportsIndex] | None = None
    ) -> Signatures:
        """Return a copy of the signatures of ``feature`` (None: the first).

        All images, by id; or those with the given ``ids``, in their order. Raises ValueError for an unknown
        feature or an id that is not in the index.
        """
        name = self.recipe.feature(feature).name
        wanted = None if ids is None else as_column("ids", ids, np.int64, 1)
        return self._snapshot.signatures(name, wanted)

    def contents(self, min_share: float = 0.01) -> Contents:
        """Return which classes, and which groups of them, the images hold, and how much of each.

        An image holds what is at least ``min_share`` of its labelled pixels. Raises TypeError or ValueError
        unless ``min_share`` is a number from 0 to 1, IndexStorageError for damaged values.
        """
        from semcbir.index.contents import contents

        return contents(self._snapshot, min_share)

    def searcher(
        self, feature: str | None = None, *, smooth: int | None = None, where: Where | None = None
    ) -> Searcher:
        """Return a Searcher over the mapped segments for ``feature`` (None: the first).

        With ``smooth``, one over signatures smoothed with that many neighbours, in memory, which smooths its
        queries likewise (see ``search``). With ``where``, it finds the images that ``select`` gives alone;
        they are smoothed among all. Raises ValueError for a feature that the index does not have.
        """
        name = self.recipe.feature(feature).name
        k = 0 if smooth is None else check_smooth("smooth", smooth)
        ids = None if where is None else self.select(where)
        if k:
            smoothed = self._snapshot.smoothed_searcher(name, k)
            return smoothed if ids is None else smoothed.among(ids)
        return self._snapshot.searcher(name) if ids is None else self._snapshot.searcher_among(name, ids)

    def select(self, where: Where) -> npt.NDArray[np.int64]:
        """Return the ids, ascending, of the images that meet conditions, int64 (n,).

        ``where`` is one of these, or several: ``folder:2019/summer``, in each folder of the index, or an
        absolute path; ``name:*.png``, a pattern of the file's name, or with a slash of its path there, in
        which case does not matter; ``date:2019-05..2019-08``, when it was taken, by its EXIF data or else its
        file's mtime (a year, month, day or range, whose ends belong to it and may be left out);
        ``ids:1,5-9``. Of conditions of one kind, one is enough; of each kind that there is, one must be met.
        Raises TypeError or ValueError for what is no condition.
        """
        conditions = parse_where(where)
        with self._read() as catalog:
            return ids_where(catalog, conditions)

    def extractor(
        self,
        *,
        model: PathLike | None = None,
        encoder: PathLike | None = None,
        device: str = "auto",
        threads: int | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> Extractor:
        """Return an Extractor that makes signatures like this index's; without arguments always the same one.

        ``model``, or ``encoder`` of feature "deep", is needed if the index holds no copy and it has moved.
        Raises ModelError if one cannot be found, RecipeMismatchError if it is another one.
        """
        default = (model, encoder, device, threads, max_pixels) == (None, None, "auto", None, MAX_PIXELS)
        if default and self._extractor is not None:
            return self._extractor
        deep = deep_of(self.recipe)
        if encoder is not None and deep is None:
            raise ValueError(
                "encoder: expected an index with feature deep, as no other has one, "
                f"got one with {', '.join(self.features)}"
            )
        with self._read() as catalog:
            if model is None:
                model = find_model(catalog, MODEL, self.recipe.model)
            if encoder is None and deep:
                encoder = find_model(catalog, ENCODER, deep.encoder)
        extractor = extractor_like(self.path, self.recipe, model, encoder, device, threads, max_pixels)
        if default:
            self._extractor = extractor
        return extractor

    def add(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        extractor: Extractor | None = None,
        on_progress: OnProgress = None,
    ) -> Report:
        """Add image files, and the images below folders; unchanged ones that are already there stay.

        Folders are remembered: ``refresh`` looks there for new images. An image that ``remove`` took out
        comes back. An ``extractor`` saves loading the model again. Raises the errors of ``build``.
        """
        from semcbir.index.plan import plan_add

        chosen = list(dict.fromkeys(check_paths("paths", paths)))
        for path in chosen:
            if not path.exists():
                raise ImageError(f"{display_path(path)} is not there")
        return self._run(lambda catalog: plan_add(catalog, chosen), extractor, on_progress)

    def append(
        self, signatures: Signatures | Mapping[str, Signatures], paths: PathLike | Iterable[PathLike]
    ) -> Report:
        """Add signatures that were made elsewhere, by the index's recipe, for the image files at ``paths``.

        ``signatures`` maps each feature of the index to a batch, or is one batch if there is one feature; its
        images are the files at ``paths``, in this order, whatever its ids. The files must be here, though
        they are not decoded: their size and mtime are noted, so that ``refresh`` reads a file again only if
        it changes afterwards. Images that are known are replaced and keep their ids; an image that ``remove``
        took out comes back. A file in none of the index's ``roots`` is followed as one added alone.

        All are added in one commit, or none. Raises ImageError for a path that is no file,
        RecipeMismatchError for signatures made differently, ValueError if numbers of images differ or a path
        is there twice, IndexLockedError if another process writes.
        """
        from semcbir.index.append import append, check_batch, check_files

        files = check_paths("paths", paths)
        batch = check_batch(self.path, self.recipe, signatures)
        found = check_files(files, len(next(iter(batch.values()))))
        with self._changing() as catalog:
            self.report = append(catalog, self.recipe, batch, files, found)
        return self.report

    def refresh(
        self,
        folders: PathLike | Iterable[PathLike] = (),
        *,
        extractor: Extractor | None = None,
        on_progress: OnProgress = None,
    ) -> Report:
        """Bring the index up to date with its folders, and with the new ``folders`` if any.

        New and changed images are read, vanished ones taken out; one that was moved or renamed keeps its id
        and is not read again. The model is loaded only if there is something to read. If a whole folder is
        missing, or is empty and had ten images or more, these stay (an unmounted disk must not empty an
        index), and ``report.missing`` names the folder; take it out with ``remove``. Files skipped before are
        tried again if they changed, or if a limit is higher than in the run before: the ``extractor``'s
        ``max_pixels`` (without one the default), or the time that the model may take.
        Raises the errors of ``build``, and IndexStorageError if no folder of the index is there.
        """
        return self._refresh(check_folders("folders", folders), extractor, on_progress)

    def _refresh(
        self,
        folders: Iterable[Path],
        extractor: Extractor | None,
        on_progress: OnProgress,
        within: Path | None = None,
    ) -> Report:
        """Refresh; only the roots in ``within`` if that is given."""
        from semcbir.index.limits import Limits
        from semcbir.index.plan import plan_refresh

        now = Limits.of_now(extractor.max_pixels if isinstance(extractor, Extractor) else MAX_PIXELS)

        def plan(catalog: Catalog) -> list[Plan]:
            retry = now.exceed(Limits.of_last_run(catalog))
            return plan_refresh(catalog, folders, retry=retry, within=within)

        return self._run(plan, extractor, on_progress, whole=now)

    def remove(self, images: SupportsIndex | PathLike | Iterable[SupportsIndex | PathLike]) -> int:
        """Take out images, given by id or path, and return how many; their files are not touched.

        A folder means all its images. ``refresh`` then leaves them out (but finds new ones in a folder that
        lies in one of the index's ``roots``); ``add`` brings them back. A root that is removed, or lies in a
        folder that is, is no longer followed. Raises ValueError, and takes nothing out, if something is not
        in the index; IndexLockedError if another process writes.
        """
        from semcbir.index.removal import remove

        many = check_keys("images", images)
        with self._changing() as catalog:
            self._reload()
            return remove(catalog, self.recipe, many, self._snapshot.__contains__)

    def check(self) -> list[str]:
        """Verify the whole index, checksums included, and return what is wrong; empty if it is sound."""
        from semcbir.index.check import check_index

        self._require_open()
        return check_index(self.path)

    def compact(self) -> None:
        """Merge all segments into one and drop what removed images left behind.

        Raises IndexLockedError if another process writes.
        """
        from semcbir.index.merge import merge_all

        with self._changing() as catalog:
            merge_all(catalog, self.recipe)

    def rebase(self, new: PathLike, old: PathLike | None = None) -> None:
        """Tell the index that its folder ``old`` is now at ``new``; ``old`` is optional if it has only one.

        Raises ValueError if ``old`` is not one of its folders, or if ``new`` overlaps another of them or
        holds none of the photos; ImageError if ``new`` is not a folder; IndexLockedError if another process
        writes.
        """
        from semcbir.index.claims import rebase

        before = None if old is None else absolute(old, "old")
        (folder,) = check_folders("new", [new])
        with self._changing() as catalog:
            rebase(catalog, folder, before)

    def _run(
        self,
        make_plans: Callable[[Catalog], list[Plan]],
        extractor: Extractor | None,
        on_progress: OnProgress,
        whole: Limits | None = None,
    ) -> Report:
        from semcbir.index.create import finish_building
        from semcbir.index.run import Run
        from semcbir.index.taken import complete_dates

        self._require_open()
        check_call("on_progress", on_progress)
        if extractor is not None:
            check_instance("extractor", extractor, Extractor, "an Extractor or None")
            require_like(self.path, self.recipe, extractor, "the signatures of this extractor")
        with self._changing() as catalog:
            plans = make_plans(catalog)
            self.report = Report()
            Run(catalog, self.recipe, self.report, on_progress).carry_out(
                plans, lambda: extractor or self.extractor()
            )
            if whole:
                complete_dates(catalog)
                finish_building(catalog)
                whole.note(catalog)
        return self.report
