# SPDX-License-Identifier: MIT
"""What methods offer that make one vector of an image's pixels, and learn nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from semcbir._validate import shown
from semcbir.baselines.descriptors import Floats
from semcbir.features.base import check_uint8
from semcbir.images.decode import ImageArray


@dataclass(frozen=True)
class PixelDescriptor(ABC):
    """A method that makes one vector of an image's pixels; frozen dataclasses of its parameters."""

    name: ClassVar[str]
    about: ClassVar[str]
    takes: ClassVar[Literal["pixels"]] = "pixels"

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of a vector."""

    def describe(self, image: ImageArray) -> Floats:
        """Return the vector of an RGB uint8 image (H, W, 3), of any size from 1 x 1: float32 (dim,).

        L2 between vectors is the ranking distance. TypeError or ValueError for anything but such an image,
        SemcbirError if a library is not installed.
        """
        return self._vector(checked_image("image", image))

    def describe_many(self, images: Iterable[ImageArray]) -> Floats:
        """Return the vectors of images, one after the other: float32 (n, dim); errors as above."""
        rows = [self._vector(image) for image in checked_images(images)]
        return np.array(rows, np.float32).reshape(len(rows), self.dim)

    @abstractmethod
    def _vector(self, image: ImageArray) -> Floats:
        """Return the vector of a checked image."""


def checked_images(images: Iterable[ImageArray]) -> Iterator[ImageArray]:
    """Yield each of several images, checked as by ``checked_image``; TypeError if they are not several."""
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise TypeError("images: expected several images, got one; pass [image]")
    try:
        items = iter(images)
    except TypeError:
        raise TypeError(f"images: expected images as arrays, got {shown(images)}") from None
    for number, image in enumerate(items):
        yield checked_image(f"images[{number}]", image)


def checked_image(name: str, image: ImageArray) -> ImageArray:
    """Return ``image``, C-contiguous; TypeError or ValueError unless it is RGB uint8 (H, W, 3)."""
    check_uint8(name, image, "an RGB image")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"{name}: expected an RGB image of shape (height, width, 3), got shape {image.shape}"
        )
    return np.ascontiguousarray(image)
