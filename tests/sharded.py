# SPDX-License-Identifier: MIT
"""Photos and their index as a whole and in parts, to search the parts as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from semcbir import Index, Neighbors

COLUMNS = ("ids", "distances", "histogram_distances", "kept", "epsilons")


def write_copies(folder: Path, photos: int, every: int) -> Path:
    """Make a folder of made photos; every so many there twice, so that distances tie across parts."""
    folder.mkdir()
    noise = np.random.default_rng(5)
    for number in range(photos):
        pixels = noise.integers(0, 256, (3, 4, 3)).repeat(20, axis=0).repeat(20, axis=1).astype(np.uint8)
        for copy in range(1 + (number % every == 0)):
            Image.fromarray(pixels).save(folder / f"{number}-{copy}.png")
    return folder


def build(photos: Path, place: Path, model: Path, part: str | None = None) -> Index:
    return Index.build(photos, place, model=model, features="hog", device="cpu", part=part)


def build_parts(photos: Path, folder: Path, model: Path, n: int) -> list[Path]:
    """Make all parts of the index of ``photos``."""
    places = [folder / f"part {number}" for number in range(1, n + 1)]
    for number, place in enumerate(places, 1):
        build(photos, place, model, f"{number}/{n}")
    return places


def assert_same(found: Neighbors, expected: Neighbors) -> None:
    for name in COLUMNS:
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)
