# SPDX-License-Identifier: MIT
"""Read a pickle that describes tensors, as torch wrote them, and run nothing of it.

A pickle is a program for a small stack machine. This one knows only the operations that occur in files of
weights, and only four names, each of which stands for something made here: nothing is imported or called. All
work is bounded by the pickle's length; nothing is compared, hashed or printed deeply, so that structures that
contain themselves, or the same thing very often, cost nothing. (Python's own unpickler can be kept from
calling things, but not from filling the memory: a small file may ask for a memo of 2^32 places, or for the
hash of a tuple of 2^100 items.)

Operations: Python's ``pickletools``; of protocol 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from semcbir._validate import shown

MAX_OPERATIONS = 2**16
"""The most operations of a pickle; EfficientNet-Lite2's has 13,996."""
MAX_TEXT = 2**10
"""The most bytes of a text, of a name and of an integer."""
MAX_DIMENSIONS, MAX_STRIDE = 8, 2**31


@dataclass(frozen=True, eq=False)
class Storage:
    """``count`` numbers of the NumPy type ``dtype`` that follow the pickles, found by ``key``."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """Where a tensor's numbers lie in ``storage``; offset and strides are in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name:
    """What a name in the pickle stands for; it can only be recognised."""


_DICTIONARY, _TENSOR, _FLOAT32, _INT64 = _Name(), _Name(), _Name(), _Name()
_NAMES = {
    ("collections", "OrderedDict"): _DICTIONARY,
    ("torch._utils", "_rebuild_tensor_v2"): _TENSOR,
    ("torch", "FloatStorage"): _FLOAT32,
    ("torch", "LongStorage"): _INT64,
}
_TYPES = {_FLOAT32: "<f4", _INT64: "<i8"}


def read_pickle(data: bytes, start: int) -> tuple[Any, int]:
    """Return what the pickle at ``start`` of ``data`` describes, and where it ends.

    That is built of dict (with texts as keys), list, tuple, int, bool, None, str and ``StoredTensor``, whose
    numbers lie in its storage. It may contain itself. Raises ValueError for any other pickle.
    """
    return _Machine(data, start).run()


