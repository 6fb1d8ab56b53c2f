# SPDX-License-Identifier: MIT
"""Labelled data sets: which images are searched, which are asked, and their classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import absolute, display_path
from semcbir._validate import counted, listed, shown
from semcbir.errors import SemcbirError
from semcbir.evaluation.rankings import DISTRACTOR, NOWHERE, Bools, Integers, Truth
from semcbir.images.find import find_images


class DatasetError(SemcbirError):
    """A folder does not have the layout of its data set, or its photos cannot be used."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: n images with a class each, and others that are relevant to nothing.

    - ``name``, ``folder``
    - ``paths``: the n image files, absolute
    - ``labels``: int64 (n,), the class of each
    - ``class_names``: the classes' names by label
    - ``searched``, ``asked``: bool (n,), whether an image is in the database, and whether it is a query;
      None: all of them
    - ``distractors``: image files that are searched too, are relevant to nothing and are never queries
    - ``distractor_folders``: the folders that these come from
    - ``may_lack``: whether photos that cannot be read are left out; a published data set must be whole
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    searched: Bools | None = None
    asked: Bools | None = None
    distractors: tuple[Path, ...] = ()
    distractor_folders: tuple[Path, ...] = ()
    may_lack: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for labels, or choices, that do not fit the images."""
        n = len(self.paths)
        labels = np.asarray(self.labels)
        if labels.shape != (n,) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels: expected integers of shape ({n},), one for each image, "
                f"got {labels.dtype} of shape {labels.shape}"
            )
        if n and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(
                f"labels: expected 0 to {len(self.class_names) - 1}, the places of the classes' names, "
                f"got {labels.min()} to {labels.max()}"
            )
        if len({*self.paths, *self.distractors}) < n + len(self.distractors):
            raise ValueError("paths: expected each image once, got one twice")
        for name in ("searched", "asked"):
            chosen = getattr(self, name)
            if chosen is not None and (chosen.shape != (n,) or chosen.dtype != bool):
                raise ValueError(
                    f"{name}: expected bool of shape ({n},), one for each image, "
                    f"got {chosen.dtype} of shape {chosen.shape}"
                )

    @property
    def database(self) -> list[Path]:
        """The files of all that is searched, sorted by the path's bytes: an image's place is its id."""
        return self._sorted(self.searched, self.distractors)

    @property
    def queries(self) -> list[Path]:
        """The files of all queries, sorted by the path's bytes."""
        return self._sorted(self.asked, ())

    def _sorted(self, chosen: Bools | None, more: tuple[Path, ...]) -> list[Path]:
        mine = [path for path, take in zip(self.paths, self._all(chosen), strict=True) if take]
        return sorted([*mine, *more], key=os.fsencode)

    def _all(self, chosen: Bools | None) -> Bools:
        return np.ones(len(self.paths), bool) if chosen is None else chosen

    def truth(self) -> Truth:
        """Return the truth for ``queries``; ids are places in ``database``."""
        label_of = dict(zip(self.paths, self.labels.tolist(), strict=True))
        searched = self.database
        ids = {path: place for place, path in enumerate(searched)}
        classes = [label_of.get(path, DISTRACTOR) for path in searched]
        queries = self.queries
        return Truth(
            np.array(classes, np.int64),
            np.array([ids.get(path, NOWHERE) for path in queries], np.int64),
            np.array([label_of[path] for path in queries], np.int64),
        )

    def asking(self, names: Iterable[str]) -> Dataset:
        """Return the data set with queries of the classes ``names`` only; all images stay in the database.

        Raises ValueError for a name that none of its classes has.
        """
        wanted = list(names)
        if unknown := [name for name in wanted if name not in self.class_names]:
            raise ValueError(f"queries: expected some of {listed(self.class_names)}, got {shown(unknown[0])}")
        chosen = np.isin(self.labels, [self.class_names.index(name) for name in wanted])
        return replace(self, asked=self._all(self.asked) & chosen)

    def without(self, paths: Container[Path]) -> Dataset:
        """Return the data set without the images of ``paths``, distractors too; classes stay."""
        left = np.array([path not in paths for path in self.paths], bool)
        return replace(
            self,
            paths=tuple(path for path in self.paths if path not in paths),
            labels=self.labels[left],
            searched=None if self.searched is None else self.searched[left],
            asked=None if self.asked is None else self.asked[left],
            distractors=tuple(path for path in self.distractors if path not in paths),
        )


