# SPDX-License-Identifier: MIT
"""Segmenter: an ONNX model and its card -> label maps at the photos' own resolution."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._validate import check_flag
from semcbir.inference.ahead import read_model
from semcbir.inference.canvas import Image, Placement
from semcbir.inference.photo_model import PhotoModel, check_images
from semcbir.networks.card import ModelCard, with_inference
from semcbir.networks.names import resolve
from semcbir.networks.specs import InferenceSpec
from semcbir.segmentation.averaging import Averager
from semcbir.segmentation.labelling import nearest_labels, upsampled_argmax
from semcbir.segmentation.network import SegmentationNetwork
from semcbir.threads import check_threads

LabelMap = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class Segmenter(PhotoModel):
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
        self.model_path: Path
        self.card: ModelCard
        self.model_path, card = resolve(model)
        self.card = with_inference(card, inference)
        file = read_model(self.model_path, self.card)
        network = SegmentationNetwork(file, self.card, device, threads, tune=tune)
        settings = {"model": model, "device": device, "threads": threads, "inference": inference}
        super().__init__(network, self.card, settings | {"tune": tune})
        self._averager = Averager(network) if self.card.inference else None
        self.n_classes = self.card.n_classes
        self.label_dtype = self.card.label_dtype

    @property
    def batches(self) -> bool:
        """Whether images should come in batches: on a GPU, unless each is averaged on its own."""
        return super().batches and self._averager is None

    @property
    def _channels(self) -> int:
        return len(self.card.classes) if self.card.output.kind == "logits" else 1

    def __repr__(self) -> str:
        return f"Segmenter({str(self.model_path)!r}, device={self.device!r}, classes={self.n_classes})"

    def segment(self, images: Iterable[Image]) -> list[LabelMap]:
        """Label RGB uint8 images (H, W, 3): maps (H, W) of ``label_dtype`` at each image's own resolution.

        Images of one canvas size go through together, at most ``batch_size`` at once. A label is below
        ``n_classes`` or the card's ``void``. TypeError or ValueError for anything but such images, PhotoError
        (a ModelError) if the model fails on one of them or gives what its card does not say.
        """
        checked = check_images(images)
        if self._averager is not None:
            maps = (self._averager.label_map(image) for image in checked)
            return [labels.astype(self.label_dtype) for labels in maps]
        found = {number: self.label_map(checked[number], output) for number, output in self._outputs(checked)}
        return [found[number] for number in range(len(checked))]

    def try_blank(self) -> None:
        """Segment a small blank image; raises what that raises."""
        self.segment([np.zeros((24, 32, 3), np.uint8)])

    def label_map(self, image: Image, output: npt.NDArray[Any]) -> LabelMap:
        """Make an image's label map from the model's output for it, (C, h, w) or (h, w).

        The last step of ``segment``.
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
