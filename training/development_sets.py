# SPDX-License-Identifier: MIT
"""Lay out the development sets: a folder of links for each class, as ``semcbir evaluate folder`` reads it.

Usage: python training/development_sets.py PHOTOS OUT

PHOTOS holds a folder of photos for each set, whose classes are known from the order of their files; OUT gets
``SET/CLASS/FILE``, the class as its number. The settings of the feature deep were chosen on mit8, sun8 and
caltech101; weather was kept out of that.
"""

from __future__ import annotations

import argparse
from itertools import accumulate, pairwise
from pathlib import Path

SETS: dict[str, tuple[int, ...]] = {
    "mit8": (170,) * 8,
    "sun8": (120, 120, 120, 120, 120, 103, 120, 120),
    "caltech101": (14, 11, *(14,) * 5, 6, *(14,) * 50),
    "weather": (95,) * 4,
}
"""How many photos each class has, in the order of the files."""


def classes_of(name: str, photos: list[Path]) -> list[list[Path]]:
    """Return the photos of each class of the set ``name``; ValueError unless they are as many as it has."""
    sizes = SETS[name]
    if len(photos) != sum(sizes):
        raise ValueError(f"{name}: expected {sum(sizes)} photos, got {len(photos)}")
    return [photos[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def lay_out(photos: Path, out: Path) -> None:
    """Make the links of every set in ``out``, which must not be there yet."""
    chosen = {name: classes_of(name, sorted((photos / name).glob("*.jpg"))) for name in SETS}
    out.mkdir(parents=True)
    for name, classes in chosen.items():
        for number, files in enumerate(classes):
            folder = out / name / f"{number:02d}"
            folder.mkdir(parents=True)
            for file in files:
                (folder / file.name).symlink_to(file.absolute())


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with a folder of photos for each set")
    parser.add_argument("out", type=Path, help="where the links go; made here")
    options = parser.parse_args()
    lay_out(options.photos, options.out)
    for name, sizes in SETS.items():
        print(f"{options.out / name}: {sum(sizes)} photos in {len(sizes)} classes")


if __name__ == "__main__":
    main()
