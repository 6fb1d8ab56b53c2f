# SPDX-License-Identifier: MIT
"""At which distance photos are near-duplicates: copies of Wang's photos, and how many find their originals.

    python benchmarks/duplicates.py WANG

Every second photo of WANG is copied eight times: in half its width and height, as a JPEG of quality 30, cut
to its central 90 % and 80 %, mirrored, brighter by 20 %, turned by 5 degrees and cut, in grey; all but the
second are saved as JPEGs of quality 90. Originals and copies are indexed together with the default models.

For each distance the first table says how many copies are that near to their originals ("pairs"), the second
how many are in the same group as their originals ("groups"), as ``semcbir.duplicates`` makes groups of them
all. Beside them what is false: pairs of originals within the distance, pairs of any two photos that do not
come from one original, and groups with more than one original. Originals of which any photos are within the
default distance are listed: some show the same scene.

Last the time for a made collection (``workload.py``), of which all pairs are compared; without WANG that
alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from pairs import seconds
from semcbir import Index, Searcher, Signatures, duplicates, load_image
from semcbir.evaluation.copies import cut, halved, mirrored, turned
from semcbir.evaluation.layouts import wang
from semcbir.grouping import near_groups
from semcbir.near_duplicates import DISTANCE
from tables import table
from workload import bases, resampled

Image = np.ndarray
DISTANCES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
QUALITY = 90
AT_ONCE = 500


def brighter(image: Image) -> Image:
    """Every value times 1.2, rounded, at most 255."""
    return np.minimum(np.rint(1.2 * image), 255).astype(np.uint8)


def grey(image: Image) -> Image:
    """OpenCV's grey in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


COPIES: dict[str, tuple[Callable[[Image], Image], int]] = {
    "half size": (halved, QUALITY),
    "JPEG 30": (lambda image: image, 30),
    "cut to 90 %": (lambda image: cut(image, 0.9), QUALITY),
    "cut to 80 %": (lambda image: cut(image, 0.8), QUALITY),
    "mirrored": (mirrored, QUALITY),
    "brighter": (brighter, QUALITY),
    "turned by 5°": (lambda image: turned(image, 5), QUALITY),
    "grey": (grey, QUALITY),
}
"""How copies are made, and the quality of the JPEG that they are saved as."""


def make_photos(originals: list[Path], folder: Path) -> list[Path]:
    """Write copies into a folder of ``folder`` for each kind, and return these folders."""
    folders = [folder / str(number) for number in range(len(COPIES))]
    for place, (copy, quality) in zip(folders, COPIES.values(), strict=True):
        place.mkdir(parents=True, exist_ok=True)
        for path in originals:
            pixels = copy(load_image(path, None))[:, :, ::-1]
            cv2.imwrite(str(place / path.name), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return folders


def squares(signatures: Signatures) -> np.ndarray:
    """All distances, float32 (n, n), in the order of the images."""
    searcher, n = Searcher(signatures), len(signatures)
    found = np.empty((n, n), np.float32)
    for start in range(0, n, AT_ONCE):
        near = searcher.search(signatures[start : start + AT_ONCE], n, None)
        np.put_along_axis(
            found[start : start + AT_ONCE], np.searchsorted(signatures.ids, near.ids), near.distances, axis=1
        )
    return found


def report(index: Index, originals: list[Path], folders: list[Path]) -> None:
    """Print the tables."""
    place = {path: number for number, path in enumerate(originals)}
    place |= {folder / path.name: number for folder in folders for path, number in list(place.items())}
    paths, at = [record.path for record in index], {record.id: i for i, record in enumerate(index)}
    source = np.array([place[path] for path in paths])
    kind = np.array([folders.index(path.parent) if path.parent in folders else -1 for path in paths])
    distances = squares(index.signatures("deep"))
    first = np.empty(len(originals), np.int64)
    first[source[kind == -1]] = np.flatnonzero(kind == -1)
    to_original = distances[np.arange(len(paths)), first[source]]
    apart = np.triu(source[:, None] != source, 1)
    both = np.triu(np.outer(kind == -1, kind == -1), 1)

    near_rows, group_rows = [], []
    for distance in DISTANCES:
        group_of = np.arange(len(paths)) + len(paths)
        groups = duplicates(index, distance, "deep")
        for number, group in enumerate(groups):
            group_of[[at[key] for key in group.ids]] = number
        mixed = [group for group in groups if sum(kind[at[key]] == -1 for key in group.ids) > 1]
        near, same = to_original <= distance, group_of == group_of[first[source]]
        close = distances <= distance
        counts = [
            f"{np.count_nonzero(close & both):,}",
            f"{np.count_nonzero(close & apart):,}",
        ]
        head = [f"{distance:g}"]
        near_rows.append([*head, *(f"{near[kind == i].mean():.2f}" for i in range(len(COPIES))), *counts])
        group_rows.append(
            [
                *head,
                *(f"{same[kind == i].mean():.2f}" for i in range(len(COPIES))),
                f"{len(mixed):,}",
                f"{max(map(len, groups), default=0):,}",
            ]
        )
    n, m = len(originals), len(paths)
    false = [f"of {n * (n - 1) // 2:,} pairs of originals", f"of {np.count_nonzero(apart):,} false pairs"]
    print(f"{n} originals, {m - n} copies\n\npairs\n")
    print(table(["distance", *COPIES, *false], near_rows))
    print("\ngroups\n")
    print(table(["distance", *COPIES, "groups of several originals", "photos in the largest"], group_rows))
    print(f"\nphotos of different originals within {DISTANCE}, nearest first:")
    rows, columns = np.nonzero(apart & (distances <= DISTANCE))
    listed: dict[tuple[str, str], str] = {}
    for i in np.argsort(distances[rows, columns]):
        a, b = rows[i], columns[i]
        names = (paths[a].name, paths[b].name)
        own = distances[first[source[a]], first[source[b]]]
        said = f"{distances[a, b]:.3f}, the originals {own:.3f}"
        listed.setdefault((min(names), max(names)), said)
    for names, said in listed.items():
        print(f"{names[0]} and {names[1]}: {said}")


def speed(images: int) -> None:
    """Print how long it takes to compare all pairs of a made collection."""
    collection = resampled(bases(None)["deep"], images, 1)
    searcher = Searcher(collection)
    pairs = images * (images - 1) // 2
    for distance in (0.2, DISTANCE):
        groups: list[np.ndarray] = []

        def find(bound: float = distance) -> None:
            groups[:] = near_groups(searcher, collection.ids, lambda ids: collection[ids], bound)  # noqa: B023

        took = seconds(find)
        print(
            f"{images:,} made images, distance {distance}: {took:.1f} s, "
            f"{pairs / took / 1e6:.0f} million pairs a second; "
            f"{len(groups):,} groups, the largest of {max(map(len, groups), default=0):,}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="WANG")
    parser.add_argument("--scratch", type=Path, help="an empty folder to keep copies and index in")
    parser.add_argument("--images", type=int, default=50_000, help="of the made collection (%(default)s)")
    options = parser.parse_args()
    if options.folder:
        originals = list(wang(options.folder).paths[::2])
        with tempfile.TemporaryDirectory() as name:
            scratch = options.scratch or Path(name)
            folders = make_photos(originals, scratch / "copies")
            with Index.build(folders, scratch / "index") as index:
                index.add(originals)
                report(index, originals, folders)
    speed(options.images)


if __name__ == "__main__":
    main()
