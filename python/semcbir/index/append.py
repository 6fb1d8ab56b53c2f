# SPDX-License-Identifier: MIT
"""Appending: signatures that were made elsewhere, for photos that are here."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir._validate import check_instance, counted, listed, shown
from semcbir.errors import ImageError
from semcbir.index.catalog import Catalog
from semcbir.index.claims import claim
from semcbir.index.database import SEGMENTS
from semcbir.index.merge import LARGEST, new_segment, tidy
from semcbir.index.model import require_recipe
from semcbir.index.moves import fingerprints, size_and_mtime
from semcbir.index.part import require_own
from semcbir.index.report import Report
from semcbir.index.rows import SegmentFile
from semcbir.index.segments import Batch, other_classes
from semcbir.index.taken import dates_of
from semcbir.index.tasks import Task, ids_of
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures


def check_batch(folder: Path, recipe: Recipe, signatures: Signatures | Mapping[str, Signatures]) -> Batch:
    """Return ``signatures`` by feature: those of the same images for each of the index at ``folder``.

    Raises TypeError or ValueError for anything else, RecipeMismatchError if they were made differently.
    """
    names = [feature.name for feature in recipe.features]
    what = f"a Signatures for {listed(names).replace(' or ', ' and ')}"
    if isinstance(signatures, Signatures):
        if len(names) > 1:
            raise ValueError(f"signatures: expected a mapping with {what}, got only one Signatures")
        signatures = {names[0]: signatures}
    check_instance("signatures", signatures, Mapping, f"a mapping with {what}")
    if set(signatures) != set(names):
        came = ", ".join(map(shown, signatures)) or "none"
        raise ValueError(f"signatures: expected a mapping with {what}, got one with {came}")
    batch = {name: signatures[name] for name in names}
    for name, one in batch.items():
        check_instance("signatures", one, Signatures, f"a mapping with {what}")
        require_recipe(folder, recipe.for_feature(name), one.recipe, f"the signatures of {name}")
        _check_shape(recipe, name, one)
    if other := other_classes(batch):
        raise ValueError(
            f"signatures: expected the same images in the same order for every feature, got other "
            f"proportions for {other} than for {names[0]}"
        )
    return batch


def _check_shape(recipe: Recipe, name: str, signatures: Signatures) -> None:
    """Raise ValueError unless ``signatures`` are as the recipe that they carry says."""
    kind = recipe.feature(name)
    expected = {"n_classes": recipe.n_classes, "dim": kind.dim, "whole": kind.whole_row}
    for key, value in expected.items():
        if (came := getattr(signatures, key)) != value:
            raise ValueError(f"signatures: expected {key}={value} for {name}, as its recipe says, got {came}")


def check_files(paths: Sequence[Path], images: int) -> list[os.stat_result]:
    """Return the status of each of the image files at ``paths``, which are as many as ``images``.

    Raises ValueError for another number or for the same path again, ImageError for the first that is no file.
    """
    if len(paths) != images:
        raise ValueError(f"paths: expected {counted(images, 'path')}, one for each image, got {len(paths)}")
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            raise ImageError(f"{display_path(path)} is not there; nothing was added") from None
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{display_path(path)} is not a regular file; nothing was added")
        found.append(status)
    _check_once(paths)
    return found


def append(
    catalog: Catalog, recipe: Recipe, batch: Batch, paths: Sequence[Path], found: Sequence[os.stat_result]
) -> Report:
    """Add the images at ``paths``, or replace those that are known, in one commit; return what was done.

    The caller is the index's writer; ``found`` is from ``check_files``, ``batch`` from ``check_batch``.
    """
    tasks = _tasks(catalog, paths, found)
    order = sorted(range(len(tasks)), key=lambda i: os.fsencode(tasks[i].path))
    ids = ids_of((tasks[i] for i in order), catalog.next_id())
    images = [_Image(key, i, tasks[i]) for key, i in zip(ids, order, strict=True)]
    report = Report()
    segments = list(_segments(catalog.folder / SEGMENTS, batch, images))
    prints = fingerprints((image.id, image.task) for image in images)
    dates = dates_of((image.id, image.task) for image in images)
    with catalog.changes():
        for segment, chunk in segments:
            key = catalog.add_segment(segment)
            for row, image in enumerate(chunk):
                task = image.task
                catalog.put_image(
                    image.id,
                    task.root,
                    task.relative,
                    size=task.size,
                    mtime_ns=task.mtime_ns,
                    segment=key,
                    row=row,
                )
                report.count(task)
        catalog.put_fingerprints(prints)
        catalog.put_taken(dates)
    tidy(catalog, recipe)
    return report


@dataclass(frozen=True)
class _Image:
    """An image to add: its id, its position in the batch, its file."""

    id: int
    position: int
    task: Task


def _tasks(catalog: Catalog, paths: Sequence[Path], found: Sequence[os.stat_result]) -> list[Task]:
    """Return where the catalogue has each file; a folder that no root holds becomes one of single files."""
    require_own(catalog, paths)
    roots = claim(catalog, [], paths)
    tasks = []
    for path, status in zip(paths, found, strict=True):
        place = roots.place(path)
        assert place is not None
        root, file = place
        relative = root.relative(file)
        known = catalog.image_at(root.id, relative)
        tasks.append(Task(root.id, relative, file, *size_and_mtime(status), known))
    _check_once([task.path for task in tasks])  # Links can lead to one place by two names.
    return tasks


def _check_once(paths: Sequence[Path]) -> None:
    (path, count), *_ = Counter(paths).most_common(1) or [(Path(), 1)]
    if count > 1:
        raise ValueError(f"paths: expected each file once, got {display_path(path)} again")


def _segments(
    folder: Path, batch: Batch, images: Sequence[_Image]
) -> Iterator[tuple[SegmentFile, Sequence[_Image]]]:
    """Write the images, in this order, as segments that merges can handle; nothing lists them yet."""
    for start in range(0, len(images), LARGEST):
        chunk = images[start : start + LARGEST]
        ids = np.array([image.id for image in chunk], np.int64)
        positions = np.array([image.position for image in chunk], np.intp)
        part = {name: _chosen(signatures, positions, ids) for name, signatures in batch.items()}
        yield new_segment(folder, [part]), chunk


def _chosen(
    signatures: Signatures, positions: npt.NDArray[np.intp], ids: npt.NDArray[np.int64]
) -> Signatures:
    """Return the images at ``positions`` under ``ids``; every value is looked at, wherever it came from."""
    return Signatures(**{**vars(signatures[positions]), "ids": ids})
