# SPDX-License-Identifier: MIT
"""PhotoModel: what models that photos go through share, whatever they give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._validate import check_many
from semcbir.errors import ModelError
from semcbir.inference.canvas import Image, Placement, lay_whole
from semcbir.inference.network import Canvas, LateError, Network, PhotoError
from semcbir.networks.card_file import Card

Output = npt.NDArray[Any] | PhotoError | MemoryError
"""A model's output for a photo, (..., h, w), or why there is none."""


class PhotoModel(ABC):
    """A network with its card: photos are laid on canvases, equal ones go through together.

    ``settings`` are the arguments that make the same model again, where it is pickled.
    """

    def __init__(self, network: Network, card: Card, settings: dict[str, Any]) -> None:
        self._network = network
        self._card = card
        self._settings = settings
        self.providers = network.providers
        self.device = network.device
        self.tuned = network.tuned

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: where the model is and the settings; it is then loaded again."""
        return self._settings

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def batch_size(self) -> int:
        """The most images, or windows of one image, that go through the model at once."""
        return self._network.batch_size

    @property
    def batches(self) -> bool:
        """Whether images should come in batches: on a GPU."""
        return self.device == "cuda"

    @property
    def output_bytes(self) -> int:
        """Bytes of the model's output for an image, roughly; before the first image an upper bound."""
        size = self._card.size
        height, width = size.canvas(size.length, size.length)
        return max(1, round(4 * self._channels * height * width * self._network.density))

    @property
    @abstractmethod
    def _channels(self) -> int:
        """Numbers in a point of the output."""

    @abstractmethod
    def try_blank(self) -> None:
        """Send a small blank image all the way; raises what that raises."""

    def lay(self, image: Image) -> Canvas:
        """Lay an image on its canvas: the first step, for callers that batch themselves."""
        return lay_whole(image, self._card.input, self._card.size)

    def run(self, images: Sequence[Image], canvases: Sequence[Canvas]) -> list[Output]:
        """Send the canvases of ``images`` through the model, equal sizes together; return its outputs.

        An image that it fails on has the error in the place of an output.
        """
        found: dict[int, Output] = {}
        for numbers in self._batches(images):
            outputs = self._network.run_each([canvases[number] for number in numbers])
            found.update(zip(numbers, outputs, strict=True))
        return [found[number] for number in range(len(images))]

    def _outputs(self, images: Sequence[Image]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield the number of each of ``images`` and the model's output for it, batch by batch."""
        for numbers in self._batches(images):
            yield from zip(
                numbers, self._network.run([self.lay(images[number]) for number in numbers]), strict=True
            )

    def _batches(self, images: Sequence[Image]) -> Iterator[list[int]]:
        """Yield numbers of images of one canvas size, at most ``batch_size`` at a time."""
        groups: dict[tuple[int, int], list[int]] = {}
        for number, image in enumerate(images):
            groups.setdefault(Placement.of(image, self._card.size).canvas, []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), self.batch_size):
                yield numbers[start : start + self.batch_size]


def check_images(images: Iterable[Image]) -> list[Image]:
    """Return ``images`` if they are RGB uint8 arrays (H, W, 3); TypeError or ValueError if not."""
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise TypeError("images: expected a sequence of images, got one image; pass [image]")
    many = check_many("images", images, "images as arrays")
    return [_check_image(number, image) for number, image in enumerate(many)]


def _check_image(number: int, image: Any) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        came = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"images: image {number}: expected an array of uint8, got {came}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"images: image {number}: expected shape (H, W, 3) without a 0, got {image.shape}")
    return np.ascontiguousarray(image)


def blame(model: PhotoModel, error: PhotoError) -> PhotoError:
    """Return ``error``, that of a photo, or raise ModelError if the model fails on a blank image too."""
    if isinstance(error, LateError):
        return error  # a blank image might take as long; the network counts those
    try:
        model.try_blank()
    except PhotoError as other:
        raise ModelError(str(other)) from error
    return error
