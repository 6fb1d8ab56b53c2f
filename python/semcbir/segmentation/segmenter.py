# SPDX-License-Identifier: MIT
"""Segmenter: an ONNX model and its card -> label maps at the photos' own resolution."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir.errors import ModelError
from semcbir.models.card import ModelCard
from semcbir.models.registry import resolve
from semcbir.segmentation.canvas import Image, Placement, fill_batch
from semcbir.segmentation.labelling import nearest_labels, upsampled_argmax
from semcbir.segmentation.runtime import device_of, open_session
from semcbir.threads import check_threads

LabelMap = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_BATCH = {"cpu": 1, "cuda": 8}
"""Images per call of a model that takes any number; on the CPU a batch only costs memory."""


class Segmenter:
    """A semantic segmentation network: photos in, label maps out.

    ``model`` is an ``.onnx`` file with its card beside it, or the card. ``device``: "cuda" (DeviceError
    where it is not to be had), "cpu", or "auto" (CUDA where the session really gets it, else the CPU).
    ``threads``: the CPU threads of one call, None for all usable ones. Several threads may call one
    Segmenter at the same time.

    Attributes: ``card``; ``model_path`` of the ONNX file; ``device`` really used, "cuda" or "cpu";
    ``providers`` of onnxruntime, in order; ``n_classes``; ``label_dtype``; ``batch_size``, the most images
    that go through at once.

    ModelError where the model or its card is missing, unusable, or the two do not fit.
    """

    def __init__(
        self, model: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None
    ) -> None:
        threads = check_threads(threads)
        self.model_path: Path
        self.card: ModelCard
        self.model_path, self.card = resolve(model)
        self.card.check_file(self.model_path)
        self._session = open_session(self.model_path, device, threads)
        self.providers: list[str] = self._session.get_providers()
        self.device = device_of(self._session)
        self.n_classes = self.card.n_classes
        self.label_dtype = self.card.label_dtype
        self._input, fixed_batch = _check_input(self._session.get_inputs(), self.card, self.model_path)
        self._output = _check_output(self._session.get_outputs(), self.card, self.model_path)
        self._fixed_batch = fixed_batch
        self.batch_size = fixed_batch or _BATCH[self.device]

    def __repr__(self) -> str:
        return f"Segmenter({str(self.model_path)!r}, device={self.device!r}, classes={self.n_classes})"

    def segment(self, images: Sequence[Image] | npt.NDArray[np.uint8]) -> list[LabelMap]:
        """Label RGB uint8 images (H, W, 3): maps (H, W) of ``label_dtype`` at each image's own resolution.

        Images of one canvas size go through together, at most ``batch_size`` at once. A label is below
        ``n_classes`` or the card's ``void``. TypeError or ValueError for anything but such images, ModelError
        where the network fails on them or gives what its card does not say.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            raise TypeError("images: expected a sequence of images, got one image; pass [image]")
        checked = [_check_image(number, image) for number, image in enumerate(images)]
        placements = [Placement.of(image, self.card.size) for image in checked]
        label_maps: dict[int, LabelMap] = {}
        for numbers in _batches([placement.canvas for placement in placements], self.batch_size):
            batch = [placements[number] for number in numbers]
            outputs = self._run([checked[number] for number in numbers], batch)
            for number, placement, output in zip(numbers, batch, outputs, strict=False):
                label_maps[number] = self._label_map(output, placement)
        return [label_maps[number] for number in range(len(checked))]

    def _run(self, images: Sequence[Image], placements: Sequence[Placement]) -> npt.NDArray[Any]:
        """The network's output for images of one canvas size: (N, C, h, w) scores or (N, h, w) labels."""
        batch = fill_batch(images, placements, self.card.input, self.card.size, self._fixed_batch)
        try:
            (output,) = self._session.run([self._output], {self._input: batch})
        except MemoryError:
            raise
        except Exception as error:
            raise self._failure(f"failed on an input of shape {batch.shape}: {error}") from error
        if self.card.output.kind == "labels" and output.ndim == 4 and output.shape[1] == 1:
            output = output[:, 0]
        n_channels = (self.n_classes,) if self.card.output.kind == "logits" else ()
        if output.ndim != 3 + len(n_channels) or output.shape[:-2] != (len(batch), *n_channels):
            expected = ", ".join(map(str, (len(batch), *n_channels, "h", "w")))
            raise self._failure(f"expected {self.card.output.kind} of shape ({expected}), got {output.shape}")
        return np.asarray(output)

    def _label_map(self, output: npt.NDArray[Any], placement: Placement) -> LabelMap:
        """Make the label map of one image from its part of the output, (C, h, w) or (h, w)."""
        rows, columns = placement.positions(
            (output.shape[-2], output.shape[-1]), align_corners=self.card.output.align_corners
        )
        if self.card.output.kind == "labels":
            labels = nearest_labels(output, rows, columns)
            self._check_labels(labels)
        else:
            try:
                labels = upsampled_argmax(
                    output.astype(np.float32, copy=False), rows, columns, self.card.masked
                )
            except ValueError as error:
                raise self._failure(str(error)) from None
        label_map: LabelMap = labels.astype(self.label_dtype, copy=False)
        return label_map

    def _check_labels(self, labels: npt.NDArray[Any]) -> None:
        if labels.max() < self.n_classes and labels.min() >= 0:
            return
        wrong = (labels < 0) | (labels >= self.n_classes)
        if self.card.void is not None:
            wrong &= labels != self.card.void
        if wrong.any():
            raise self._failure(f"gave label {labels[wrong][0]}, the card has {self.n_classes} classes")

    def _failure(self, message: str) -> ModelError:
        return ModelError(f"{self.model_path}: {message}")


