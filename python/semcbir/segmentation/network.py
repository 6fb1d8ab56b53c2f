# SPDX-License-Identifier: MIT
"""SegmentationNetwork: canvases in, scores or labels out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from semcbir.errors import ModelError
from semcbir.inference.model_file import ModelFile
from semcbir.inference.network import FLOATS, Network, output_named
from semcbir.networks.bounds import check_pixels, check_scores
from semcbir.networks.card import ModelCard
from semcbir.networks.specs import MAX_ASPECT, InferenceSpec

_TYPES = {
    "labels": tuple(f"tensor({sign}int{bits})" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "logits": FLOATS,
}
"""onnxruntime's names for what a graph may give."""


class SegmentationNetwork(Network):
    """A segmentation model's graph: ``run`` returns scores (N, C, h, w) or labels (N, h, w).

    A card with ``inference`` is not tuned: an image's windows and flips seldom fill a batch.
    """

    def __init__(
        self, file: ModelFile, card: ModelCard, device: str, threads: int, *, tune: bool = False
    ) -> None:
        self.card = card
        tune = tune and card.inference is None
        super().__init__(file, card, device, threads, sides=_sides(card), tune=tune)

    def _declared(self, outputs: Sequence[Any]) -> str:
        card, path = self.card, self.path
        output = output_named(outputs, card.output.name, path)
        name: str = output.name
        if output.type not in _TYPES[card.output.kind]:
            raise ModelError(
                f"{path}: the card says {name!r} is {card.output.kind}, the graph gives {output.type}"
            )
        channels = len(card.classes)
        match output.shape:
            case [_, int(given), _, _] if card.output.kind == "logits" and given != channels:
                raise ModelError(f"{path}: gives {given} channels, its card has {channels} classes")
            case [*_, int(height), int(width)]:
                try:
                    self._check_points(height, width)
                except ValueError as error:
                    raise ModelError(f"{path}: gives too much: {error}") from None
        return name

    def _checked(self, output: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.card.output.kind == "labels" and output.ndim == 4 and output.shape[1] == 1:
            output = output[:, 0]
        channels = (len(self.card.classes),) if self.card.output.kind == "logits" else ()
        if output.ndim != 3 + len(channels) or output.shape[:-2] != (len(rows), *channels):
            expected = ", ".join(map(str, (len(rows), *channels, "h", "w")))
            raise self.failure(f"expected {self.card.output.kind} of shape ({expected}), got {output.shape}")
        if 0 in output.shape:
            raise self.failure(f"gave nothing, {output.shape}, for an input of shape {rows.shape}")
        try:
            self._check_points(output.shape[-2], output.shape[-1])
        except ValueError as error:
            raise self.failure(f"gave too much: {error}") from None
        return output

    def _check_points(self, height: int, width: int) -> None:
        """Raise ValueError if an output of ``height`` x ``width`` is too large for a photo."""
        check_pixels("output", height, width)
        if self.card.output.kind == "logits":
            check_scores("output", len(self.card.classes), height * width)


def _sides(card: ModelCard) -> set[int]:
    """Return the shortest and the longest side of the graph's inputs."""
    spec = card.inference or InferenceSpec()
    if spec.crop:
        return {spec.crop}
    if spec.short_side:
        longest = MAX_ASPECT * spec.short_side
        sides = {1, *(max(1, round(longest * scale)) for scale in spec.scales)}
        return {card.size.canvas(side, 1)[0] for side in sides}
    return set.union(*(card.size.at(scale).sides() for scale in spec.scales))
