# SPDX-License-Identifier: MIT
"""Encoder: an ONNX encoder and its card -> a grid of vectors for each photo."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._columns import frozen
from semcbir._validate import check_flag
from semcbir.encoding.grid import Grid
from semcbir.encoding.network import EncoderNetwork
from semcbir.inference.ahead import read_model
from semcbir.inference.canvas import Image, Placement
from semcbir.inference.photo_model import PhotoModel, check_images
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.names import resolve_encoder
from semcbir.threads import check_threads


class Encoder(PhotoModel):
    """An encoder: photos in, grids of vectors out.

    ``model`` is an ``.onnx`` file with its card beside it, the card, the name of an encoder of ``semcbir
    models list``, or None for the default one. ``device``: "cuda" (DeviceError if it is not available),
    "cpu", or "auto" (CUDA if the session really gets it, else the CPU). ``threads``: the CPU threads of one
    call, None for all usable ones. ``tune``: expect images in batches; every call on CUDA then computes a
    whole batch, so that convolutions are planned once per canvas size. Several threads may call one Encoder
    at the same time.

    Attributes: ``card``; ``model_path`` of the ONNX file; ``device`` really used, "cuda" or "cpu";
    ``providers`` of onnxruntime, in order; ``tuned``, whether ``tune`` has an effect; ``dim``, the length D
    of a vector.

    ModelError if the encoder or its card is missing or unusable, the two do not fit, or it is a segmentation
    model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        tune: bool = False,
    ) -> None:
        threads = check_threads(threads)
        check_flag("tune", tune)
        self.model_path: Path
        self.card: EncoderCard
        self.model_path, self.card = resolve_encoder(model, argument="model")
        file = read_model(self.model_path, self.card)
        network = EncoderNetwork(file, self.card, device, threads, tune=tune)
        settings = {"model": model, "device": device, "threads": threads, "tune": tune}
        super().__init__(network, self.card, settings)
        self.dim = self.card.dim

    @property
    def _channels(self) -> int:
        return self.dim

    def __repr__(self) -> str:
        return f"Encoder({str(self.model_path)!r}, device={self.device!r}, dim={self.dim})"

    def encode(self, images: Iterable[Image]) -> list[Grid]:
        """Return the grid of each RGB uint8 image (H, W, 3), in their order.

        Images of one canvas size go through together, at most ``batch_size`` at once. TypeError or ValueError
        for anything but such images, PhotoError (a ModelError) if the encoder fails on one of them, or gives
        what its card does not say or numbers that are not finite.
        """
        checked = check_images(images)
        found = {number: self.grid(checked[number], output) for number, output in self._outputs(checked)}
        return [found[number] for number in range(len(checked))]

    def try_blank(self) -> None:
        """Encode a small blank image; raises what that raises."""
        self.encode([np.zeros((24, 32, 3), np.uint8)])

    def grid(self, image: Image, output: npt.NDArray[Any]) -> Grid:
        """Make an image's grid from the encoder's output for it, (D, h, w): the last step of ``encode``."""
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite and is refused
            cells = np.ascontiguousarray(output.transpose(1, 2, 0), np.float32)
        if not np.isfinite(cells).all():
            raise self._network.failure("gave descriptors that are not finite")
        placement = Placement.of(image, self.card.size)
        rows, columns = placement.cells((cells.shape[0], cells.shape[1]))
        return Grid._unchecked(frozen(cells), rows, columns)
