# SPDX-License-Identifier: MIT
"""Label photos with the two teachers once, and keep the soft labels.

Usage: python training/label.py PHOTOS ADE-CARD VOC-CARD CACHE
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.inference.canvas import Placement
from semcbir.segmentation.segmenter import Segmenter
from semcbir.threads import usable_cpus
from taxonomy import merge, merged_classes, voc_to_merged

SIDE = 256
STRIDE = 4
TOP = 8
"""Long side of a photo, pixels per label, and how many shares are kept of each."""


class Teacher(Segmenter):
    """A model of which the softmax is wanted, not the labels."""

    def shares(self, image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Softmax in the middle of every cell of STRIDE pixels, for a photo of ``shape``: (cells, C)."""
        (logits,) = self.run([image], [self.lay(image)])
        logits = np.delete(logits, self.card.masked, axis=0)
        small = Placement.of(np.empty((*shape, 3), np.uint8), self.card.size)
        rows, columns = small.positions(logits.shape[1:], align_corners=self.card.output.align_corners)
        sampled = bilinear(logits, middles(rows), middles(columns)).reshape(len(logits), -1).T
        sampled = np.exp(sampled - sampled.max(axis=1, keepdims=True))
        return sampled / sampled.sum(axis=1, keepdims=True)


def middles(positions: np.ndarray) -> np.ndarray:
    """Return the middles of cells of STRIDE pixels; the last cell may be cut."""
    cells = [positions[start : start + STRIDE].mean() for start in range(0, len(positions), STRIDE)]
    return np.array(cells)


def bilinear(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample planes (C, h, w) at the grid of rows and columns: (C, rows, columns)."""
    for axis, at in ((1, rows), (2, columns)):
        at = np.clip(at, 0, planes.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(planes.shape[axis] - 2, 0))
        part = (at - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        high = np.minimum(low + 1, planes.shape[axis] - 1)
        planes = planes.take(low, axis) * (1 - part) + planes.take(high, axis) * part
    return planes


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("ade", type=Path, help="card of the ADE20K teacher")
    parser.add_argument("voc", type=Path, help="card of the Pascal VOC teacher")
    parser.add_argument("cache", type=Path, help="folder for the labels")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    paths = find_images(options.photos)
    names = [path.relative_to(options.photos).as_posix() for path in paths]
    (options.cache / "names.txt").write_text("\n".join(names) + "\n")
    cells = SIDE // STRIDE
    shapes = {
        "images": ((len(paths), SIDE, SIDE, 3), np.uint8),
        "sizes": ((len(paths), 2), np.int16),
        "labels": ((len(paths), cells, cells, TOP), np.uint8),
        "shares": ((len(paths), cells, cells, TOP), np.float16),
    }
    arrays = {
        name: np.lib.format.open_memmap(options.cache / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    ade, voc = (Teacher(card, device="cpu", threads=1) for card in (options.ade, options.voc))
    (options.cache / "classes.txt").write_text("\n".join(merged_classes(ade.card.classes)) + "\n")
    voc_labels = voc_to_merged(ade.card.classes, voc.card.classes)

    def label(i: int) -> None:
        photo = load_image(paths[i], None)
        scale = SIDE / max(photo.shape[:2])
        height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        arrays["images"][i, :height, :width] = cv2.resize(photo, (width, height), interpolation=interpolation)
        arrays["sizes"][i] = height, width
        shares = [teacher.shares(photo, (height, width)) for teacher in (ade, voc)]
        merged = merge(*shares, voc_labels)
        top = np.argpartition(merged, -TOP, axis=1)[:, -TOP:]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(merged, top, 1), axis=1), 1)
        grid = -(-height // STRIDE), -(-width // STRIDE), TOP
        arrays["labels"][i, : grid[0], : grid[1]] = top.reshape(grid)
        arrays["shares"][i, : grid[0], : grid[1]] = np.take_along_axis(merged, top, 1).reshape(grid)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for done, _ in enumerate(pool.map(label, range(len(paths))), 1):
            if done % 200 == 0 or done == len(paths):
                print(f"{done} of {len(paths)} photos labelled", flush=True)
    for array in arrays.values():
        array.flush()


if __name__ == "__main__":
    main()
