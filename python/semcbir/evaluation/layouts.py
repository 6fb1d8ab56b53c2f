# SPDX-License-Identifier: MIT
"""Data sets in the layouts they are published in, and one's own. The package ships none."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from semcbir._files import absolute, display_path
from semcbir._validate import counted
from semcbir.evaluation.datasets import (
    Dataset,
    DatasetError,
    labels_of,
    locate,
    require_exactly,
)
from semcbir.images.find import find_images

_WANG = (
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
_LINNAEUS = ("berry", "bird", "dog", "flower", "other")
_PARTS = {"train": 1200, "test": 400}
_MSRC_V2_IMAGES = 591
_MSRC = re.compile(r"([1-9][0-9]*)_([1-9][0-9]*)_s\.bmp", re.IGNORECASE)


def by_folder(folder: str | os.PathLike[str]) -> Dataset:
    """Read a folder of one's own: the class of an image is the sub-folder directly below it.

    Images further down belong to that sub-folder too. Sub-folders without images are no classes; labels go by
    the order of the names' bytes. Photos that turn out to be unreadable are left out.

    Raises DatasetError if there are no images, if some lie in the folder itself, or if no class has two:
    then nothing is relevant to anything. ImageError if the folder is not there.
    """
    root = absolute(folder)
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
    if max(Counter(names).values()) < 2:
        raise DatasetError(
            f"{display_path(root)} must hold at least two images of some class, "
            f"got one in each of {counted(len(names), 'sub-folder')}"
        )
    classes = tuple(sorted(set(names), key=os.fsencode))
    return Dataset("folder", root, tuple(paths), labels_of(names, classes), classes, may_lack=True)


def wang(folder: str | os.PathLike[str]) -> Dataset:
    """Read Wang (Corel-1000): ``0.jpg`` to ``999.jpg``, a hundred in a row for each class.

    They are in ``folder`` or in a folder below it. Raises DatasetError if files are missing or there are
    images with other names, ImageError if the folder is not there.
    """
    names = [f"{number}.jpg" for number in range(1000)]
    root = _located(folder, lambda at: sum((at / name).is_file() for name in names[::111]))
    paths = [root / name for name in names]
    require_exactly("Wang", root, paths, find_images(root))
    return Dataset("wang", root, tuple(paths), np.arange(1000) // 100, _WANG)


def msrc_v1(folder: str | os.PathLike[str]) -> Dataset:
    """Read MSRC v1: ``R_N_s.bmp``, photos N from 1 to 30 in rows R from 1 to 8; the row is the class.

    The paper counts 241 photos in 9 classes; published are 240 in 8 rows. Their masks ``R_N_s_GT.bmp`` have 9
    classes of pixels, and void, which retrieval does not use. Errors as ``wang``.
    """
    places = [(row, number) for row in range(1, 9) for number in range(1, 31)]

    def fits(at: Path) -> int:  # MSRC v2 has all of these names, and others
        there = _msrc_photos(at).keys()
        return len(there & set(places)) - len(there - set(places))

    root = _located(folder, fits)
    found = _msrc_photos(root)
    expected = [found.get(place, root / "{}_{}_s.bmp".format(*place)) for place in places]
    require_exactly("MSRC v1", root, expected, found.values())
    return _msrc("msrc-v1", root, found)


def msrc_v2(folder: str | os.PathLike[str]) -> Dataset:
    """Read MSRC v2: ``R_N_s.bmp``, 591 photos in rows R from 1 to 20; the row is the class.

    The paper counts 23 classes: those of the pixels in the masks ``R_N_s_GT.bmp``, beside which there is
    void. Rows are numbered from 1 without a gap. Errors as ``wang``.
    """
    root = _located(folder, lambda at: len(_msrc_photos(at)))
    found = _msrc_photos(root)
    sizes = Counter(row for row, _ in found)
    gaps = [(row, n) for row in range(1, 21) for n in range(1, sizes[row] + 1) if (row, n) not in found]
    if len(found) != _MSRC_V2_IMAGES or sorted(sizes) != list(range(1, 21)) or gaps:
        raise DatasetError(
            f"{display_path(root)} must hold the {_MSRC_V2_IMAGES} images of MSRC v2 in rows 1 to 20, "
            f"got {counted(len(found), 'image')} in {counted(len(sizes), 'row')}"
            + (", without {}_{}_s.bmp".format(*gaps[0]) if gaps else "")
        )
    return _msrc("msrc-v2", root, found)


def _msrc_photos(folder: Path) -> dict[tuple[int, int], Path]:
    """Return the photos of MSRC directly in ``folder`` by row and number; masks are none."""
    try:
        matches = {path: _MSRC.fullmatch(path.name) for path in folder.iterdir()}
    except OSError:  # a folder that may not be read holds nothing of the data set
        return {}
    return {(int(m[1]), int(m[2])): path for path, m in matches.items() if m}


def _msrc(name: str, root: Path, photos: dict[tuple[int, int], Path]) -> Dataset:
    places = sorted(photos)
    classes = tuple(f"row {row}" for row in sorted({row for row, _ in places}))
    labels = labels_of((f"row {row}" for row, _ in places), classes)
    return Dataset(name, root, tuple(photos[place] for place in places), labels, classes)


def linnaeus(folder: str | os.PathLike[str]) -> Dataset:
    """Read Linnaeus 5: ``train/CLASS/N_256.jpg`` is the database, ``test/CLASS/N_256.jpg`` the queries.

    Classes are berry, bird, dog, flower and other, with 1200 photos each in train and 400 in test: the
    paper's 6000 and 2000, which it describes as 4 classes. Other sizes than 256 are published, too: where
    several were unpacked, name the folder of one. Errors as ``wang``.
    """
    folders = [f"{part}/{name}" for part in _PARTS for name in _LINNAEUS]
    root = _located(folder, lambda at: sum((at / one).is_dir() for one in folders))
    paths: list[Path] = []
    names: list[str] = []
    asked: list[bool] = []
    for part, count in _PARTS.items():
        for name in _LINNAEUS:
            there = find_images(root / part / name)
            if len(there) != count:
                raise DatasetError(
                    f"{display_path(root / part / name)} must hold the {count} images of Linnaeus 5 there, "
                    f"got {len(there)}"
                )
            paths += there
            names += [name] * count
            asked += [part == "test"] * count
    queries = np.array(asked)
    labels = labels_of(names, _LINNAEUS)
    return Dataset("linnaeus", root, tuple(paths), labels, _LINNAEUS, ~queries, queries)


def _located(folder: str | os.PathLike[str], fits: Callable[[Path], int]) -> Path:
    """Return where in ``folder`` a data set is; ImageError if the folder is not there."""
    root = absolute(folder)
    if not root.is_dir():
        find_images(root)  # says what is wrong
    return locate(root, fits)


DATASETS = {
    "wang": wang,
    "msrc-v1": msrc_v1,
    "msrc-v2": msrc_v2,
    "linnaeus": linnaeus,
    "folder": by_folder,
}
"""The loaders by name."""
