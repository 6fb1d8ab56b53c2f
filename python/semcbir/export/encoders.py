# SPDX-License-Identifier: MIT
"""The steps of an encoder's export: graph, comparison with torch, half precision, card, files in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from semcbir._files import file_sha256
from semcbir.errors import ModelError
from semcbir.export import cards, verify
from semcbir.export.fp16 import to_fp16
from semcbir.export.graph import GRID, IMAGE, INPUT, Array, Normalising, run_torch, traced
from semcbir.export.options import ExportOptions
from semcbir.export.photos import Image, pictures
from semcbir.export.workshop import put_in_place
from semcbir.inference.canvas import lay_whole
from semcbir.networks.draft import EncoderDraft
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.specs import Precision

MAX_DIFFERENCE = 1e-3
"""How far a number may be from torch's, in parts of the largest of its photo."""
MAX_HALF_DIFFERENCE = 0.05
"""The same for half precision, which has 11 bits for every number of the way."""
_AXES = {IMAGE: {0: "N"}, GRID: {0: "N"}}


class WrappedEncoder(Normalising):
    """Maps bytes (N, H, W, 3), RGB, to the encoder's grid."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the grid, (N, dim, h, w)."""
        return self.run(image)


def make_encoder(
    network: nn.Module, draft: EncoderDraft, target: Path, folder: Path, options: ExportOptions
) -> EncoderCard:
    """Make and measure the graph in ``folder``, and put it and its card in place; see ``export_encoder``."""
    step = options.on_step
    cards.encoder_card_of(
        draft, draft.measured, target.name
    )  # refuse what a card cannot say, before the work
    network = network.eval()
    chosen = pictures(None if options.photos is None else Path(options.photos), draft.size)
    step("exporting the encoder")
    model = encoder_graph(network, draft, folder)
    step(f"comparing it with torch on {len(chosen.images)} pictures")
    inputs = _inputs(chosen.images, draft)
    grids = _expected(network, inputs, draft)
    sizes = verify.size_words(inputs)
    measured = cards.conditions(chosen.what, sizes, options.precision) | {
        "numbers": sum(grid.size for grid in grids),
        "fp32_difference": _difference(model, inputs, grids, folder),
    }
    if options.precision == "fp16":
        step("converting it to half precision, and comparing that with torch")
        model, found = _halved(model, inputs, grids, folder)
        measured |= found
    card = cards.encoder_card_of(draft, dict(draft.measured) | {"export": measured}, target.name)
    cards.sign(model, card)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString(deterministic=True))
    step("running the finished file")
    _difference(file, inputs, grids, folder, precision=options.precision)
    step(f"writing {target}")
    return put_in_place(file, replace(card, sha256=file_sha256(file)), target)


def encoder_graph(network: nn.Module, draft: EncoderDraft, folder: Path) -> onnx.ModelProto:
    """Export ``network``: uint8 ``image`` (N, side, side, 3) to float32 ``grid`` (N, dim, h, w), any N.

    ``folder`` is for a temporary file. Raises ModelError if the network does not give one tensor (N, dim, h,
    w), or cannot be exported.
    """
    side, dim = draft.size.length, draft.dim
    try:
        with torch.no_grad():
            grid = network(torch.zeros(2, 3, side, side))
    except Exception as error:
        raise ModelError(f"the encoder fails on images of {side} x {side}: {error}") from error
    if not isinstance(grid, Tensor) or grid.ndim != 4 or grid.shape[:2] != (2, dim):
        came = tuple(grid.shape) if isinstance(grid, Tensor) else type(grid).__name__
        raise ModelError(f"the encoder must give a grid (N, {dim}, h, w), got {came} for N = 2")
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    try:
        wrapped = WrappedEncoder(network, draft.mean, draft.std).eval()
        model = traced(wrapped, example, folder / "traced.onnx", _AXES)
    except Exception as error:
        raise ModelError(f"torch cannot export the encoder: {error}") from error
    return _tidied(model, ["N", dim, *grid.shape[2:]])


def _tidied(model: onnx.ModelProto, shape: list[str | int]) -> onnx.ModelProto:
    """Declare the output's shape, and drop what depends on where the export ran."""
    for node in model.graph.node:
        node.doc_string = ""
    del model.graph.output[:], model.graph.value_info[:], model.metadata_props[:]
    model.graph.output.append(helper.make_tensor_value_info(GRID, TensorProto.FLOAT, shape))
    return model


def _halved(
    model: onnx.ModelProto, inputs: Sequence[Image], grids: Sequence[Array], folder: Path
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return the float32 graph in half precision, and what was measured; ModelError if that is too coarse."""
    half = to_fp16(model)
    largest = verify.check_range(model, inputs, folder)
    difference = _difference(half, inputs, grids, folder, precision="fp16")
    return half, {"fp32_largest_value": largest, "fp16_difference": difference}


def _inputs(images: Sequence[Image], draft: EncoderDraft) -> list[Image]:
    """Return inputs (N, H, W, 3): each image on its canvas, then two of them together."""
    laid = [lay_whole(image, INPUT, draft.size)[None] for image in images]
    return [*laid, np.concatenate([laid[0], laid[-1]])]


def _expected(network: nn.Module, inputs: Sequence[Image], draft: EncoderDraft) -> list[Array]:
    """Return what torch gives for ``inputs``; ModelError if that is not finite."""
    grids = [run_torch(network, batch, draft.mean, draft.std) for batch in inputs]
    if not all(np.isfinite(grid).all() for grid in grids):
        raise ModelError("the encoder in torch gives numbers that are not finite")
    return grids


def _difference(
    model: onnx.ModelProto | Path,
    inputs: Sequence[Image],
    grids: Sequence[Array],
    folder: Path,
    *,
    precision: Precision = "fp32",
) -> float:
    """Return the largest difference from ``grids``, torch's, in parts of the largest number of the photo.

    It has two digits. Raises ModelError if it is above ``MAX_DIFFERENCE`` (in fp16
    ``MAX_HALF_DIFFERENCE``), or if the graph gives something else.
    """
    limit = MAX_HALF_DIFFERENCE if precision == "fp16" else MAX_DIFFERENCE
    session = verify.open_cpu(model, folder)
    largest = 0.0
    for batch, expected in zip(inputs, grids, strict=True):
        (found,) = verify.run_graph(session, batch)
        verify.check_shape(found, expected, batch)
        if not np.isfinite(found).all():
            raise ModelError("the exported encoder gives numbers that are not finite; nothing was written")
        apart = np.abs(found - expected).max((1, 2, 3))
        size = np.abs(expected).max((1, 2, 3))
        largest = max(largest, float((apart / np.where(size > 0, size, 1)).max()))
        if largest > limit:
            raise ModelError(
                f"the exported encoder in {precision} differs from torch by {largest:.2g} of the largest "
                f"number, expected at most {limit:g}; nothing was written"
            )
    return float(f"{largest:.1e}")
