# SPDX-License-Identifier: MIT
"""EncoderNetwork: canvases in, grids of vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from semcbir.errors import ModelError
from semcbir.inference.model_file import ModelFile
from semcbir.inference.network import FLOATS, Network, output_named
from semcbir.networks.bounds import check_grid
from semcbir.networks.encoder_card import EncoderCard


class EncoderNetwork(Network):
    """An encoder's graph: ``run`` returns floats (N, D, h, w)."""

    def __init__(
        self, file: ModelFile, card: EncoderCard, device: str, threads: int, *, tune: bool = False
    ) -> None:
        self.card = card
        super().__init__(file, card, device, threads, sides=card.size.sides(), tune=tune)

    def _declared(self, outputs: Sequence[Any]) -> str:
        path, dim = self.path, self.card.dim
        output = output_named(outputs, self.card.output, path)
        name: str = output.name
        if output.type not in FLOATS:
            raise ModelError(
                f"{path}: expected {name!r} to be a grid of floats, the graph gives {output.type}"
            )
        if output.shape and len(output.shape) != 4:  # empty: the graph leaves it open
            raise ModelError(f"{path}: expected {name!r} to be of shape (N, {dim}, h, w), got {output.shape}")
        match output.shape:
            case [_, int(given), _, _] if given != dim:
                raise ModelError(
                    f"{path}: gives vectors of length {given}, its card says dim {dim}; a "
                    f"projection to {dim} numbers belongs into the graph"
                )
            case [_, _, int(height), int(width)]:
                try:
                    check_grid("output", dim, height, width)
                except ValueError as error:
                    raise ModelError(f"{path}: {error}") from None
        return name

    def _checked(self, output: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        dim = self.card.dim
        if output.ndim != 4 or output.shape[:2] != (len(rows), dim):
            raise self.failure(f"expected a grid of shape ({len(rows)}, {dim}, h, w), got {output.shape}")
        try:
            check_grid("output", dim, output.shape[2], output.shape[3])
        except ValueError as error:
            raise self.failure(f"gave a grid of the wrong size: {error}") from None
        return output
