# SPDX-License-Identifier: MIT
"""Labelled data sets in their published layouts. The package ships none: the photos belong to others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
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
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]


def wang(folder: str | os.PathLike[str]) -> Dataset:
    """Read Wang (Corel-1000): ``0.jpg`` to ``999.jpg``, a hundred in a row for each class.

    Raises DatasetError if files are missing or there are images with other names, ImageError if the folder
    is not there.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 (an index does not follow a symlink here either)
    paths = [root / f"{number}.jpg" for number in range(1000)]
    _require_exactly("Wang", root, paths)
    return Dataset("wang", root, tuple(paths), np.arange(1000) // 100, _WANG_CLASSES)


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


DATASETS = {"wang": wang}
"""The loaders by name."""
