# SPDX-License-Identifier: MIT
"""Export a torch network as one ONNX graph from bytes to labels, with normalisation and argmax inside."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from semcbir.errors import ModelError
from semcbir.networks.specs import InputSpec

OPSET = 18
"""The opset with Resize-18: onnxruntime runs Resize-19 on CUDA only since 2026."""

IMAGE, SCORES, LABELS, GRID = "image", "scores", "labels", "grid"
INPUT = InputSpec(layout="NHWC", dtype="uint8")
"""What every exported graph takes."""
NETWORK = "/network/"
"""What the names of the network's own nodes begin with."""

Array = npt.NDArray[Any]
Axes: TypeAlias = "dict[str, dict[int, str]]"


@dataclass(frozen=True, kw_only=True)
class Wrapping:
    """What is put around a network.

    The network is given (x / 255 - mean) / std, RGB; its scores are upsampled to 1 / ``label_stride`` of the
    canvas, rounded up, before the argmax.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    align_corners: bool
    label_stride: int = 1


class Normalising(nn.Module):
    """A network with normalisation before it: ``run`` maps bytes (N, H, W, 3), RGB, to its output."""

    gain: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        centre, spread = (torch.tensor(value).view(3, 1, 1) for value in (mean, std))
        self.register_buffer("gain", 1 / (255 * spread))
        self.register_buffer("shift", -centre / spread)

    def run(self, image: Tensor) -> Tensor:
        """Return what the network gives for normalised images."""
        output: Tensor = self.network(image.permute(0, 3, 1, 2).float() * self.gain + self.shift)
        return output


class Wrapped(Normalising):
    """Maps bytes (N, H, W, 3), RGB, to the network's scores and to labels int64 (N, ceil(H/s), ceil(W/s))."""

    def __init__(self, network: nn.Module, wrapping: Wrapping) -> None:
        super().__init__(network, wrapping.mean, wrapping.std)
        self.wrapping = wrapping
        self.upsampled = True

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (scores, labels)."""
        scores = self.run(image)
        if not self.upsampled:
            return scores, scores.argmax(1)
        stride = self.wrapping.label_stride
        sides = [image.shape[1], image.shape[2]]
        if stride > 1:
            sides = [(side + stride - 1) // stride for side in sides]
        return scores, upsampled(scores, sides, self.wrapping).argmax(1)


def upsampled(scores: Tensor, sides: Any, wrapping: Wrapping) -> Tensor:
    """Interpolate scores to the height and width ``sides``, as ``wrapping`` says."""
    return functional.interpolate(scores, tuple(sides), mode="bilinear", align_corners=wrapping.align_corners)


def label_sides(height: int, width: int, stride: int) -> tuple[int, int]:
    """Return the height and width of the labels of a canvas."""
    return -(-height // stride), -(-width // stride)


class Reference:
    """The network in torch, in float32: graphs are compared with it."""

    def __init__(self, network: nn.Module, wrapping: Wrapping) -> None:
        self.network = network
        self.wrapping = wrapping

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[Array, Array]:
        """Return scores (N, C, h, w) float32 and labels int64 of a batch (N, H, W, 3)."""
        scores = run_torch(self.network, batch, self.wrapping.mean, self.wrapping.std)
        return scores, self.labels(scores, batch.shape[1:3])

    def labels(self, scores: Array, canvas: tuple[int, ...]) -> Array:
        """Return the labels that result from the ``scores`` of a canvas of (height, width)."""
        sides = label_sides(canvas[0], canvas[1], self.wrapping.label_stride)
        tensor = torch.from_numpy(np.ascontiguousarray(scores, np.float32))
        if tensor.shape[2:] != sides:
            tensor = upsampled(tensor, sides, self.wrapping)
        labels: Array = tensor.argmax(1).numpy()
        return labels


def run_torch(
    network: nn.Module, batch: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]
) -> Array:
    """Return what ``network`` gives in float32 for a batch (N, H, W, 3) of bytes, RGB, normalised before."""
    with torch.no_grad():
        normalised = (torch.from_numpy(batch).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
        output: Array = network(normalised.permute(0, 3, 1, 2).contiguous()).numpy()
    return output


def export_graph(network: nn.Module, wrapping: Wrapping, n_classes: int, folder: Path) -> onnx.ModelProto:
    """Export with both outputs, ``scores`` float32 (N, C, h, w) and ``labels`` uint8 or uint16 (N, H', W').

    The one input is ``image``: uint8 (N, H, W, 3), any N, H and W. ``folder`` is for a temporary file. Raises
    ModelError if the network does not give one tensor (N, ``n_classes``, h, w), or cannot be exported.
    """
    wrapped = Wrapped(network, wrapping).eval()
    example = torch.zeros(2, 67, 101, 3, dtype=torch.uint8)  # no side is a multiple of anything
    try:
        with torch.no_grad():
            scores = network(torch.zeros(2, 3, 67, 101))
    except Exception as error:
        raise ModelError(f"the model fails on images of 101 x 67: {error}") from error
    if not isinstance(scores, Tensor) or scores.ndim != 4 or scores.shape[:2] != (2, n_classes):
        came = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ModelError(f"the model must give scores (N, {n_classes}, h, w), got {came} for N = 2")
    wrapped.upsampled = tuple(scores.shape[2:]) != label_sides(67, 101, wrapping.label_stride)
    try:
        model = traced(wrapped, example, folder / "traced.onnx", _AXES)
    except Exception as error:
        raise ModelError(f"torch cannot export the model: {error}") from error
    return _tidied(model, n_classes, wrapping.label_stride)


_AXES = {
    IMAGE: {0: "N", 1: "H", 2: "W"},
    SCORES: {0: "N", 2: "h", 3: "w"},
    LABELS: {0: "N", 1: "y", 2: "x"},
}


def traced(wrapped: nn.Module, example: Tensor, file: Path, axes: Axes) -> onnx.ModelProto:
    """Export by tracing.

    ``axes``: for the input, then for the outputs, the names of the axes of any length. ``file`` is for the
    time being. torch's newer exporter gives the same numbers, but takes five to ten times as long on
    HRNet-W48 and needs onnxscript. This one is deprecated and warns about it at every call.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapped,
            (example,),
            str(file),
            opset_version=OPSET,
            dynamo=False,
            input_names=list(axes)[:1],
            output_names=list(axes)[1:],
            dynamic_axes=axes,
        )
    model = onnx.load(str(file))
    file.unlink()
    return model


