# SPDX-License-Identifier: MIT
"""Writes files of weights as torch did before version 1.6, without torch, and pickles that it never wrote."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = 0x1950A86A20F9469CFC6C
TYPES = {np.dtype(np.float32): b"torch\nFloatStorage\n", np.dtype(np.int64): b"torch\nLongStorage\n"}


@dataclass
class View:
    """A tensor: ``numbers`` are its storage's, the rest in numbers. Everything may be wrong."""

    numbers: npt.NDArray[Any]
    key: str
    offset: Any
    shape: Sequence[Any]
    strides: Sequence[Any]
    count: int | None = None

    @classmethod
    def of(cls, array: npt.NDArray[Any], key: str) -> View:
        """A plain array."""
        strides = [stride // array.itemsize for stride in array.strides]
        return cls(array.ravel(), key, 0, array.shape, strides)


def pickled(value: Any) -> bytes:
    """The operations that put a plain value on the stack."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + struct.pack("<B", len(data)) + data
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(pickled, value)) + b"t"
        case list():
            return b"](" + b"".join(map(pickled, value)) + b"e"
        case dict():
            return b"}(" + b"".join(pickled(part) for item in value.items() for part in item) + b"u"
        case View():
            count = len(value.numbers) if value.count is None else value.count
            storage = b"(" + pickled("storage") + b"c" + TYPES[value.numbers.dtype] + pickled(value.key)
            storage += pickled("cpu") + pickled(count) + b"NtQ"
            place = pickled(value.offset) + pickled(tuple(value.shape)) + pickled(tuple(value.strides))
            return (
                b"ctorch._utils\n_rebuild_tensor_v2\n("
                + storage
                + place
                + b"\x89ccollections\nOrderedDict\n)RtR"
            )
    raise TypeError(type(value))


def whole(value: bytes) -> bytes:
    """A pickle of operations."""
    return b"\x80\x02" + value + b"."


def header(version: int = 1001) -> bytes:
    """The three pickles at a file's start."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    return b"".join(whole(pickled(value)) for value in (MAGIC, version, facts))


def storages(views: Mapping[str, View]) -> bytes:
    """The list of keys, and the numbers, of each storage once."""
    unique = {view.key: view.numbers for view in views.values()}
    data = [whole(pickled(sorted(unique)))]
    for key in sorted(unique):
        data += [struct.pack("<q", len(unique[key])), unique[key].tobytes()]
    return b"".join(data)


def legacy_file(views: Mapping[str, View], state: bytes | None = None) -> bytes:
    """A file of weights; ``state`` are other operations in the place of the dictionary's."""
    operations = pickled(dict(views)) if state is None else state
    return header() + whole(operations) + storages(views)
