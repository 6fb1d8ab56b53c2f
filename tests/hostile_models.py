# SPDX-License-Identifier: MIT
"""Models and cards made to hurt: each must be refused with a ModelError, soon, and without a trace elsewhere.

Every graph is a change of the tiny labels network, every card a change of the tiny logits network's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tiny_models import CLASSES, labels_network

Change = Callable[[onnx.ModelProto], object]
MASS = 10**9


def external(name: str = "outside", location: str = "w.data", **fields: str) -> onnx.TensorProto:
    """A tensor of three bytes that are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[1, 1, 3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | fields).items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def added_to_the_image(graph: onnx.ModelProto, tensor: str) -> None:
    """Make the network see image + tensor."""
    graph.graph.node[0].input[0] = "seen"
    graph.graph.node.insert(0, helper.make_node("Add", ["image", tensor], ["seen"]))


def in_an_initializer(graph: onnx.ModelProto) -> None:
    graph.graph.initializer.append(external())
    added_to_the_image(graph, "outside")


def in_a_constant(graph: onnx.ModelProto) -> None:
    added_to_the_image(graph, "outside")
    graph.graph.node.insert(0, helper.make_node("Constant", [], ["outside"], value=external()))


def branch(inner: onnx.GraphProto | None = None) -> onnx.GraphProto:
    """A graph without inputs that gives an external tensor, or what ``inner``, a branch below it, gives."""
    if inner is None:
        nodes = [helper.make_node("Identity", ["outside"], ["inside"])]
        tensors = [external()]
    else:
        nodes = [helper.make_node("If", ["yes"], ["inside"], then_branch=inner, else_branch=inner)]
        tensors = []
    output = helper.make_tensor_value_info("inside", TensorProto.UINT8, [1, 1, 3])
    return helper.make_graph(nodes, "branch", [], [output], tensors)


def in_a_branch(graph: onnx.ModelProto, depth: int = 1) -> None:
    inner = branch()
    for _ in range(depth - 1):
        inner = branch(inner)
    added_to_the_image(graph, "chosen")
    graph.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    graph.graph.node.insert(
        0, helper.make_node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner)
    )


def in_a_function(graph: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["outside"], value=external())
    add = helper.make_node("Add", ["x", "outside"], ["y"])
    opset = [helper.make_opsetid("", 17)]
    graph.functions.append(helper.make_function("own", "Shift", ["x"], ["y"], [constant, add], opset))
    graph.opset_import.append(helper.make_opsetid("own", 1))
    graph.graph.node[0].input[0] = "seen"
    graph.graph.node.insert(0, helper.make_node("Shift", ["image"], ["seen"], domain="own"))


def in_a_default_of_a_function(graph: onnx.ModelProto) -> None:
    in_a_function(graph)
    (function,) = graph.functions
    value = function.node[0].attribute.pop()
    function.node[0].attribute.add(name="value", type=value.type, ref_attr_name="shift")
    value.name = "shift"
    function.attribute_proto.append(value)


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[1, 1, 3])


def plain(name: str, kind: int, values: list[int]) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, [len(values)], values)


def in_sparse_values(graph: onnx.ModelProto) -> None:
    indices = plain("indices", TensorProto.INT64, [0, 1, 2])
    graph.graph.sparse_initializer.append(sparse(external(), indices))


def in_sparse_indices(graph: onnx.ModelProto) -> None:
    values = plain("outside", TensorProto.UINT8, [1, 1, 1])
    graph.graph.sparse_initializer.append(sparse(values, external("indices")))


def in_a_sparse_constant(graph: onnx.ModelProto) -> None:
    value = sparse(external(""), plain("", TensorProto.INT64, [0, 1, 2]))
    graph.graph.node.insert(0, helper.make_node("Constant", [], ["outside"], sparse_value=value))


def in_a_list_attribute(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].attribute.append(helper.make_attribute("spare", [external(), external()]))


def in_a_list_of_graphs(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].attribute.append(helper.make_attribute("spare", [branch()]))


def in_training(graph: onnx.ModelProto) -> None:
    graph.training_info.add().algorithm.initializer.append(external())


def without_a_flag(graph: onnx.ModelProto) -> None:
    in_an_initializer(graph)
    graph.graph.initializer[-1].ClearField("data_location")