class _Machine:
    """The stack, the stacks below the marks, and the memo of a pickle that is being read."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.at = data, start
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        """Return what ``read_pickle`` does."""
        for _ in range(MAX_OPERATIONS):
            code = self.take(1)
            if code == b".":
                self.require(len(self.stack) == 1 and not self.below)
                return self.stack[0], self.at
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise ValueError(f"expected tensors alone, its pickle has the operation {code!r}")
            operation(self)
        raise ValueError(f"expected a pickle of at most {MAX_OPERATIONS} operations, this one has more")

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise ValueError("it is cut short")
        self.at, start = end, self.at
        return self.data[start:end]

    def number(self, layout: str) -> int:
        """Return the number that comes next, of ``struct``'s ``layout``."""
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return int(value)

    def text(self, count: int) -> str:
        """Return the text of ``count`` bytes that comes next."""
        self.require(count <= MAX_TEXT)
        return self.take(count).decode()  # UnicodeDecodeError: a ValueError

    def line(self) -> str:
        """Return the text until the end of the line."""
        end = self.data.find(b"\n", self.at, self.at + MAX_TEXT)
        self.require(end >= 0)
        text = self.text(end - self.at)
        self.at += 1
        return text

    def require(self, right: bool) -> None:
        """Raise ValueError if the pickle is not ``right``."""
        if not right:
            raise ValueError(f"its pickle is damaged, or holds more than tensors (byte {self.at})")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self, kind: type | None = None) -> Any:
        """Take the top of the stack, which is a ``kind`` if that is given."""
        self.require(bool(self.stack) and (kind is None or type(self.stack[-1]) is kind))
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """Return the top of the stack, which is a ``kind``, and leave it there."""
        self.require(bool(self.stack) and type(self.stack[-1]) is kind)
        return self.stack[-1]

    def mark(self) -> None:
        """Begin a new stack."""
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """Return the stack since the last mark, and go back to the one below."""
        self.require(bool(self.below))
        values, self.stack = self.stack, self.below.pop()
        return values

    def remember(self, place: int) -> None:
        """Put the top of the stack into the memo."""
        self.require(bool(self.stack))
        self.memo[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Put a value of the memo on the stack."""
        self.require(place in self.memo)
        self.push(self.memo[place])

    def set_items(self, items: list[Any]) -> None:
        """Put key, value, key, value, ... into the dictionary on top of the stack."""
        target = self.top(dict)
        self.require(len(items) % 2 == 0)
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.require(type(key) is str and key not in target)
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        """Put the items at the end of the list on top of the stack."""
        self.top(list).extend(items)

    def find(self) -> None:
        """Put what the next two lines name on the stack; in a sound file one of ``_NAMES``."""
        module, name = self.line(), self.line()
        if (module, name) not in _NAMES:
            culprit = shown(f"{module}.{name}")
            raise ValueError(f"refused: to load it would use {culprit}, and weights are numbers only")
        self.push(_NAMES[module, name])

    def call(self) -> None:
        """Put an empty dictionary or a tensor on the stack, as the name below its arguments says."""
        arguments = self.pop(tuple)
        name = self.pop(_Name)
        if name is _TENSOR:
            self.push(self.tensor(arguments))
        else:
            self.require(name is _DICTIONARY and not arguments)
            self.push({})

    def tensor(self, arguments: tuple[Any, ...]) -> StoredTensor:
        """Return the tensor of (storage, offset, shape, strides, requires_grad, hooks)."""
        self.require(len(arguments) == 6)
        storage, offset, shape, strides = arguments[:4]
        self.require(type(storage) is Storage and type(shape) is type(strides) is tuple)
        self.require(len(shape) == len(strides) <= MAX_DIMENSIONS)
        self.require(all(type(value) is int for value in (offset, *shape, *strides)))
        if not _fits(storage.count, offset, shape, strides):
            raise ValueError("it has a tensor that does not lie in its storage")
        return StoredTensor(storage, offset, shape, strides)

    def storage(self) -> None:
        """Replace ("storage", type, key, device, count, None) on the stack by the storage."""
        values = self.pop(tuple)
        self.require(len(values) == 6)
        word, kind, key, device, count, view = values
        kinds = type(word) is type(key) is type(device) is str and type(kind) is _Name and type(count) is int
        self.require(kinds and word == "storage" and kind in _TYPES and count >= 0 and view is None)
        self.push(Storage(key, _TYPES[kind], count))

    def build(self) -> None:
        """Drop what would become attributes of the dictionary below: the layers' versions."""
        self.pop(dict)
        self.top(dict)


def _fits(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Return whether a view lies in a storage of ``count`` numbers, and has at most as many elements."""
    if min(offset, *strides, 0) < 0 or min(shape, default=1) < 1 or max(strides, default=0) > MAX_STRIDE:
        return False
    elements = 1
    for side in shape:  # one number with a stride of 0 could fill the memory
        elements = min(elements * side, count + 1)
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    return elements <= count and last < count


_Operation: TypeAlias = Callable[[_Machine], None]
_OPERATIONS: Final[dict[bytes, _Operation]] = {
    b"\x80": lambda m: m.require(m.take(1) == b"\x02"),  # PROTO
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number("<B")),  # BININT1
    b"M": lambda m: m.push(m.number("<H")),  # BININT2
    b"J": lambda m: m.push(m.number("<i")),  # BININT
    b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),  # LONG1
    b"X": lambda m: m.push(m.text(m.number("<I"))),  # BINUNICODE
    b"(": _Machine.mark,
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.push((m.pop(),)),  # TUPLE1
    b"\x86": lambda m: m.push((m.pop(), m.pop())[::-1]),  # TUPLE2
    b"\x87": lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),  # TUPLE3
    b"t": lambda m: m.push(tuple(m.marked())),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend([m.pop()]),  # APPEND
    b"e": lambda m: m.extend(m.marked()),  # APPENDS
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    b"u": lambda m: m.set_items(m.marked()),  # SETITEMS
    b"q": lambda m: m.remember(m.number("<B")),  # BINPUT
    b"r": lambda m: m.remember(m.number("<I")),  # LONG_BINPUT
    b"h": lambda m: m.recall(m.number("<B")),  # BINGET
    b"j": lambda m: m.recall(m.number("<I")),  # LONG_BINGET
    b"c": _Machine.find,  # GLOBAL
    b"R": _Machine.call,  # REDUCE
    b"Q": _Machine.storage,  # BINPERSID
    b"b": _Machine.build,
}
