# SPDX-License-Identifier: MIT
"""EmbeddingNetwork: canvases in, a vector for each out, or a grid of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from semcbir.encoding.network import EncoderNetwork
from semcbir.errors import ModelError
from semcbir.inference.network import FLOATS, output_named


class EmbeddingNetwork(EncoderNetwork):
    """The graph of an encoder, or one that gives a vector (N, D) for each canvas: a grid of one cell here."""

    def _declared(self, outputs: Sequence[Any]) -> str:
        path, dim = self.path, self.card.dim
        output = output_named(outputs, self.card.output, path)
        if len(output.shape) != 2:
            return super()._declared(outputs)
        if output.type not in FLOATS:
            raise ModelError(
                f"{path}: expected {output.name!r} to be a vector of floats, the graph gives {output.type}"
            )
        given = output.shape[1]
        if isinstance(given, int) and given != dim:
            raise ModelError(f"{path}: gives vectors of length {given}, its card says dim {dim}")
        name: str = output.name
        return name

    def _checked(self, output: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if output.ndim == 2:
            output = output[:, :, None, None]
        return super()._checked(output, rows)