def _tidied(model: onnx.ModelProto, n_classes: int, stride: int) -> onnx.ModelProto:
    """Name the sides of the outputs, and cast the labels to the smallest type that holds them."""
    graph = model.graph
    for node in graph.node:
        node.doc_string = ""
        for number, output in enumerate(node.output):
            if output == LABELS:
                node.output[number] = "winner"
    kind = TensorProto.UINT8 if n_classes <= 256 else TensorProto.UINT16
    graph.node.append(helper.make_node("Cast", ["winner"], [LABELS], "labels/Cast", to=kind))
    sides = ["H", "W"] if stride == 1 else ["label_H", "label_W"]
    outputs = [
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["N", n_classes, "h", "w"]),
        helper.make_tensor_value_info(LABELS, kind, ["N", *sides]),
    ]
    del graph.output[:], graph.value_info[:]
    graph.output.extend(outputs)
    del model.metadata_props[:]
    return model


def with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Return a copy of ``model`` that gives only ``names``, in that order, without unneeded nodes."""
    pruned = copy.deepcopy(model)
    graph = pruned.graph
    outputs = {output.name: output for output in graph.output}
    del graph.output[:]
    graph.output.extend(outputs[name] for name in names)
    needed = set(names)
    for node in reversed(list(graph.node)):
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            graph.node.remove(node)
    for tensor in list(graph.initializer):
        if tensor.name not in needed:
            graph.initializer.remove(tensor)
    return pruned