def with_distractors(dataset: Dataset, folders: Iterable[str | os.PathLike[str]]) -> Dataset:
    """Return ``dataset`` with the images of ``folders`` as distractors.

    Raises ValueError if a folder holds no image, or one that is in the data set or in another of the
    folders, too, by itself or through a link. ImageError if a folder is not there.
    """
    taken = {_identity(path): dataset.folder for path in (*dataset.paths, *dataset.distractors)}
    found, roots = list(dataset.distractors), list(dataset.distractor_folders)
    for root in map(absolute, folders):
        images = find_images(root)
        if not images:
            raise ValueError(f"distractors: expected a folder of images, got none in {display_path(root)}")
        if twice := [path for path in images if _identity(path) in taken]:
            raise ValueError(
                f"distractors: expected images that are not in {display_path(taken[_identity(twice[0])])}, "
                f"got {counted(len(twice), 'image')} of those in {display_path(root)}, "
                f"such as {display_path(twice[0])}"
            )
        taken.update((_identity(path), root) for path in images)
        found += images
        roots.append(root)
    return replace(dataset, distractors=tuple(found), distractor_folders=tuple(roots))


def _identity(path: Path) -> tuple[int, int]:
    """Return what a file and the links to it have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def locate(folder: Path, fits: Callable[[Path], int], deepest: int = 4) -> Path:
    """Return the folder, at most ``deepest`` levels below ``folder``, that ``fits`` best: nearest of equals.

    Archives unpack into folders of their own. ``folder`` itself is returned where none fits by 2 or more: a
    single file of that name may be anything. DatasetError where two of one level fit as well.
    """
    best, most = [folder], max(1, fits(folder))
    level = [folder]
    for _ in range(deepest):
        level = [Path(entry.path) for above in level for entry in _folders(above)]
        fit = [(fits(below), below) for below in level]
        if (here := max((found for found, _ in fit), default=0)) > most:
            best, most = [below for found, below in fit if found == here], here
    if len(best) > 1:
        raise DatasetError(
            f"{display_path(folder)} holds more than one that could be meant, "
            f"{display_path(best[0])} and {display_path(best[1])}: name one of them"
        )
    return best[0]


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    """Return the folders in ``folder``, by name; hidden ones and links are not followed."""
    try:
        with os.scandir(folder) as entries:
            found = [one for one in entries if one.name[0] != "." and one.is_dir(follow_symlinks=False)]
    except OSError:  # a folder that may not be read holds nothing of the data set
        return []
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def require_exactly(name: str, folder: Path, expected: Iterable[Path], found: Iterable[Path]) -> None:
    """Raise DatasetError unless ``found`` in ``folder`` is what is expected: else figures would change."""
    wanted, there = set(expected), set(found)
    missing, strange = ([*sorted(some, key=_by_number)] for some in (wanted - there, there - wanted))
    if missing:
        raise DatasetError(
            f"{display_path(folder)} must hold the {len(wanted)} images of {name}; "
            f"{len(missing)} are missing, such as {display_path(missing[0].relative_to(folder))}"
        )
    if strange:
        raise DatasetError(
            f"{display_path(folder)} must hold the {len(wanted)} images of {name} and no others, "
            f"got {len(strange)} more, such as {display_path(strange[0])}"
        )


def _by_number(path: Path) -> tuple[int, bytes]:
    return len(path.name), os.fsencode(path)


def labels_of(names: Iterable[str], class_names: tuple[str, ...]) -> Integers:
    """Return the place of each of ``names`` in ``class_names``: int64."""
    label_of = {name: label for label, name in enumerate(class_names)}
    return np.array([label_of[name] for name in names], np.int64)