def _check_image(number: int, image: Any) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        came = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"image {number}: expected an array of uint8, got {came}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image {number}: expected shape (H, W, 3), none of them 0, got {image.shape}")
    return np.ascontiguousarray(image)


def _batches(canvases: Sequence[tuple[int, int]], size: int) -> Iterator[list[int]]:
    """Numbers of images of one canvas size, at most ``size`` at a time."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, canvas in enumerate(canvases):
        groups.setdefault(canvas, []).append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]


def _check_input(inputs: Sequence[Any], card: ModelCard, path: Path) -> tuple[str, int]:
    """Name of the graph's input and its fixed batch size (0: any); ModelError where the card does not fit."""
    if len(inputs) != 1:
        raise ModelError(f"{path}: expected a graph with one input, got {len(inputs)}")
    name, shape, kind = inputs[0].name, inputs[0].shape, inputs[0].type
    expected = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}[card.input.dtype]
    if kind != expected:
        raise ModelError(f"{path}: the card says its input is {card.input.dtype}, the graph takes {kind}")
    if len(shape) != 4:
        raise ModelError(f"{path}: expected an input of 4 dimensions ({card.input.layout}), got {shape}")
    axes = dict(zip(card.input.layout, shape, strict=True))
    if isinstance(axes["C"], int) and axes["C"] != 3:
        raise ModelError(f"{path}: expected 3 channels in the card's layout {card.input.layout}, got {shape}")
    sides = {*card.size.canvas(1, 1), *card.size.canvas(card.size.length, 1)}
    if any(isinstance(axes[axis], int) and sides != {axes[axis]} for axis in "HW"):
        raise ModelError(
            f"{path}: takes {shape} only, {card.input.layout} by its card, whose size rule makes other sides"
        )
    return name, axes["N"] if isinstance(axes["N"], int) else 0


def _check_output(outputs: Sequence[Any], card: ModelCard, path: Path) -> str:
    """Name of the output that the card means; ModelError where there is none or it does not fit."""
    by_name = {output.name: output for output in outputs}
    name = card.output.name or outputs[0].name
    if name not in by_name:
        raise ModelError(f"{path}: has no output {name!r}, only {', '.join(by_name)}")
    shape, kind = by_name[name].shape, by_name[name].type
    scores = kind in ("tensor(float)", "tensor(float16)", "tensor(double)")
    if scores != (card.output.kind == "logits"):
        raise ModelError(f"{path}: the card says {name!r} is {card.output.kind}, the graph gives {kind}")
    if scores and len(shape) == 4 and isinstance(shape[1], int) and shape[1] != card.n_classes:
        raise ModelError(f"{path}: gives {shape[1]} channels, its card has {card.n_classes} classes")
    return name
