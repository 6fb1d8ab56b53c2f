# SPDX-License-Identifier: MIT
"""The photos in a folder that the user names, or else generated pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from semcbir.errors import ImageError, ModelError
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.networks.specs import SizeSpec

Image = npt.NDArray[np.uint8]

MAX_PHOTOS = 16
_MADE = 4


@dataclass(frozen=True)
class Pictures:
    """Images to run through a network, and what to call them."""

    images: tuple[Image, ...]
    what: str


def photos_below(folder: Path, limit: int, long_side: int) -> Iterator[Image]:
    """Yield at most ``limit`` photos of ``folder``, evenly spread over the sorted names, one at a time.

    Each is at most ``long_side`` pixels long. Files that cannot be read are skipped. Raises ModelError if
    none can be read, or if the folder does not exist.
    """
    try:
        paths = find_images(folder)
    except ImageError as error:
        raise ModelError(str(error)) from None
    picked = np.unique(np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int))
    readable = 0
    for number in picked if paths else []:
        try:
            image = load_image(paths[number], long_side)
        except ImageError:
            continue
        readable += 1
        yield image
    if not readable:
        tried = f"none of {len(picked)} could be read" if paths else "it holds none"
        raise ModelError(f"{folder}: expected a folder with at least one photo, {tried}")


def pictures(photos: Path | None, size: SizeSpec) -> Pictures:
    """Return at most 16 photos of the folder ``photos``, or four generated pictures if that is None."""
    if photos is None:
        made = tuple(made_picture(seed, size.length) for seed in range(_MADE))
        return Pictures(made, f"{_MADE} generated pictures")
    images = tuple(photos_below(photos, MAX_PHOTOS, size.length))
    return Pictures(images, f"{len(images)} photo{'s' if len(images) > 1 else ''}")


def made_picture(seed: int, long_side: int) -> Image:
    """Return flat shapes on a gradient, with texture of several scales: RGB uint8, 4 : 3 or 3 : 4."""
    rng = np.random.default_rng(seed)
    height, width = max(1, long_side * 3 // 4), long_side
    y, x = np.mgrid[:height, :width].astype(np.float32) / long_side
    corners = rng.uniform(0, 255, (3, 3)).astype(np.float32)
    canvas = corners[0] + x[..., None] * (corners[1] - corners[0]) + y[..., None] * (corners[2] - corners[0])
    canvas = np.ascontiguousarray(canvas)
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = tuple(int(side) for side in rng.integers(1, max(2, long_side // 5), 2))
        colour = [float(value) for value in rng.uniform(0, 255, 3)]
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    for sigma in (1.0, 3.0, 9.0):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), sigma)
        canvas += 40 * sigma * noise[:, :, None]
    image: Image = np.clip(canvas, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 0, 2)) if seed % 2 else image
