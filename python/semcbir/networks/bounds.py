# SPDX-License-Identifier: MIT
"""The most that a model's card may ask for, so that no card makes a run endless or takes all memory.

Published models stay far below: MSeg's largest tester sees 4.7 megapixels a photo in 36 passes.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_PIXELS = 2**24
"""The most pixels of a canvas, and the most points of output for a photo."""
MAX_SCORES = 2**34
"""The most bytes of float32 scores for a photo."""
MAX_CALL = 2**31
"""The most bytes of canvases that a graph of a fixed batch size takes in a call."""
MAX_GRID_SIDE, MAX_DIM, MAX_GRID = 2**10, 2**16, 2**30
"""The most rows, or columns, of an encoder's grid; the longest vector of a cell; the most bytes of a grid."""
MAX_SCALES = 16
MAX_PASSES = 2**12
"""The most windows, flips and scales together that a photo goes through."""
MAX_MEAN, MIN_STD, MAX_STD = 1000.0, 0.001, 1000.0
"""Bounds of ``mean`` and ``std``, so that (x / 255 - mean) / std is a sensible float32."""
MAX_NAME, MAX_NAMES, MAX_TEXT = 200, 2**20, 2**16
"""The most characters of a name, of all class names together, and of a free text."""
MAX_GROUPS = 2**10
"""The most groups of classes that a card may give names."""
MAX_MEASURED, MAX_DEPTH = 2**20, 32
"""The most characters of ``measured`` as JSON, and how deeply it may be nested."""


def check_pixels(name: str, height: int, width: int) -> None:
    """Raise ValueError if a canvas has too many pixels."""
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name}: expected at most {MAX_PIXELS} pixels, got {height} x {width}")


def check_passes(count: int) -> None:
    """Raise ValueError if a photo goes through too often."""
    if count > MAX_PASSES:
        raise ValueError(
            f"inference: expected at most {MAX_PASSES} windows, flips and scales for a photo, got {count}"
        )


def check_scores(name: str, channels: int, pixels: int) -> None:
    """Raise ValueError if float32 scores of so many channels and points take too many bytes."""
    if 4 * channels * pixels > MAX_SCORES:
        raise ValueError(
            f"{name}: expected scores of at most {MAX_SCORES >> 30} GiB for a photo, "
            f"got {channels} classes at {pixels} pixels"
        )


def check_grid(name: str, dim: int, height: int, width: int) -> None:
    """Raise ValueError if a grid of float32 vectors of length ``dim`` is empty or too large."""
    if not (1 <= height <= MAX_GRID_SIDE and 1 <= width <= MAX_GRID_SIDE):
        raise ValueError(
            f"{name}: expected a grid of 1 to {MAX_GRID_SIDE} cells a side, got {height} x {width}"
        )
    if 4 * dim * height * width > MAX_GRID:
        raise ValueError(
            f"{name}: expected a grid of at most {MAX_GRID >> 30} GiB for a photo, "
            f"got {height} x {width} vectors of length {dim}"
        )


def check_total(name: str, texts: Sequence[str]) -> None:
    """Raise ValueError if ``texts`` are too long together."""
    total = sum(map(len, texts))
    if total > MAX_NAMES:
        raise ValueError(f"{name}: expected names of at most {MAX_NAMES} characters together, got {total}")
