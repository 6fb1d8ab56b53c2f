# SPDX-License-Identifier: MIT
"""Build the ONNX graph of an EfficientNet-Lite encoder: bytes of photos in, a grid of vectors out.

The bytes of the graph depend on the weights, the projection and ``GRAPH_VERSION`` alone: messages are filled
in directly, not by helpers that may add to them, and protobuf writes fields in the order of their numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    StringStringEntryProto,
    TensorProto,
    TensorShapeProto,
    TypeProto,
    ValueInfoProto,
)

from semcbir.networks.efficientnet_lite import (
    GRAPH_VERSION,
    GRID,
    HEAD,
    LICENCE,
    Layer,
    Variant,
    check_projection,
    layers,
    read_weights,
    variant_named,
)
from semcbir.networks.projection import Projection

OPSET, IR_VERSION = 17, 8
IMAGE = "image"
MIDDLE = 127.5
"""The network sees x / 127.5 - 1."""

Array = npt.NDArray[np.float64]


def build_encoder(name: str, projection: Projection | None = None) -> bytes:
    """Return the ONNX file of the EfficientNet-Lite variant ``name``, such as "efficientnet-lite0".

    Its input is uint8 (N, H, W, 3), RGB, of any size; its output float32 (N, D, h, w), h and w being H / 32
    and W / 32 rounded up, D the projection's, or 1280 for the feature map itself (after ReLU6).

    ValueError for another name, or a projection of vectors of another length. ModelError if the weights are
    missing or wrong, see ``efficientnet_lite.read_weights``.
    """
    variant = variant_named(name)
    check_projection(projection)
    return bytes(_model(variant, read_weights(variant), projection).SerializeToString())


def _model(
    variant: Variant, weights: dict[str, tuple[Array, Array]], projection: Projection | None
) -> ModelProto:
    dim = HEAD if projection is None else projection.dim
    graph = _Graph(variant.name)
    current = block = graph.centred(IMAGE)
    for layer in layers(variant):
        kernels, bias = weights[layer.name]
        if layer.name == "stem":
            # It is padded with zeros, which stand for the middle: the scale can go into it, the shift cannot.
            kernels = kernels / MIDDLE
        current = graph.convolution(layer, current, kernels, bias)
        if layer.shortcut:
            current = graph.node("Add", [current, block], f"{layer.name}/sum")
        if layer.ends_block:
            block = current
    if projection is not None:
        matrix, bias = projection.as_layer()
        last = Layer("projection", "", "", HEAD, dim, activated=False)
        graph.convolution(last, current, matrix[:, :, None, None], bias)
    proto = graph.proto
    proto.node[-1].output[0] = GRID
    proto.input.append(_value(IMAGE, TensorProto.UINT8, "N", "H", "W", 3))
    proto.output.append(_value(GRID, TensorProto.FLOAT, "N", dim, "h", "w"))
    facts = {"weights": variant.distribution, "licence of the weights": LICENCE}
    return ModelProto(
        ir_version=IR_VERSION,
        opset_import=[OperatorSetIdProto(version=OPSET)],
        producer_name="semcbir",
        producer_version=str(GRAPH_VERSION),
        graph=proto,
        metadata_props=[StringStringEntryProto(key=key, value=value) for key, value in facts.items()],
    )


class _Graph:
    """A graph as it grows; its methods add nodes and return the name of what the last one gives."""

    def __init__(self, name: str) -> None:
        self.proto = GraphProto(name=name)
        for bound, value in (("zero", 0.0), ("six", 6.0), ("middle", MIDDLE)):
            self.weights(bound, np.array(value))

    def centred(self, image: str) -> str:
        """Return x - 127.5, channels first; bytes are turned around faster than floats."""
        turned = self.node("Transpose", [image], "channels first", _attribute("perm", 0, 3, 1, 2))
        numbers = self.node("Cast", [turned], "float", _attribute("to", TensorProto.FLOAT, many=False))
        return self.node("Sub", [numbers, "middle"], "centred")

    def convolution(self, layer: Layer, source: str, kernels: Array, bias: Array) -> str:
        """Add a layer, with ReLU6 if it has one.

        Padding is TensorFlow's "SAME" (``SAME_UPPER`` in ONNX): as little as gives ceil(side / stride)
        outputs, the odd pixel at the end; so it depends on the side, which the graph leaves open.
        """
        inputs = [
            source,
            self.weights(f"{layer.name}/weights", kernels),
            self.weights(f"{layer.name}/bias", bias),
        ]
        attributes = [
            _attribute("group", layer.inputs if layer.depthwise else 1, many=False),
            _attribute("kernel_shape", layer.kernel, layer.kernel),
            _attribute("strides", layer.stride, layer.stride),
        ]
        if layer.kernel > 1:
            same = AttributeProto(name="auto_pad", type=AttributeProto.STRING, s=b"SAME_UPPER")
            attributes.insert(0, same)
        given = self.node("Conv", inputs, layer.name, *attributes)
        return self.node("Clip", [given, "zero", "six"], f"{layer.name}/relu6") if layer.activated else given

    def node(self, kind: str, inputs: list[str], name: str, *attributes: AttributeProto) -> str:
        """Add an operator that gives ``name``."""
        self.proto.node.append(
            NodeProto(op_type=kind, input=inputs, output=[name], name=name, attribute=attributes)
        )
        return name

    def weights(self, name: str, values: Array) -> str:
        """Add numbers, rounded to float32."""
        rounded = np.asarray(values, "<f4", order="C")
        self.proto.initializer.append(
            TensorProto(
                name=name, data_type=TensorProto.FLOAT, dims=rounded.shape, raw_data=rounded.tobytes()
            )
        )
        return name


def _attribute(name: str, *values: int, many: bool = True) -> AttributeProto:
    if many:
        return AttributeProto(name=name, type=AttributeProto.INTS, ints=values)
    return AttributeProto(name=name, type=AttributeProto.INT, i=values[0])


def _value(name: str, kind: int, *sides: int | str) -> ValueInfoProto:
    """Return the description of an input or output; a side that is text may have any length."""
    dimension = TensorShapeProto.Dimension
    dims = [
        dimension(dim_param=side) if isinstance(side, str) else dimension(dim_value=side) for side in sides
    ]
    tensor = TypeProto.Tensor(elem_type=kind, shape=TensorShapeProto(dim=dims))
    return ValueInfoProto(name=name, type=TypeProto(tensor_type=tensor))
