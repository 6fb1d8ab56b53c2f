# SPDX-License-Identifier: MIT
"""ModelFile: an ONNX file, read once and looked through before onnxruntime sees its bytes.

The file is a tree of protobuf messages. Only their borders are walked here: importing ``onnx`` takes longer
than opening a small model, and parsing a large one holds its weights a second time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self, TypeAlias

from semcbir._files import display_path, read_regular
from semcbir.errors import ModelError
from semcbir.networks.card_file import Card, require_digest
from semcbir.networks.specs import LARGEST_MODEL

MAX_FIELDS = 2**21
"""The most fields that are walked; a large transformer has a tenth."""
MAX_DEPTH = 100
"""The most messages inside one another, as in protobuf's own parsers."""
MAX_OPERATORS = 2**20
"""The most operators once functions are written out in place, which onnxruntime does."""

_MODEL, _TRAINING, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE, _WEIGHTS, _TENSOR, _FUNCTION = range(9)
_PARTS: tuple[dict[int, int], ...] = (
    {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    {1: _GRAPH, 2: _GRAPH},
    {1: _NODE, 5: _WEIGHTS, 15: _SPARSE},
    {5: _ATTRIBUTE},
    {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    {1: _TENSOR, 2: _TENSOR},
    {},
    {},
    {7: _NODE, 11: _ATTRIBUTE},
)
"""For each kind of message, the fields by number that hold messages with tensors or nodes below them."""

_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}  # protobuf's wire types; ONNX does not use groups
_DATA_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 2, 13, 14  # fields of a tensor
_OPERATOR, _DOMAIN = 4, 7  # fields of a node
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_FLOAT16 = 10
_EXTERNAL = (
    "expected a model with all its weights inside, this one keeps some in other files; save it again "
    "(onnx.load it where those files are, then onnx.save_model)"
)
_KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Operators of these domains, and of those below them, come with onnxruntime."""


_Message: TypeAlias = tuple[int, int, int, int, int]
"""Kind, start, end, depth, and the function that it is in."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The ONNX file ``path``: its bytes ``data``, and whether any of its weights are in half precision."""

    path: Path
    data: bytes
    half: bool

    @classmethod
    def read(cls, path: Path, card: Card | None = None) -> Self:
        """Read the file at ``path``, which must be the one that ``card`` describes if that is given.

        ModelError if it cannot be read, is another file, is no ONNX file, keeps weights in other files, or
        needs operators that are not onnxruntime's.
        """
        data = _bytes(path)
        if card is not None:
            require_digest(card, hashlib.sha256(data).hexdigest(), path)
        return cls(path, data, _Walk(path, data).half)


def _plain(domain: bytes) -> bytes:
    return b"" if domain == b"ai.onnx" else domain  # ONNX's own, by both of its names


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_MODEL)
    except OSError as error:
        raise ModelError(f"{display_path(path)}: cannot read the model: {error.strerror or error}") from error


