# SPDX-License-Identifier: MIT
"""Classifier: what an image classification network knows about a photo, as one vector."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from semcbir._files import expanded
from semcbir._validate import check_choice, check_flag, check_instance
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.embedding_network import EmbeddingNetwork
from semcbir.baselines.normalising import unit
from semcbir.baselines.pixels import checked_image, checked_images
from semcbir.inference.ahead import read_model
from semcbir.inference.canvas import Image, Placement
from semcbir.inference.photo_model import PhotoModel
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.names import resolve_encoder
from semcbir.threads import check_threads

Metric = Literal["l2", "cosine"]
METRICS: tuple[Metric, ...] = get_args(Metric)
_AT_ONCE = 32
"""The most images that are held at a time where the model takes one after the other."""


class Classifier(PhotoModel):
    """A network as a baseline: photos in, one vector each, as of a classifier's layer before the classes.

    ``model`` is as for an Encoder: an ``.onnx`` file with its card beside it, the card, or a name of
    ``semcbir models list``. ``card``: the file's card, in the place of one beside it. It is that of an
    encoder, but the output it names may also be a vector for each photo, floats (N, dim); of a grid (N, dim,
    h, w) the mean over the cells in which the photo lies counts, which is global average pooling.

    ``metric``: what the network's vectors are compared by, "l2" (as the paper does) or "cosine": vectors get
    the length 1, and L2 then ranks like cosine. ``device``, ``threads``, ``tune`` are as for an Encoder.

    Attributes: ``card``, ``model_path``, ``metric``, ``dim``, ``device``, ``providers``, ``tuned``.
    ModelError if the model or its card is missing or unusable, or the two do not fit.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        metric: Metric = "l2",
        *,
        card: EncoderCard | None = None,
        device: str = "auto",
        threads: int | None = None,
        tune: bool = False,
    ) -> None:
        threads = check_threads(threads)
        check_flag("tune", tune)
        self.metric = check_choice("metric", metric, METRICS)
        self.model_path: Path
        self.card: EncoderCard
        if card is None:
            self.model_path, self.card = resolve_encoder(model, argument="model")
        else:
            check_instance("card", card, EncoderCard, "an EncoderCard or None")
            self.model_path, self.card = Path(expanded(model, "model")), card
        file = read_model(self.model_path, self.card)
        network = EmbeddingNetwork(file, self.card, device, threads, tune=tune)
        settings = {"model": model, "metric": metric, "card": card}
        super().__init__(network, self.card, settings | {"device": device, "threads": threads, "tune": tune})
        self.dim = self.card.dim

    @property
    def _channels(self) -> int:
        return self.dim

    def __repr__(self) -> str:
        model, metric = str(self.model_path), self.metric
        return f"Classifier({model!r}, metric={metric!r}, device={self.device!r}, dim={self.dim})"

    def describe(self, image: Image) -> Floats:
        """Return the vector of an RGB uint8 image (H, W, 3): float32 (dim,); errors as below."""
        vector: Floats = self._vectors([checked_image("image", image)])[0]
        return vector

    def describe_many(self, images: Iterable[Image]) -> Floats:
        """Return the vectors of RGB uint8 images (H, W, 3), in their order: float32 (n, dim).

        L2 between them is the ranking distance. Few images are held at a time, so they may come from a
        generator. TypeError or ValueError for anything but such images, PhotoError (a ModelError) if the
        network fails on one of them, or gives what its card does not say or numbers that are not finite.
        """
        parts = self._parts(checked_images(images))
        return np.concatenate([np.empty((0, self.dim), np.float32), *parts])

    def try_blank(self) -> None:
        """Describe a small blank image; raises what that raises."""
        self.describe(np.zeros((24, 32, 3), np.uint8))

    def _parts(self, images: Iterator[Image]) -> Iterator[Floats]:
        while part := list(itertools.islice(images, max(_AT_ONCE, self.batch_size))):
            yield self._vectors(part)

    def _vectors(self, images: Sequence[Image]) -> Floats:
        vectors = np.empty((len(images), self.dim))
        for number, output in self._outputs(images):
            vectors[number] = self._pooled(images[number], output)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite in float32 is refused
            found = (unit(vectors) if self.metric == "cosine" else vectors).astype(np.float32)
        if not np.isfinite(found).all():
            raise self._network.failure("gave a vector that is not finite")
        return found

    def _pooled(self, image: Image, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the mean of the cells of ``output`` (D, h, w) in which the photo lies."""
        height, width = output.shape[1:]
        rows, columns = Placement.of(image, self.card.size).cells((height, width))
        pooled: npt.NDArray[np.float64] = output[:, : rows[-1] + 1, : columns[-1] + 1].mean(
            axis=(1, 2), dtype=np.float64
        )
        return pooled
