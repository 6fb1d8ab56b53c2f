# SPDX-License-Identifier: MIT
"""8-bit integers for the CPU, made from a float32 graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from semcbir.errors import ModelError
from semcbir.export.graph import IMAGE, INPUT, SCORES
from semcbir.export.photos import photos_below
from semcbir.inference.canvas import lay_whole
from semcbir.networks.specs import SizeSpec

MAX_CALIBRATION = 128
QUANTIZED = ("Conv", "Relu")  # A ReLU right after a convolution is fused into it, and halves its range.


class Calibration:
    """Gives onnxruntime's calibration the canvases of at most 128 photos of a folder, one at a time.

    ``count`` is the number of photos read so far. onnxruntime keeps two numbers for each tensor and photo.
    """

    def __init__(self, folder: Path, size: SizeSpec) -> None:
        self.count = 0
        self._canvases = self._read(folder, size)

    def _read(self, folder: Path, size: SizeSpec) -> Iterator[npt.NDArray[np.uint8]]:
        for image in photos_below(folder, MAX_CALIBRATION, size.length):
            self.count += 1
            yield lay_whole(image, INPUT, size)[None]

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, or None after the last one."""
        canvas = next(self._canvases, None)
        return None if canvas is None else {IMAGE: canvas}


def to_int8(model: onnx.ModelProto, calibration: Calibration, folder: Path) -> onnx.ModelProto:
    """Return ``model`` with its convolutions in 8 bits (static, QDQ), calibrated on photos.

    Weights are signed, with a scale for each channel, and have 7 bits: processors without VNNI add up
    products of 8-bit numbers in 16 bits, which can overflow. Activations are unsigned, with the range seen in
    calibration. The convolution that gives the scores stays in float32, because its rounding would affect the
    argmax directly. ``folder`` is for temporary files. Raises ModelError if there is no photo, or if
    onnxruntime cannot quantise the model.
    """
    from onnxruntime import quantization

    source, target = folder / "float32.onnx", folder / "int8.onnx"
    prepared = copy.deepcopy(model)
    # Without this mark, onnxruntime configures the root logger and writes advice to it.
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})
    source.write_bytes(prepared.SerializeToString())
    try:
        quantization.quantize_static(
            str(source),
            str(target),
            calibration,
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=last_convolutions(model),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        quantized = onnx.load(str(target))
    except (ModelError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"onnxruntime cannot quantise the model: {error}") from error
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    del quantized.metadata_props[:]
    return quantized


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions that are followed by no other convolution before the scores."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [SCORES]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        if makers[name].op_type == "Conv":
            found[makers[name].name] = None
        else:
            waiting.extend(makers[name].input)
    return list(found)
