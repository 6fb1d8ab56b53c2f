# SPDX-License-Identifier: MIT
"""Labelled data sets, one's own or in their published layouts. The package ships none: photos have owners."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir._validate import counted
from semcbir.errors import SemcbirError
from semcbir.images.find import find_images

_WANG_CLASSES = (
    "africans",
    "beach",
    "buildings",
    "buses",
    "dinosaurs",
    "elephants",
    "flowers",
    "horses",
    "mountains",
    "food",
)


class DatasetError(SemcbirError):
    """A folder does not have the layout of its data set, or an index does not hold the data set's images."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in which every image is in the database and is a query.

    - ``name``, ``folder``
    - ``paths``: the n image files, absolute
    - ``labels``: int64 (n,), the class of each
    - ``class_names``: the classes' names by label
    - ``distractor_folders``, ``distractors``: folders, and the image files in them, that are in the database
      too, are relevant to nothing and are never queries
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    distractor_folders: tuple[Path, ...] = ()
    distractors: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of everything that is in the database."""
        return (self.folder, *self.distractor_folders)


def by_folder(folder: str | os.PathLike[str]) -> Dataset:
    """Read a folder of one's own: the class of an image is the sub-folder directly below it.

    Images further down belong to that sub-folder too. Sub-folders without images are no classes; labels go by
    the order of the names' bytes.

    Raises DatasetError if there are no images, if some lie in the folder itself, or if a class has only one:
    then nothing is relevant to it. ImageError if the folder is not there.
    """
    root = _absolute(folder)
    paths = find_images(root)
    if not paths:
        raise DatasetError(
            f"{display_path(root)} must hold a sub-folder of images for each class, got no image"
        )
    if loose := [path for path in paths if path.parent == root]:
        raise DatasetError(
            f"{display_path(root)} must hold its images in sub-folders, one for each class, "
            f"got {counted(len(loose), 'image')} beside them, such as {display_path(loose[0].name)}"
        )
    names = [path.relative_to(root).parts[0] for path in paths]
    sizes = Counter(names)
    if single := [name for name, size in sizes.items() if size < 2]:
        raise DatasetError(
            f"{display_path(root)} must hold at least two images of each class, "
            f"got one in {display_path(single[0])}"
            + (f" and in {len(single) - 1} others" if len(single) > 1 else "")
        )
    classes = sorted(sizes, key=os.fsencode)
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[name] for name in names], np.int64)
    return Dataset("folder", root, tuple(paths), labels, tuple(classes))


def wang(folder: str | os.PathLike[str]) -> Dataset:
    """Read Wang (Corel-1000): ``0.jpg`` to ``999.jpg``, a hundred in a row for each class.

    Raises DatasetError if files are missing or there are images with other names, ImageError if the folder
    is not there.
    """
    root = _absolute(folder)
    paths = [root / f"{number}.jpg" for number in range(1000)]
    _require_exactly("Wang", root, paths)
    return Dataset("wang", root, tuple(paths), np.arange(1000) // 100, _WANG_CLASSES)


def with_distractors(dataset: Dataset, folders: Iterable[str | os.PathLike[str]]) -> Dataset:
    """Return ``dataset`` with the images of ``folders`` as distractors.

    Raises DatasetError if a folder holds no image, or one that is in the data set or in another of the
    folders, too, by itself or through a link. ImageError if a folder is not there.
    """
    taken = {_identity(path): dataset.folder for path in (*dataset.paths, *dataset.distractors)}
    roots, found = list(dataset.distractor_folders), list(dataset.distractors)
    for root in map(_absolute, folders):
        images = find_images(root)
        if not images:
            raise DatasetError(f"distractors: expected a folder of images, got none in {display_path(root)}")
        if twice := [path for path in images if _identity(path) in taken]:
            raise DatasetError(
                f"distractors: expected images that are not in {display_path(taken[_identity(twice[0])])}, "
                f"got {counted(len(twice), 'image')} of those in {display_path(root)}, "
                f"such as {display_path(twice[0])}"
            )
        taken.update((_identity(path), root) for path in images)
        roots.append(root)
        found += images
    return replace(dataset, distractor_folders=tuple(roots), distractors=tuple(found))


def _absolute(folder: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(folder))  # noqa: PTH100 (an index does not follow a symlink here either)


def _identity(path: Path) -> tuple[int, int]:
    """Return what a file and the links to it have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _require_exactly(name: str, folder: Path, paths: list[Path]) -> None:
    """Raise DatasetError unless ``paths`` are the folder's images: others would change the figures."""
    found = set(find_images(folder))
    missing = [path for path in paths if path not in found]
    if missing:
        raise DatasetError(
            f"{display_path(folder)} must hold the {len(paths)} images of {name}; "
            f"{len(missing)} are missing, such as {display_path(missing[0].name)}"
        )
    strange = sorted(found.difference(paths), key=os.fsencode)
    if strange:
        raise DatasetError(
            f"{display_path(folder)} must hold the {len(paths)} images of {name} and no others, "
            f"got {len(strange)} more, such as {display_path(strange[0])}"
        )


DATASETS = {"folder": by_folder, "wang": wang}
"""The loaders by name."""