class _Walk:
    """Walks every message of ``data`` that can have a tensor or a node below it; ModelError as above.

    Everything is looked at, wherever it occurs: a field may occur twice, and parsers then merge the two.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data = path, data
        self._fields = 0
        self._operators: dict[bytes, bytes] = {}  # one operator of each domain
        self._functions: list[tuple[bytes, bytes]] = []  # domain and name
        self._calls: list[Counter[tuple[bytes, bytes]]] = [Counter()]  # of the graph, then of each function
        self.half = False
        if data[4:8] == b"ORTM":
            self._refuse("expected an ONNX file, this is one in onnxruntime's own format")
        waiting = [(_MODEL, 0, len(data), 1, 0)]
        while waiting:
            kind, start, end, depth, caller = waiting.pop()
            if depth > MAX_DEPTH:
                self._refuse(f"its parts are nested more than {MAX_DEPTH} deep")
            waiting += self._message(kind, start, end, depth, caller)
        self._check_domains()
        self._check_functions()

    def _message(self, kind: int, start: int, end: int, depth: int, caller: int) -> list[_Message]:
        """Look at the fields of a message; return the messages in it that have to be looked at too.

        ``caller`` is the function that it is in, counted from 1; 0 is the graph.
        """
        parts, inside = _PARTS[kind], []
        if kind == _FUNCTION:
            self._functions.append((b"", b""))
            self._calls.append(Counter())
            caller = len(self._functions)
        operator = domain = b""
        for number, value, first, last in self._fields_of(start, end):
            if kind in (_WEIGHTS, _TENSOR):
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                    self._refuse(_EXTERNAL)
                if kind == _WEIGHTS and number == _DATA_TYPE and value == _FLOAT16:
                    self.half = True
            elif value is not None:
                continue
            elif number in parts:
                inside.append((parts[number], first, last, depth + 1, caller))
            elif kind == _NODE and number == _OPERATOR:
                operator = self._data[first:last]
            elif kind == _NODE and number == _DOMAIN:
                domain = self._data[first:last]
            elif kind == _FUNCTION and number in (_FUNCTION_NAME, _FUNCTION_DOMAIN):
                own, name = self._functions[-1]
                text = self._data[first:last]
                self._functions[-1] = (_plain(text), name) if number == _FUNCTION_DOMAIN else (own, text)
        if kind == _NODE:
            self._operators.setdefault(domain, operator)
            self._calls[caller][_plain(domain), operator] += 1
        return inside

    def _fields_of(self, at: int, end: int) -> Iterator[tuple[int, int | None, int, int]]:
        """Yield (number, integer, start, end) of each field; the integer is None if it holds bytes."""
        data, left = self._data, MAX_FIELDS - self._fields
        while at < end:
            left -= 1
            if left < 0:
                self._refuse(f"expected a model of at most {MAX_FIELDS} parts, this one has more")
            # Most numbers have one byte: a call for each would take half of the time.
            tag, at = (data[at], at + 1) if data[at] < 128 else self._varint(at, end)
            if tag >= 2**32:  # parsers differ in what they make of it
                self._broken()
            wire = tag & 7
            if wire == _VARINT:
                value, at = (data[at], at + 1) if at < end and data[at] < 128 else self._varint(at, end)
                yield tag >> 3, value, at, at
                continue
            if wire == _BYTES:
                size, first = (data[at], at + 1) if at < end and data[at] < 128 else self._varint(at, end)
            elif wire in _FIXED:
                size, first = _FIXED[wire], at
            else:
                self._broken()
            at = first + size
            if at > end:
                self._broken()
            if wire == _BYTES:
                yield tag >> 3, None, first, at
        self._fields = MAX_FIELDS - left

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number at ``at``, seven bits a byte, and where it ends."""
        value = 0
        for place, byte in enumerate(self._data[at : min(at + 10, end)]):
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                return value, at + place + 1
        return self._broken()

    def _check_domains(self) -> None:
        for domain, operator in self._operators.items():
            name = domain.decode(errors="replace")
            known = any(name == one or (one and name.startswith(f"{one}.")) for one in _KNOWN_DOMAINS)
            if not known and domain not in {own for own, _ in self._functions}:
                self._refuse(
                    f"it needs the operator {operator.decode(errors='replace')!r} of the domain {name!r}, "
                    "which onnxruntime does not have; export it with ONNX's own operators"
                )

    def _check_functions(self) -> None:
        """Refuse functions that call themselves, or each other so often that they fill the memory.

        Functions of one name are taken together, which at worst counts too many operators.
        """
        bodies: dict[tuple[bytes, bytes], Counter[tuple[bytes, bytes]]] = {}
        for name, calls in zip(self._functions, self._calls[1:], strict=True):
            bodies.setdefault(name, Counter()).update(calls)
        sizes: dict[tuple[bytes, bytes], int] = {}
        for _ in range(MAX_DEPTH):
            ready = {
                name: sum(count * sizes.get(call, 1) for call, count in calls.items())
                for name, calls in bodies.items()
                if name not in sizes and all(call in sizes for call in calls if call in bodies)
            }
            sizes |= {name: min(size, MAX_OPERATORS + 1) for name, size in ready.items()}
        if len(sizes) < len(bodies):
            self._refuse(f"its functions call each other in a circle, or more than {MAX_DEPTH} deep")
        total = sum(count * sizes.get(call, 1) for call, count in self._calls[0].items())
        if max(total, *sizes.values(), 0) > MAX_OPERATORS:
            self._refuse(f"expected a model of at most {MAX_OPERATORS} operators, this one has more")

    def _broken(self) -> NoReturn:
        self._refuse("onnxruntime cannot load the model: the file is damaged, or not an ONNX file")

    def _refuse(self, why: str) -> NoReturn:
        raise ModelError(f"{display_path(self._path)}: {display_path(why)}")
