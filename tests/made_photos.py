# SPDX-License-Identifier: MIT
"""Small textured pictures of three kinds, the same bytes on every run: what the tests index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

Draw = Callable[[np.ndarray, np.random.Generator], None]
HEIGHT, WIDTH = 96, 128
PER_KIND = 4

SKY, SAND, GRASS, FLOWER, WALL, WINDOW = (
    (40, 90, 220),
    (70, 60, 50),
    (40, 170, 30),
    (210, 30, 30),
    (45, 45, 50),
    (200, 40, 30),
)


def write_photos(folder: Path) -> list[Path]:
    """Write the pictures as ``<kind>/<number>.jpg`` (every kind's last one ``.PNG``); return the paths."""
    paths = []
    for seed, (kind, draw) in enumerate(KINDS.items()):
        (folder / kind).mkdir(parents=True)
        for number in range(PER_KIND):
            path = folder / kind / f"{number}{'.PNG' if number == PER_KIND - 1 else '.jpg'}"
            rgb = made_photo(draw, np.random.default_rng([seed, number]))
            _, data = cv2.imencode(path.suffix.lower(), rgb[:, :, ::-1])
            path.write_bytes(data.tobytes())
            paths.append(path)
    return paths


def made_photo(draw: Draw, rng: np.random.Generator) -> np.ndarray:
    """One picture, RGB uint8 (96, 128, 3): flat shapes of a kind under texture of several scales."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    draw(canvas, rng)
    texture = sum(
        cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)), (0, 0), sigma) * sigma for sigma in (0.8, 2.0, 4.0)
    )
    return np.clip(canvas + 60.0 * texture[:, :, None], 0, 255).astype(np.uint8)


def _beach(canvas: np.ndarray, rng: np.random.Generator) -> None:
    canvas[:] = SKY
    canvas[rng.integers(40, 70) :] = SAND


def _meadow(canvas: np.ndarray, rng: np.random.Generator) -> None:
    canvas[:] = GRASS
    canvas[: rng.integers(10, 30)] = SKY
    for x, y in rng.integers((8, 36), (WIDTH - 8, HEIGHT - 8), (6, 2)).tolist():
        cv2.circle(canvas, (x, y), int(rng.integers(4, 8)), FLOWER, -1)


def _town(canvas: np.ndarray, rng: np.random.Generator) -> None:
    canvas[:] = WALL
    for x, y in rng.integers((2, 2), (WIDTH - 14, HEIGHT - 14), (8, 2)).tolist():
        canvas[y : y + 12, x : x + 8] = WINDOW


KINDS: dict[str, Draw] = {
    "beach": _beach,
    "meadow": _meadow,
    "town": _town,
}
