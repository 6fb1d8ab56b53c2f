# SPDX-License-Identifier: MIT
"""Laying photos on the canvas that the network sees."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from semcbir._columns import frozen
from semcbir.networks.specs import InputSpec, SizeSpec

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where a photo lies: (height, width) of the photo, of its scaled ``crop``, and of the ``canvas``.

    The crop fills the canvas's upper left corner; the rest is padding.
    """

    photo: tuple[int, int]
    crop: tuple[int, int]
    canvas: tuple[int, int]

    @classmethod
    def of(cls, image: Image, size: SizeSpec) -> Placement:
        """Return the placement of an image (H, W, 3) under a size rule."""
        photo = (image.shape[0], image.shape[1])
        crop = size.scaled(*photo)
        return cls(photo, crop, size.canvas(*crop))

    # Photos come in few sizes, and many in a row have the same.
    @functools.lru_cache(maxsize=16)  # noqa: B019 - placements are values, not objects that it keeps alive
    def positions(
        self, lattice: tuple[int, int], *, align_corners: bool
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return where the photo's rows and columns lie on a lattice of points spread over the canvas.

        ``lattice`` is its (height, width). Returns float64 (H,) and (W,), non-decreasing, in [0, side - 1],
        read-only.
        """
        rows, columns = (
            frozen(_positions(photo, crop, canvas, points, align_corners))
            for photo, crop, canvas, points in zip(self.photo, self.crop, self.canvas, lattice, strict=True)
        )
        return rows, columns

    @functools.lru_cache(maxsize=16)  # noqa: B019 - as above
    def cells(self, grid: tuple[int, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the cell that each of the photo's rows and columns has its centre in.

        ``grid`` is the (height, width) of a grid of cells that divide the canvas evenly, at most
        ``MAX_GRID_SIDE`` each. Returns int32 (H,) and (W,), non-decreasing, in [0, side - 1], read-only. A
        centre on a border between two cells is in the second.
        """
        rows, columns = (
            frozen(_cells(photo, crop, canvas, side))
            for photo, crop, canvas, side in zip(self.photo, self.crop, self.canvas, grid, strict=True)
        )
        return rows, columns


def _cells(photo: int, crop: int, canvas: int, side: int) -> npt.NDArray[np.int32]:
    # The centre of the photo's pixel i is at (i + 1/2) crop / photo on the canvas. All in integers, which
    # stay below 2^63 as crop <= 2^13 and side <= 2^10.
    twice = 2 * np.arange(photo, dtype=np.int64) + 1
    return (twice * (crop * side) // (2 * photo * canvas)).astype(np.int32)


def _positions(
    photo: int, crop: int, canvas: int, points: int, align_corners: bool
) -> npt.NDArray[np.float64]:
    # Scaling maps pixel centres: the photo's pixel i has its centre at i + 1/2. Clamping to the crop
    # repeats its border and keeps the padding out.
    return _on_lattice(even_positions(photo, crop), canvas, points, align_corners)


def even_positions(side: int, points: int) -> npt.NDArray[np.float64]:
    """Return where the pixels of a ``side`` lie on ``points`` that divide it evenly: float64 (side,)."""
    return np.clip((np.arange(side) + 0.5) * (points / side) - 0.5, 0, points - 1)


def pixel_positions(side: int, points: int, *, align_corners: bool) -> npt.NDArray[np.float64]:
    """Return where a canvas's own pixels lie on the ``points`` of the network's output along one ``side``."""
    return _on_lattice(np.arange(side, dtype=np.float64), side, points, align_corners)


def _on_lattice(
    pixels: npt.NDArray[np.float64], canvas: int, points: int, align_corners: bool
) -> npt.NDArray[np.float64]:
    if align_corners:
        on_lattice = pixels * ((points - 1) / max(1, canvas - 1))
    else:
        on_lattice = (pixels + 0.5) * (points / canvas) - 0.5
    clipped: npt.NDArray[np.float64] = np.clip(on_lattice, 0, points - 1)
    return clipped


def lay(
    image: Image,
    size: tuple[int, int],
    canvas: tuple[int, int],
    spec: InputSpec,
    pad: Sequence[int],
    *,
    at: tuple[int, int] = (0, 0),
) -> npt.NDArray[Any]:
    """Scale an image (H, W, 3) to ``size`` and lay it on a canvas: (3, H, W) or (H, W, 3), as ``spec`` says.

    The image's upper left corner lies at ``at`` (row, column); the rest of the canvas has the colour ``pad``.
    """
    table = _values(spec)
    scaled = scale(image, size)
    values = scaled if spec.dtype == "uint8" else cv2.LUT(scaled, table)
    if size == canvas and spec.layout == "NHWC" and spec.colour == "RGB":
        return np.ascontiguousarray(values)
    order = slice(None) if spec.colour == "RGB" else slice(None, None, -1)
    if spec.layout == "NCHW":
        laid = np.empty((3, *canvas), table.dtype)
        pixels = laid.transpose(1, 2, 0)
    else:
        laid = pixels = np.empty((*canvas, 3), table.dtype)
    (top, left), (height, width) = at, size
    bottom, right = top + height, left + width
    if size != canvas:
        for beside in pixels[:top], pixels[bottom:], pixels[top:bottom, :left], pixels[top:bottom, right:]:
            beside[:] = table[0, list(pad), [0, 1, 2]][order]
    pixels[top:bottom, left:right] = values[:, :, order]
    return laid


def lay_whole(image: Image, spec: InputSpec, size: SizeSpec) -> npt.NDArray[Any]:
    """Return the network's input for an image (H, W, 3): (3, H, W) or (H, W, 3), as ``spec`` says."""
    placement = Placement.of(image, size)
    return lay(image, placement.crop, placement.canvas, spec, size.pad)


def scale(image: Image, shape: tuple[int, int]) -> Image:
    """Scale an image (H, W, 3) to (height, width): by area where it shrinks, bilinear where it grows.

    If one side shrinks and the other grows, it shrinks first: OpenCV averages areas only if both do.
    """
    if image.shape[:2] == shape:
        return image
    smaller = (min(image.shape[0], shape[0]), min(image.shape[1], shape[1]))
    if smaller not in (image.shape[:2], shape):
        return scale(scale(image, smaller), shape)
    shrinks = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=method), np.uint8)


@functools.lru_cache(maxsize=16)
def _values(spec: InputSpec) -> npt.NDArray[Any]:
    """Return the network's input value for each byte of each colour: (1, 256, 3) of the input's type."""
    values = np.repeat(np.arange(256, dtype=np.float64)[None, :, None], 3, axis=2)
    if spec.mean is not None and spec.std is not None:
        values = (values / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    return frozen(values.astype(spec.dtype))