def flag_only(graph: onnx.ModelProto) -> None:
    in_an_initializer(graph)
    del graph.graph.initializer[-1].external_data[:]


def at_an_address(graph: onnx.ModelProto) -> None:
    """What onnxruntime itself uses for weights in its own memory."""
    graph.graph.initializer.append(external(location="*/_ORT_MEM_ADDR_/*", offset="4096", length="3"))
    added_to_the_image(graph, "outside")


EXTERNAL: dict[str, Change] = {
    "initializer": in_an_initializer,
    "constant": in_a_constant,
    "branch": in_a_branch,
    "branch of a branch": lambda graph: in_a_branch(graph, 3),
    "function": in_a_function,
    "default of a function": in_a_default_of_a_function,
    "sparse values": in_sparse_values,
    "sparse indices": in_sparse_indices,
    "sparse constant": in_a_sparse_constant,
    "list of tensors": in_a_list_attribute,
    "list of graphs": in_a_list_of_graphs,
    "training": in_training,
    "no flag": without_a_flag,
    "flag only": flag_only,
    "address": at_an_address,
    "absolute": lambda graph: graph.graph.initializer.append(external(location="/etc/hostname")),
    "above": lambda graph: graph.graph.initializer.append(external(location="../../w.data")),
}
"""Networks that keep a tensor in another file, by where it is."""


def varint(value: int, length: int = 1) -> bytes:
    """``value`` in protobuf's base 128, in ``length`` bytes at least."""
    parts = []
    while value >= 128 or len(parts) < length - 1:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes, length: int = 1) -> bytes:
    return varint(number << 3 | 2, length) + varint(len(content), length) + content


def in_other_words(length: int) -> bytes:
    """A network with an external initializer, its numbers written in more bytes than they need."""
    name, place = field(1, b"location", length), field(2, b"w.data", length)
    tensor = field(8, b"outside", length) + field(13, name + place, length)
    tensor += varint(14 << 3, length) + varint(2**32 + 1, length)
    return labels_network("N").SerializeToString() + field(7, field(5, tensor, length), length)


def deep(levels: int) -> bytes:
    """Graphs in attributes of nodes in graphs, and so on."""
    graph = b""
    for _ in range(levels):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


BYTES: dict[str, bytes] = {
    "empty": b"",
    "text": b"this is no network\n",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "long varint": b"\x3a" + b"\xff" * 10 + b"\x01",
    "longer than the file": b"\x3a\xff\xff\xff\xff\x07",
    "negative length": b"\x3a" + b"\xff" * 9 + b"\x01",
    "a group": b"\x3b\x3c",
    "unknown wire type": b"\x3f",
    "half a tag": b"\xba",
    "large tag": b"\xba\x80\x80\x80\x7f\x00",
    "cut": labels_network("N").SerializeToString()[:-40],
    "onnxruntime's format": b"\x1c\0\0\0ORTM" + bytes(64),
    "deep": deep(40),
    "very deep": deep(2000),
    "many parts": field(7, b"\x50\x01" * 2_200_000),
    "external, padded": in_other_words(3),
    "no graph": b"\x08\x08",
    "no nodes": field(7, b""),
}
"""Files that are no networks, or that only some parsers take for one."""


def fixed(graph: onnx.ModelProto, **axes: int) -> None:
    """Fix axes N, H, W of the input, and those called n, h, w of the output."""
    for value, names in ((graph.graph.input[0], "NHWC"), (graph.graph.output[0], "nhw")):
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name in axes:
                dim.dim_value = axes[name]


def expanded(graph: onnx.ModelProto, *shape: int) -> None:
    """Make the output ``shape``, which is known only when it has been computed from an image."""
    graph.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), "given"))
    graph.graph.node.append(helper.make_node("Cast", ["labels"], ["wide_labels"], to=TensorProto.INT64))
    graph.graph.node.append(helper.make_node("ReduceMax", ["wide_labels"], ["most"], keepdims=0))
    graph.graph.node.append(helper.make_node("Sub", ["most", "most"], ["nothing"]))
    graph.graph.node.append(helper.make_node("Add", ["given", "nothing"], ["size"]))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 2]), "axes"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 0]), "start"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1]), "stop"))
    graph.graph.node.append(helper.make_node("Slice", ["labels", "start", "stop", "axes"], ["one"]))
    graph.graph.node.append(helper.make_node("Expand", ["one", "size"], ["wide"]))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("wide", TensorProto.UINT8, list("nhw")))


