# SPDX-License-Identifier: MIT
"""Half precision for CUDA, made from a float32 graph.

onnxruntime's own converter gives two nodes the same name if a tensor has two consumers that stay in float32,
as the scores have here; hence this one.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from semcbir.errors import ModelError
from semcbir.export.graph import NETWORK

LIMIT = float(np.finfo(np.float16).max)
_SUFFIX = "/half"


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with the network in half precision; normalisation and argmax stay in float32.

    Every softmax, and the nodes that use its result, also stay in float32: OCR's softmax runs over all
    pixels, and half precision is too coarse for shares of one in ten thousand. Raises ModelError if a weight
    is too large for half precision.
    """
    converted = copy.deepcopy(model)
    graph = converted.graph
    floats = _float_names(converted)
    inside = _inside(graph)
    halved = {name for node in graph.node if node.name in inside for name in node.output if name in floats}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    wanted = outputs | {name for node in graph.node if node.name not in inside for name in node.input}
    made: set[str] = set()
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.name not in inside:
            nodes.append(node)
            continue
        for place in _float_places(node, floats):
            name = node.input[place]
            if name not in halved | made:
                made.add(name)
                if name in weights:
                    graph.initializer.append(_half(weights[name], name + _SUFFIX))
                else:
                    nodes.append(_cast(name, name + _SUFFIX, TensorProto.FLOAT16))
            node.input[place] = name + _SUFFIX
        _halve_attributes(node)
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in floats:
                node.output[place] = name + _SUFFIX
                if name in wanted:
                    nodes.append(_cast(name + _SUFFIX, name, TensorProto.FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return converted


def with_largest_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` giving only the largest absolute value of each tensor that fp16 would convert.

    onnxruntime on the CPU computes half-precision graphs in float32, so an overflow would not show there.
    """
    probe = copy.deepcopy(model)
    graph = probe.graph
    floats, inside = _float_names(probe), _inside(graph)
    names = [name for node in graph.node if node.name in inside for name in node.output if name in floats]
    del graph.output[:]
    for number, name in enumerate(names):
        size, largest = f"size {number}", f"largest {number}"
        graph.node.append(helper.make_node("Abs", [name], [size]))
        graph.node.append(helper.make_node("ReduceMax", [size], [largest], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(largest, TensorProto.FLOAT, []))
    return probe


def _float_names(model: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    names = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            names.add(info.name)
    return names


def _inside(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that become half precision."""
    softmax = {node.output[0] for node in graph.node if node.op_type == "Softmax"}
    scales = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    return {
        node.name
        for node in graph.node
        if node.name.startswith(NETWORK)
        and not softmax.intersection([*node.input, *node.output])
        and not (node.op_type == "Constant" and scales.intersection(node.output))
    }


def _float_places(node: NodeProto, floats: set[str]) -> list[int]:
    """Return which inputs become half precision; the regions and scales of a Resize stay float32."""
    places = range(min(1, len(node.input))) if node.op_type == "Resize" else range(len(node.input))
    return [place for place in places if node.input[place] in floats]


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}/Cast", to=kind)


def _half(tensor: TensorProto, name: str) -> TensorProto:
    with np.errstate(over="ignore"):
        values = numpy_helper.to_array(tensor).astype(np.float16)
    if not np.isfinite(values).all():
        raise ModelError(f"{tensor.name}: a weight is beyond {LIMIT:g}, too large for half precision")
    return numpy_helper.from_array(values, name)


def _halve_attributes(node: NodeProto) -> None:
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_half(attribute.t, attribute.t.name))
