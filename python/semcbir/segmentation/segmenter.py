# SPDX-License-Identifier: MIT
"""Segmenter: an ONNX model and its card -> label maps at the photos' own resolution."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._validate import check_flag, check_many
from semcbir.errors import ModelError
from semcbir.inference.canvas import Image, Placement, lay_whole
from semcbir.inference.model_file import ModelFile
from semcbir.inference.network import Canvas, LateError, Network, PhotoError
from semcbir.networks.card import ModelCard, with_inference
from semcbir.networks.names import resolve
from semcbir.networks.specs import InferenceSpec
from semcbir.segmentation.averaging import Averager
from semcbir.segmentation.labelling import nearest_labels, upsampled_argmax
from semcbir.threads import check_threads

Output = npt.NDArray[Any] | PhotoError | MemoryError
"""Scores (C, h, w) or labels (h, w) of a photo, or why there are none."""

LabelMap = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class Segmenter:
    """A semantic segmentation model: photos in, label maps out.

    ``model`` is an ``.onnx`` file with its card beside it, the card, a name of ``semcbir models list``, or
    None for the model that ships with the package. ``device``: "cuda" (DeviceError if it is not available),
    "cpu", or "auto" (CUDA if the session really gets it, else the CPU). ``threads``: the CPU threads of one
    call, None for all usable ones. ``inference``: flips, scales, windows, other classes for a model that
    gives logits, as an InferenceSpec or the name of one of ``semcbir.networks.presets.PRESETS``; None leaves
    it to the card. ``tune``: expect images in batches; every call on CUDA then computes a whole batch, so
    that convolutions are planned once per canvas size. Several threads may call one Segmenter at the same
    time; with ``inference`` some may have to wait, because each image takes much memory.

    Attributes: ``card``, with the ``inference`` in force; ``model_path`` of the ONNX file; ``device`` really
    used, "cuda" or "cpu"; ``providers`` of onnxruntime, in order; ``tuned``, whether ``tune`` has an effect;
    ``n_classes``; ``label_dtype``.

    ModelError if the model or its card is missing or unusable, or the two do not fit; ValueError for
    settings that are unknown or that the model cannot follow.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        inference: InferenceSpec | str | None = None,
        tune: bool = False,
    ) -> None:
        threads = check_threads(threads)
        check_flag("tune", tune)
        self._settings = {"device": device, "threads": threads, "inference": inference, "tune": tune}
        self._model = model
        self.model_path: Path
        self.card: ModelCard
        self.model_path, card = resolve(model)
        self.card = with_inference(card, inference)
        file = ModelFile.read(self.model_path, self.card)
        self._network = Network(file, self.card, device, threads, tune=tune)
        self._averager = Averager(self._network) if self.card.inference else None
        self.providers = self._network.providers
        self.device = self._network.device
        self.tuned = self._network.tuned
        self.n_classes = self.card.n_classes
        self.label_dtype = self.card.label_dtype

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: where the model is and the settings; it is then loaded again."""
        return {"model": self._model, **self._settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def batch_size(self) -> int:
        """The most images, or windows of one image, that go through the model at once."""
        return self._network.batch_size

    @property
    def batches(self) -> bool:
        """Whether images should come in batches: on a GPU, unless each is averaged on its own."""
        return self.device == "cuda" and self._averager is None

    @property
    def output_bytes(self) -> int:
        """Bytes of the model's output for an image, roughly; before the first image an upper bound."""
        channels = len(self.card.classes) if self.card.output.kind == "logits" else 1
        height, width = self.card.size.canvas(self.card.size.length, self.card.size.length)
        return max(1, round(4 * channels * height * width * self._network.density))

    def __repr__(self) -> str:
        return f"Segmenter({str(self.model_path)!r}, device={self.device!r}, classes={self.n_classes})"

    def segment(self, images: Iterable[Image]) -> list[LabelMap]:
        """Label RGB uint8 images (H, W, 3): maps (H, W) of ``label_dtype`` at each image's own resolution.

        Images of one canvas size go through together, at most ``batch_size`` at once. A label is below
        ``n_classes`` or the card's ``void``. TypeError or ValueError for anything but such images, PhotoError
        (a ModelError) if the model fails on one of them or gives what its card does not say.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            raise TypeError("images: expected a sequence of images, got one image; pass [image]")
        many = check_many("images", images, "images as arrays")
        checked = [_check_image(number, image) for number, image in enumerate(many)]
        if self._averager is not None:
            maps = (self._averager.label_map(image) for image in checked)
            return [labels.astype(self.label_dtype) for labels in maps]
        label_maps: dict[int, LabelMap] = {}
        for numbers in self._batches(checked):
            outputs = self._network.run([self.lay(checked[number]) for number in numbers])
            for number, output in zip(numbers, outputs, strict=True):
                label_maps[number] = self.label_map(checked[number], output)
        return [label_maps[number] for number in range(len(checked))]

    def lay(self, image: Image) -> Canvas:
        """Lay an image on its canvas: the first third of ``segment``, for callers that batch themselves."""
        return lay_whole(image, self.card.input, self.card.size)

    def run(self, images: Sequence[Image], canvases: Sequence[Canvas]) -> list[Output]:
        """Send the canvases of ``images`` through the model, equal sizes together; return its outputs.

        An image that it fails on has the error in the place of an output.
        """
        found: dict[int, Output] = {}
        for numbers in self._batches(images):
            outputs = self._outputs([canvases[number] for number in numbers])
            found.update(zip(numbers, outputs, strict=True))
        return [found[number] for number in range(len(images))]

    def _outputs(self, canvases: Sequence[Canvas]) -> list[Output]:
        """Return the model's output for each canvas; where it fails on several, each is tried alone."""
        try:
            return list(self._network.run(canvases))
        except (PhotoError, MemoryError) as error:
            if len(canvases) == 1:
                return [error]
            return [output for canvas in canvases for output in self._outputs([canvas])]

    def label_map(self, image: Image, output: npt.NDArray[Any]) -> LabelMap:
        """Make an image's label map from the model's output for it, (C, h, w) or (h, w).

        The last third of ``segment``.
        """
        rows, columns = Placement.of(image, self.card.size).positions(
            (output.shape[-2], output.shape[-1]), align_corners=self.card.output.align_corners
        )
        if self.card.output.kind == "labels":
            labels = nearest_labels(output, rows, columns)
            self._check_labels(labels)
        else:
            scores = output.astype(np.float32, copy=False)
            try:
                labels = upsampled_argmax(scores, rows, columns, self.card.masked)
            except ValueError as error:
                raise self._network.failure(str(error)) from None
        label_map: LabelMap = labels.astype(self.label_dtype, copy=False)
        return label_map

    def _batches(self, images: Sequence[Image]) -> Iterator[list[int]]:
        """Yield numbers of images of one canvas size, at most ``batch_size`` at a time."""
        groups: dict[tuple[int, int], list[int]] = {}
        for number, image in enumerate(images):
            placement = Placement.of(image, self.card.size)
            groups.setdefault(placement.canvas, []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), self.batch_size):
                yield numbers[start : start + self.batch_size]

    def _check_labels(self, labels: npt.NDArray[Any]) -> None:
        if labels.max() < self.n_classes and labels.min() >= 0:
            return
        wrong = (labels < 0) | (labels >= self.n_classes)
        if self.card.void is not None:
            wrong &= labels != self.card.void
        if wrong.any():
            raise self._network.failure(
                f"gave label {labels[wrong][0]}, the card has {self.n_classes} classes"
            )


def blame(segmenter: Segmenter, error: PhotoError) -> PhotoError:
    """Return ``error``, that of a photo, or raise ModelError if the model fails on a blank image too."""
    if isinstance(error, LateError):
        return error  # a blank image might take as long; the network counts those
    try:
        segmenter.segment([np.zeros((24, 32, 3), np.uint8)])
    except PhotoError as other:
        raise ModelError(str(other)) from error
    return error


def _check_image(number: int, image: Any) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        came = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"images: image {number}: expected an array of uint8, got {came}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"images: image {number}: expected shape (H, W, 3) without a 0, got {image.shape}")
    return np.ascontiguousarray(image)