def looping(
    graph: onnx.ModelProto, result: str = "labels", kind: int = TensorProto.UINT8, shape: str = "nhw"
) -> None:
    """Make the network loop for ever before it gives its ``result``."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Identity", ["had"], ["has"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("had", kind, list(shape)),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("has", kind, list(shape)),
        ],
    )
    graph.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    graph.graph.node.append(helper.make_node("Loop", ["", "yes", result], ["last"], body=body))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("last", kind, list(shape)))


def foreign(graph: onnx.ModelProto, domain: str) -> None:
    graph.graph.node[0].domain = domain
    graph.opset_import.append(helper.make_opsetid(domain, 1))


def typed(graph: onnx.ModelProto, kind: int) -> None:
    """Make the output of another type."""
    graph.graph.node.append(helper.make_node("Cast", ["labels"], ["cast"], to=kind))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("cast", kind, list("nhw")))


def a_sequence(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(helper.make_node("SequenceConstruct", ["labels"], ["all"]))
    graph.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("all", TensorProto.UINT8, None))


def functions(graph: onnx.ModelProto, calls: dict[str, list[str]]) -> None:
    """Functions of the model's own that call others one after another; the graph calls the first."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for name, others in calls.items():
        values = ["x", *(f"x{n}" for n in range(1, len(others))), "y"]
        nodes = [
            helper.make_node(other, [values[n]], [values[n + 1]], domain="" if other == "Identity" else "own")
            for n, other in enumerate(others)
        ]
        graph.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, opset))
    graph.opset_import.append(helper.make_opsetid("own", 1))
    graph.graph.node[0].input[0] = "seen"
    graph.graph.node.insert(0, helper.make_node(next(iter(calls)), ["image"], ["seen"], domain="own"))


def calling(depth: int, times: int) -> dict[str, list[str]]:
    """Functions of which each calls the next ``times`` times."""
    return {f"F{n}": [f"F{n + 1}"] * times for n in range(depth)} | {f"F{depth}": ["Identity"]}


GRAPHS: dict[str, Change] = {
    "batch of a milliard": lambda graph: fixed(graph, N=MASS),
    "batch of 2^40": lambda graph: fixed(graph, N=2**40),
    "another height": lambda graph: fixed(graph, H=MASS),
    "no channels": lambda graph: fixed(graph, C=0),
    "output of a milliard": lambda graph: fixed(graph, h=MASS, w=MASS),
    "output of 2^62": lambda graph: fixed(graph, h=2**31, w=2**31),
    "output computed large": lambda graph: expanded(graph, 1, 2**13, 2**12),
    "output computed many": lambda graph: expanded(graph, 2**20, 1, 1),
    "output computed empty": lambda graph: expanded(graph, 1, 0, 5),
    "output of text": lambda graph: typed(graph, TensorProto.STRING),
    "output of truth": lambda graph: typed(graph, TensorProto.BOOL),
    "output of floats": lambda graph: typed(graph, TensorProto.FLOAT),
    "output of a sequence": a_sequence,
    "foreign operator": lambda graph: foreign(graph, "com.example"),
    "almost known domain": lambda graph: foreign(graph, "ai.onnxx"),
    "control characters": lambda graph: foreign(graph, "\x1b[2Jevil\n"),
    "unknown operator": lambda graph: setattr(graph.graph.node[0], "op_type", "Explode"),
    "functions in a circle": lambda graph: functions(graph, {"A": ["B"], "B": ["A"]}),
    "a function that calls itself": lambda graph: functions(graph, {"A": ["A"]}),
    "functions that double 40 times": lambda graph: functions(graph, calling(40, 2)),
    "functions 500 deep": lambda graph: functions(graph, calling(500, 1)),
    "two inputs": lambda graph: graph.graph.input.append(
        helper.make_tensor_value_info("more", TensorProto.UINT8, ["N"])
    ),
    "no input": lambda graph: graph.graph.ClearField("input"),
    "no output": lambda graph: graph.graph.ClearField("output"),
    "circle": lambda graph: graph.graph.node[0].input.__setitem__(0, "labels"),
    "future format": lambda graph: setattr(graph, "ir_version", 2**31),
    "future operators": lambda graph: setattr(graph.opset_import[0], "version", 2**31),
    "large weights": lambda graph: graph.graph.initializer[0].dims.__setitem__(0, 2**40),
    "negative weights": lambda graph: graph.graph.initializer[0].dims.__setitem__(0, -5),
    "no weights": lambda graph: graph.graph.initializer[0].ClearField("raw_data"),
}
"""Networks that ask for too much, or that do not fit the card of the tiny labels network."""

