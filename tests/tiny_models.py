# SPDX-License-Identifier: MIT
"""Tiny networks with known answers: segmentation networks name the colour of a pixel, an encoder averages it.

Classes 1..4 are red, green, blue and dark (grey below a quarter); class 0, "nothing", always scores far above
the others and is masked by the logits model's card, which exposes a Segmenter that forgets the mask. The
labels model never gives class 0.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["nothing", "red", "green", "blue", "dark"]
NOTHING, RED, GREEN, BLUE, DARK = range(5)
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]

# score = WEIGHTS @ (r, g, b) + BIAS for r, g, b in [0, 1]; "dark" is constant, and wins unless a colour
# stands out
WEIGHTS = np.array([[0, 0, 0], [2, -1, -1], [-1, 2, -1], [-1, -1, 2], [0, 0, 0]], np.float32)
BIAS = np.array([9, 0, 0, 0, 0.25], np.float32)


def colour_scores(rgb: np.ndarray) -> np.ndarray:
    """Scores (..., 5) float64 of colours (..., 3) in 0..255: what both networks compute per pixel."""
    return (rgb.astype(np.float64) / 255.0) @ WEIGHTS.T.astype(np.float64) + BIAS


def tiny_model(
    path: Path,
    kind: Literal["labels", "logits"] = "labels",
    *,
    batch: str | int | None = None,
    network: onnx.ModelProto | None = None,
    **changes: Any,
) -> Path:
    """Write the network of ``kind`` as ``path`` (.onnx) with its card beside it (.json); return ``path``.

    "logits": float32 NCHW in, fixed batch of 1, logits at stride 4 (align_corners), normalisation in the
    card. "labels": uint8 NHWC in, dynamic batch, uint8 labels (N, H, W) out, normalisation and argmax in
    the graph. ``batch`` is another batch size, or a text for any; ``network`` is written instead;
    ``changes`` replace fields at the top level of the card.
    """
    model = network or (logits_network(batch or 1) if kind == "logits" else labels_network(batch or "N"))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    card = card_of(path, kind) | changes
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def card_of(path: Path, kind: str) -> dict[str, Any]:
    """The card of the network of ``kind`` written at ``path``, as a dict."""
    common = {
        "format": 1,
        "name": f"tiny-{kind}",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "classes": CLASSES,
        "licence": "MIT",
        "source": "made for the tests",
    }
    if kind == "logits":
        return common | {
            "masked": [NOTHING],
            "void": None,
            "input": {"layout": "NCHW", "dtype": "float32", "colour": "RGB", "mean": MEAN, "std": STD},
            "size": {"rule": "long_side", "length": 65, "multiple": 16, "offset": 1},
            "output": {"kind": "logits", "align_corners": True},
        }
    return common | {
        "masked": [],
        "void": None,
        "input": {"layout": "NHWC", "dtype": "uint8", "colour": "RGB", "mean": None, "std": None},
        "size": {"rule": "long_side", "length": 64, "multiple": 16, "offset": 0},
        "output": {"kind": "labels"},
    }


PROJECTION = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, -1, 2]], np.float32)
SHIFT = np.array([0, 0.25, 0, -1], np.float32)
DIM = len(PROJECTION)


def cell_vectors(rgb: np.ndarray) -> np.ndarray:
    """Vectors (..., 4) float64 of mean colours (..., 3) in 0..255: what the tiny encoder gives for a cell."""
    return (rgb.astype(np.float64) / 255.0) @ PROJECTION.T.astype(np.float64) + SHIFT


def tiny_encoder(
    path: Path,
    *,
    size: dict[str, Any] | None = None,
    batch: str | int = "N",
    stride: int = 8,
    network: onnx.ModelProto | None = None,
    **changes: Any,
) -> Path:
    """Write an encoder as ``path`` (.onnx) with its card beside it (.json); return ``path``.

    float32 NCHW in, normalised by the card. A cell is ``stride`` x ``stride`` pixels, its vector is
    ``cell_vectors`` of their mean colour. ``size`` is another size rule, ``network`` is written instead;
    ``changes`` replace fields at the top level of the card.
    """
    model = network or encoder_network(batch, stride)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    card = encoder_card(path) | ({"size": size} if size else {}) | changes
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def encoder_card(path: Path) -> dict[str, Any]:
    """The card of the tiny encoder written at ``path``, as a dict: photos squashed to 48 x 48."""
    return {
        "format": 1,
        "kind": "encoder",
        "name": "tiny-encoder",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {"layout": "NCHW", "dtype": "float32", "mean": MEAN, "std": STD},
        "size": {"rule": "squash", "length": 48},
        "output": "grid",
        "dim": DIM,
        "licence": "MIT",
        "source": "made for the tests",
    }


def encoder_network(batch: str | int = "N", stride: int = 8) -> onnx.ModelProto:
    """(N, 3, H, W) float32 normalised -> (N, 4, h, w) float32, the projected means of square cells."""
    weights = PROJECTION * np.array(STD, np.float32)
    bias = SHIFT + PROJECTION @ np.array(MEAN, np.float32)
    square = [stride, stride]
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=square, strides=square),
        helper.make_node("Conv", ["means", "w", "b"], ["grid"], kernel_shape=[1, 1]),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, "H", "W"]),
        helper.make_tensor_value_info("grid", TensorProto.FLOAT, [batch, DIM, "h", "w"]),
        {"w": weights[:, :, None, None], "b": bias},
    )


def logits_network(batch: str | int) -> onnx.ModelProto:
    """(1, 3, H, W) float32 normalised -> (1, 5, h, w) float32 scores of every fourth pixel."""
    weights = WEIGHTS * np.array(STD, np.float32)
    bias = BIAS + WEIGHTS @ np.array(MEAN, np.float32)
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["logits"], kernel_shape=[1, 1], strides=[4, 4])]
    return _model(
        nodes,
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, "H", "W"]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5, "h", "w"]),
        {"w": weights[:, :, None, None], "b": bias},
    )


def labels_network(batch: str | int) -> onnx.ModelProto:
    """(N, H, W, 3) uint8 -> (N, H, W) uint8 labels."""
    bias = BIAS.copy()
    bias[NOTHING] = -9.0  # channels cannot be masked in a graph that ends in an argmax
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w", "b"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("ArgMax", ["scores"], ["winner"], axis=1, keepdims=0),
        helper.make_node("Cast", ["winner"], ["labels"], to=TensorProto.UINT8),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, "H", "W", 3]),
        helper.make_tensor_value_info("labels", TensorProto.UINT8, [batch, "H", "W"]),
        {"w": WEIGHTS[:, :, None, None] / np.float32(255), "b": bias},
    )


def _model(
    nodes: list[onnx.NodeProto],
    image: onnx.ValueInfoProto,
    output: onnx.ValueInfoProto,
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
