# SPDX-License-Identifier: MIT
"""Labelled photos from the cache that label.py wrote, and strong augmentation of both."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

STRIDE = 4


@dataclass(frozen=True)
class Photos:
    """Photos (n, 256, 256, 3) uint8 with their sizes, and the TOP labels and shares of every cell."""

    names: list[str]
    classes: list[str]
    images: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    shares: np.ndarray

    @classmethod
    def load(cls, cache: Path) -> Photos:
        """Map the cache; the photos are read as they are used."""
        names, classes = (
            (cache / f"{file}.txt").read_text().split("\n")[:-1] for file in ("names", "classes")
        )
        columns = (
            np.load(cache / f"{name}.npy", mmap_mode="r") for name in ("images", "sizes", "labels", "shares")
        )
        return cls(names, classes, *columns)

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions to train on, and those held out: every file whose number ends in 0."""
        held_out = np.array([Path(name).stem.endswith("0") for name in self.names])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)


@dataclass(frozen=True)
class Sample:
    """One training example: image (h, w, 3) uint8, labels and shares (h / 4, w / 4, TOP)."""

    image: np.ndarray
    labels: np.ndarray
    shares: np.ndarray


def augmented(
    photos: Photos, i: int, shape: tuple[int, int], smallest: float, rng: np.random.Generator
) -> Sample:
    """Cut a window of at least the part ``smallest`` out of photo ``i``; resize, flip and recolour it."""
    height, width = (int(side) for side in photos.sizes[i])
    part = rng.uniform(smallest, 1.0)
    aspect = shape[1] / shape[0] * np.exp(rng.uniform(-0.25, 0.25))
    window_h = min(height, int(part * min(height, width / aspect) * rng.uniform(1.0, 1.25)))
    window_w = min(width, int(window_h * aspect))
    window_h, window_w = max(window_h, 16), max(window_w, 16)
    top = int(rng.integers(0, max(1, height - window_h + 1)))
    left = int(rng.integers(0, max(1, width - window_w + 1)))
    window = photos.images[i, top : min(top + window_h, height), left : min(left + window_w, width)]
    interpolation = cv2.INTER_AREA if window.shape[0] > shape[0] else cv2.INTER_LINEAR
    image = cv2.resize(window, (shape[1], shape[0]), interpolation=interpolation)
    grid = shape[0] // STRIDE, shape[1] // STRIDE
    rows = (top + (np.arange(grid[0]) + 0.5) * window.shape[0] / grid[0]).astype(int) // STRIDE
    columns = (left + (np.arange(grid[1]) + 0.5) * window.shape[1] / grid[1]).astype(int) // STRIDE
    cells = np.ix_(rows, columns)
    labels, shares = photos.labels[i][cells], photos.shares[i][cells]
    if rng.random() < 0.5:
        image, labels, shares = image[:, ::-1], labels[:, ::-1], shares[:, ::-1]
    return Sample(recoloured(image, rng), labels, shares)


def recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation and tint; now and then take the colour away or blur."""
    values = image.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    if rng.random() < 0.05:
        values = np.repeat(grey, 3, axis=2)
    values = grey + (values - grey) * rng.uniform(0.6, 1.4)
    values = (values - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-30, 30)
    values *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    if rng.random() < 0.15:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.2))
    return np.clip(values, 0, 255).astype(np.uint8)


def batches(
    photos: Photos, positions: np.ndarray, size: int, shape: tuple[int, int], smallest: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield one pass over ``positions`` as arrays (size, ...), prepared by a thread ahead of time."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(positions)
    ready: queue.Queue[tuple[np.ndarray, np.ndarray, np.ndarray] | None] = queue.Queue(4)

    def prepare() -> None:
        for start in range(0, len(order) - size + 1, size):
            samples = [augmented(photos, int(i), shape, smallest, rng) for i in order[start : start + size]]
            ready.put(
                (
                    np.stack([sample.image for sample in samples]),
                    np.stack([sample.labels for sample in samples]),
                    np.stack([sample.shares for sample in samples]),
                )
            )
        ready.put(None)

    threading.Thread(target=prepare, daemon=True).start()
    while (batch := ready.get()) is not None:
        yield batch
