# SPDX-License-Identifier: MIT
"""Laying photos on the canvas that a segmentation network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from semcbir.models.specs import InputSpec, SizeSpec

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where a photo lies: its own (height, width), that of its scaled ``crop``, that of the ``canvas``.

    The crop is the canvas's upper left corner; the rest is padding.
    """

    photo: tuple[int, int]
    crop: tuple[int, int]
    canvas: tuple[int, int]

    @classmethod
    def of(cls, image: Image, size: SizeSpec) -> Placement:
        """The placement of an image (H, W, 3) under a size rule."""
        photo = (image.shape[0], image.shape[1])
        crop = size.scaled(*photo)
        return cls(photo, crop, size.canvas(*crop))

    def positions(
        self, lattice: tuple[int, int], *, align_corners: bool
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Where the photo's rows and columns lie on a lattice of points spread over the canvas.

        ``lattice``: its (height, width). Gives float64 (H,) and (W,), non-decreasing, within [0, side - 1].
        """
        rows, columns = (
            _positions(photo, crop, canvas, points, align_corners)
            for photo, crop, canvas, points in zip(self.photo, self.crop, self.canvas, lattice, strict=True)
        )
        return rows, columns


def _positions(
    photo: int, crop: int, canvas: int, points: int, align_corners: bool
) -> npt.NDArray[np.float64]:
    # Scaling maps pixel centres: the photo's pixel i has its centre at i + 1/2. Clamping to the crop
    # repeats its border instead of letting the padding in.
    on_crop = np.clip((np.arange(photo) + 0.5) * (crop / photo) - 0.5, 0, crop - 1)
    if align_corners:
        on_lattice = on_crop * ((points - 1) / max(1, canvas - 1))
    else:
        on_lattice = (on_crop + 0.5) * (points / canvas) - 0.5
    clipped: npt.NDArray[np.float64] = np.clip(on_lattice, 0, points - 1)
    return clipped


def fill_batch(
    images: Sequence[Image], placements: Sequence[Placement], spec: InputSpec, size: SizeSpec, batch_size: int
) -> npt.NDArray[Any]:
    """The network's input for images of one canvas size: (N, 3, H, W) or (N, H, W, 3), as ``spec`` says.

    N is ``batch_size``, or the number of images where that is larger; rows beyond the images hold padding.
    """
    height, width = placements[0].canvas
    table = _values(spec)
    order = slice(None) if spec.colour == "RGB" else slice(None, None, -1)
    shape = (max(batch_size, len(images)), height, width, 3)
    if spec.layout == "NCHW":
        batch = np.empty((shape[0], 3, height, width), table.dtype)
        pixels = batch.transpose(0, 2, 3, 1)
    else:
        batch = pixels = np.empty(shape, table.dtype)
    pixels[:] = table[0, list(size.pad), [0, 1, 2]][order]
    for row, image, placement in zip(pixels, images, placements, strict=False):
        crop = scale(image, placement.crop)
        crop_height, crop_width = placement.crop
        row[:crop_height, :crop_width] = cv2.LUT(crop, table)[:, :, order]
    return batch


def scale(image: Image, shape: tuple[int, int]) -> Image:
    """Scale an image (H, W, 3) to (height, width): by area where it shrinks, bilinear where it grows."""
    if image.shape[:2] == shape:
        return image
    shrinks = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=method), np.uint8)


def _values(spec: InputSpec) -> npt.NDArray[Any]:
    """What the network is given for each byte of each colour: (1, 256, 3) of the input's type."""
    values = np.repeat(np.arange(256, dtype=np.float64)[None, :, None], 3, axis=2)
    if spec.mean is not None and spec.std is not None:
        values = (values / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    return values.astype(spec.dtype)