NAN, INFINITE = math.nan, math.inf

CARDS: list[tuple[str, Any]] = [
    ("size.length", 8192),
    ("size.length", MASS),
    ("size.length", -1),
    ("size.length", 0.5),
    ("size.length", True),
    ("size.length", "65"),
    ("size.length", None),
    ("size.multiple", 8192),
    ("size.multiple", 2**63),
    ("size.offset", -1),
    ("size.pad", [0] * 100_000),
    ("size.pad", [[0], [0], [0]]),
    ("input.mean", [1e308, 0, 0]),
    ("input.mean", [-1e9, 0, 0]),
    ("input.mean", [INFINITE, 0, 0]),
    ("input.mean", [10**400, 0, 0]),
    ("input.mean", {"red": 0}),
    ("input.std", [1e-300, 1, 1]),
    ("input.std", [1e308, 1, 1]),
    ("input.std", [0, 0, 0]),
    ("input.std", [NAN, 1, 1]),
    ("classes", ["class"] * 1_000_000),
    ("classes", ["n" * 100] * 11_000),
    ("classes", ["n" * 1000, "b", "c", "d", "e"]),
    ("classes", [["a"], "b", "c", "d", "e"]),
    ("classes", {"a": 1}),
    ("classes", [""] * 5),
    ("masked", list(range(5))),
    ("masked", [2**63]),
    ("masked", [0.0]),
    ("masked", {"0": 0}),
    ("void", -1),
    ("void", 1e9),
    ("name", "n" * 100_000),
    ("name", ["a"]),
    ("file", "../tiny.onnx"),
    ("file", "/etc/passwd"),
    ("file", "a\0.onnx"),
    ("file", "a" * 5000),
    ("sha256", "A" * 64),
    ("sha256", ["0"] * 64),
    ("licence", "l" * 100_000),
    ("source", 3),
    ("notes", "n" * 3_000_000),
    ("measured", {"figures": [0.123456] * 200_000}),
    ("measured", {"text": "m" * 2_000_000}),
    ("output.kind", ["logits"]),
    ("output.name", "o" * 10_000),
    ("x" * 100_000, 1),
    ("inference", {"scales": [1.0] * 100_000}),
    ("inference", {"scales": [1e-300, INFINITE]}),
    ("inference", {"scales": [8.0] * 17}),
    ("inference", {"scales": "1.0"}),
    ("inference", {"stride": 1e-9, "crop": 1}),
    ("inference", {"stride": 1e-9, "crop": 16, "scales": [8.0] * 16, "flip": True}),
    ("inference", {"stride": 0}),
    ("inference", {"stride": NAN}),
    ("inference", {"crop": 1, "scales": [8.0]}),
    ("inference", {"crop": 8192}),
    ("inference", {"crop": 10**30}),
    ("inference", {"short_side": 4096}),
    ("inference", {"short_side": 2000, "scales": [8.0]}),
    ("inference", {"short_side": -5}),
    ("inference", {"taxonomy": {f"class {n}": [] for n in range(70_000)}}),
    ("inference", {"taxonomy": {"t" * 10_000: ["red"]}}),
    ("inference", {"taxonomy": {"warm": ["red"], "hot": ["red"]}}),
    ("inference", {"taxonomy": ["red"]}),
    ("inference", {"taxonomy": {}}),
    ("inference", {"void": "red"}),
    ("inference", [{"flip": True}]),
]
"""Fields of a card with the values that must be refused."""

LARGE = {
    "size": {"rule": "long_side", "length": 4096},
    "classes": CLASSES + [f"class {number}" for number in range(2000)],
}
"""Two fields that are acceptable alone, and too much together."""
