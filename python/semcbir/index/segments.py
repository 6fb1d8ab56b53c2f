# SPDX-License-Identifier: MIT
"""Segments: immutable safetensors files that hold the signatures of a batch of images.

A segment is written under a temporary name, synced, and renamed. Then it never changes, so it is read
through a memory map. The rows (offsets, classes, proportions) are stored once, counts and centroids once
per feature.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._files import sync_folder
from semcbir.errors import IndexStorageError
from semcbir.index.rows import SegmentFile
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures

Batch = Mapping[str, Signatures]
"""The signatures of one batch of images, per feature name; all features share the rows."""

SUFFIX = ".safetensors"
_DTYPES = {"I64": np.int64, "F32": np.float32, "U32": np.uint32, "U16": np.uint16}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_FORMAT = "semcbir segment 1"
_MAX_HEADER = 1 << 20
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Segment:
    """A mapped segment: ``ids`` int64 (n,) and the signatures per feature name."""

    ids: npt.NDArray[np.int64]
    batch: dict[str, Signatures]

    def __len__(self) -> int:
        """Return the number of images in the file, removed ones included."""
        return len(self.ids)


def write_segment(folder: Path, batches: Sequence[Batch]) -> SegmentFile:
    """Write ``batches``, one after another, as one new segment in ``folder``; it survives a power cut.

    Columns go to the file piece by piece, so that merging large segments needs little memory. Raises OSError
    (a full disk, say) and then leaves no file behind.
    """
    name = secrets.token_hex(8) + SUFFIX
    temporary = folder / f".{name}.tmp"
    digest = hashlib.sha256()
    try:
        with temporary.open("xb") as file:
            for piece in _pieces(batches):
                digest.update(piece)
                file.write(piece)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    images = sum(len(_first(batch)) for batch in batches)
    return SegmentFile(name, images, size, digest.hexdigest())


def map_segment(path: Path, recipe: Recipe) -> Segment:
    """Map the segment at ``path`` and check that it is safe to walk; its values are not read.

    Raises FileNotFoundError if it is missing, IndexStorageError if it is damaged.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise IndexStorageError(f"segment {path} cannot be mapped: {error}") from error
    try:
        return _segment(_tensors(data), recipe)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexStorageError(f"segment {path} is damaged: {error}; run `semcbir check`") from error


def _first(batch: Batch) -> Signatures:
    return next(iter(batch.values()))


def _columns(batches: Sequence[Batch]) -> Iterator[tuple[str, list[npt.NDArray[Any]]]]:
    """Yield every column's name and its parts, widest alignment first, as in safetensors."""
    firsts = [_first(batch) for batch in batches]
    yield "ids", [batch.ids for batch in firsts]
    bases = np.cumsum([0, *(int(batch.offsets[-1]) for batch in firsts)])
    shifted = (batch.offsets[1:] + base for batch, base in zip(firsts, bases[:-1], strict=True))
    yield "offsets", [np.zeros(1, np.int64), *shifted]
    for feature in batches[0]:
        yield f"centroids.{feature}", [batch[feature].centroids for batch in batches]
    for feature in batches[0]:
        yield f"counts.{feature}", [batch[feature].counts for batch in batches]
    yield "proportions", [batch.proportions for batch in firsts]
    yield "classes", [batch.classes for batch in firsts]


def _pieces(batches: Sequence[Batch]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file: header length, header, columns."""
    header: dict[str, Any] = {"__metadata__": {"format": _FORMAT}}
    columns = list(_columns(batches))
    begin = 0
    for name, parts in columns:
        end = begin + sum(part.nbytes for part in parts)
        shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
        header[name] = {"dtype": _NAMES[parts[0].dtype], "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for _, parts in columns:
        for part in parts:
            yield from _bytes(part)


def _bytes(part: npt.NDArray[Any]) -> Iterable[memoryview]:
    flat = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    return (flat[start : start + _CHUNK].data for start in range(0, len(flat), _CHUNK))


def _tensors(data: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """Return a file's tensors as views; every bound is checked before use."""
    if len(data) < 8:
        raise ValueError(f"expected a header of 8 bytes, the file has {len(data)}")
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    if length > min(_MAX_HEADER, len(data) - 8):
        raise ValueError(f"a header of {length} bytes does not fit into the file of {len(data)}")
    header = json.loads(data[8 : 8 + length].tobytes())
    body = data[8 + length :]
    tensors, expected = {}, 0
    for name, entry in header.items():
        if name == "__metadata__":
            if entry["format"] != _FORMAT:
                raise ValueError(f"its format is {entry['format']!r}, expected {_FORMAT!r}")
            continue
        begin, end = entry["data_offsets"]
        if begin != expected or not begin <= end <= len(body):
            raise ValueError(f"tensor {name} lies at {begin}..{end}, expected to begin at {expected}")
        expected = end
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        if (8 + length + begin) % dtype.itemsize:
            raise ValueError(f"tensor {name} is not aligned")
        tensors[name] = body[begin:end].view(dtype).reshape(_shape(name, entry["shape"]))
    if expected != len(body):
        raise ValueError(f"expected {expected} bytes of tensors, the file has {len(body)}")
    return tensors


def _shape(name: str, shape: Sequence[object]) -> list[int]:
    # A -1 would make reshape guess.
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    if len(sizes) != len(shape):
        raise ValueError(f"tensor {name} has the shape {shape}")
    return sizes


def _segment(tensors: Mapping[str, npt.NDArray[Any]], recipe: Recipe) -> Segment:
    ids, offsets = _column(tensors, "ids", np.int64), _column(tensors, "offsets", np.int64)
    classes = _column(tensors, "classes", np.uint16)
    proportions = _column(tensors, "proportions", np.float32, len(classes))
    _core.check_rows(offsets, classes, recipe.n_classes)
    if len(ids) != len(offsets) - 1 or (len(ids) and ids.min() < 0):
        raise ValueError(f"ids must be {len(offsets) - 1} numbers that are not negative")
    batch = {}
    for feature in recipe.features:
        batch[feature.name] = Signatures._unchecked(
            offsets=offsets,
            classes=classes,
            proportions=proportions,
            counts=_column(tensors, f"counts.{feature.name}", np.uint32, len(classes)),
            centroids=_column(tensors, f"centroids.{feature.name}", np.float32, len(classes), feature.dim),
            n_classes=recipe.n_classes,
            ids=ids,
            recipe=recipe.for_feature(feature.name),
        )
    return Segment(ids, batch)


def _column(tensors: Mapping[str, npt.NDArray[Any]], name: str, dtype: Any, *shape: int) -> npt.NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"tensor {name} is missing")
    # A plain view: np.memmap's own bookkeeping on every slice is slow.
    tensor = tensors[name].view(np.ndarray)
    if tensor.dtype != dtype or tensor.ndim != max(1, len(shape)) or (shape and tensor.shape != shape):
        raise ValueError(
            f"tensor {name} is {tensor.dtype} {tensor.shape}, expected {np.dtype(dtype)} {shape}"
        )
    return tensor
