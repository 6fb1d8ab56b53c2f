# SPDX-License-Identifier: MIT
"""Segments: immutable safetensors files that hold the signatures of a batch of images.

A segment is written under a temporary name, synced, and renamed. Then it never changes, so it is read
through a memory map. The rows (offsets, classes, proportions) are stored once, counts and centroids once
per feature. A feature with whole rows has rows of its own, named as its counts and centroids are.

Others may change it all the same. What is used as an index or an id (ids, offsets, classes) is therefore
copied and checked when a segment is opened: whatever happens to the file then, it can only change values.
Where a file was cut short, reading the missing part of its map would end the process, so ``require_whole``
looks at its size before the map is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._files import sync_folder
from semcbir._validate import shown
from semcbir.errors import IndexStorageError
from semcbir.index.files import IndexFolder, open_folder
from semcbir.index.rows import SegmentFile
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures, check_rows, class_rows

Batch = Mapping[str, Signatures]
"""The signatures of one batch of images, per feature name; all without whole rows share their rows."""

SUFFIX = ".safetensors"
_OWN_NAME = re.compile(rf"[0-9a-f]{{16}}{re.escape(SUFFIX)}|\.[0-9a-f]{{16}}{re.escape(SUFFIX)}\.tmp")
_DTYPES = {"I64": np.int64, "F32": np.float32, "U32": np.uint32, "U16": np.uint16}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_FORMAT = "semcbir segment 1"
_MAX_HEADER = 1 << 20
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Segment:
    """A mapped segment: ``ids`` int64 (n,) and the signatures per feature name."""

    path: Path
    ids: npt.NDArray[np.int64]
    batch: dict[str, Signatures]
    _mapped: mmap.mmap

    def require_whole(self) -> None:
        """Raise IndexStorageError if the file has become shorter than it was: what is missing cannot be read.

        Call it before the values of the signatures are used.
        """
        size = self._mapped.size()
        if size < len(self._mapped):
            raise IndexStorageError(
                f"segment {self.path} is damaged: it has {size} bytes, and had {len(self._mapped)} when it "
                "was opened; run `semcbir check`"
            )

    def __len__(self) -> int:
        """Return the number of images in the file, removed ones included."""
        return len(self.ids)


def write_segment(folder: Path, batches: Sequence[Batch]) -> SegmentFile:
    """Write ``batches``, one after another, as one new segment in ``folder``; it survives a power cut.

    Columns go to the file piece by piece, so that merging large segments needs little memory. Raises OSError
    (a full disk, say) and then leaves no file behind, IndexStorageError if ``folder`` is not a real folder.
    """
    name = secrets.token_hex(8) + SUFFIX
    digest = hashlib.sha256()
    with open_folder(folder) as opened, opened.writing(name) as file:
        for piece in _pieces(batches):
            digest.update(piece)
            file.write(piece)
        size = file.tell()
    sync_folder(folder)
    images = sum(len(_first(batch)) for batch in batches)
    return SegmentFile(name, images, size, digest.hexdigest())


def other_classes(batch: Batch) -> str | None:
    """Return the first feature whose images have other classes or proportions than the first feature's."""
    expected = class_rows(_first(batch))
    for name, signatures in batch.items():
        if not all(np.array_equal(a, b) for a, b in zip(class_rows(signatures), expected, strict=True)):
            return name
    return None


def is_segment_name(name: str) -> bool:
    """Return whether ``write_segment`` may have given a file this name, temporary ones included."""
    return _OWN_NAME.fullmatch(name) is not None


class Memory:
    """Memory for what is copied out of segments of so many ``images`` together, in few large pieces.

    Opening a large index would otherwise take longer for page faults than for reading: NumPy asks for large
    pages where an array has 4 MiB or more.
    """

    def __init__(self, images: int) -> None:
        # An image takes 16 bytes and 2 for each class; what is never written to costs nothing.
        self._piece = max(2**22, min(32 * images, 2**26)) if images > 2**15 else 0
        self._free = np.empty(0, np.uint8)

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """Return ``size`` bytes that hold nothing yet, aligned for every type."""
        if len(self._free) < size:
            self._free = np.empty(max(size, self._piece), np.uint8)
        taken, self._free = self._free[:size], self._free[-(-size // 64) * 64 :]
        return taken


def map_segments(folder: Path, files: Sequence[SegmentFile], recipe: Recipe) -> list[Segment]:
    """Map all segments of an index, which are in ``folder``. Raises the errors of ``map_segment``."""
    if not files:
        return []  # Some archives drop empty folders.
    memory = Memory(sum(file.images for file in files))
    with open_folder(folder) as opened:
        return [_mapped(opened, file.name, recipe, memory, file.size) for file in files]


def map_segment(path: Path, recipe: Recipe, memory: Memory | None = None, size: int | None = None) -> Segment:
    """Map the segment at ``path`` and check that it is safe to walk; its values are not read.

    ``memory`` is shared by segments that are opened and closed together; ``size`` is the size in bytes that
    the catalogue lists. Raises FileNotFoundError if the segment is missing, IndexStorageError if it is no
    regular file, has another size or is damaged.
    """
    with open_folder(path.parent) as folder:
        return _mapped(folder, path.name, recipe, memory or Memory(0), size)


def _mapped(folder: IndexFolder, name: str, recipe: Recipe, memory: Memory, size: int | None) -> Segment:
    path = folder.path / name
    try:
        with folder.open(name) as file:
            found = os.fstat(file.fileno()).st_size
            if size not in (None, found):
                raise ValueError(f"it has {found} bytes, the catalogue says {size}")
            return _segment(_File(path, file, memory), recipe)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IndexStorageError(f"segment {path} cannot be mapped: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise IndexStorageError(f"segment {path} is damaged: {error}; run `semcbir check`") from error


def _first(batch: Batch) -> Signatures:
    return next(iter(batch.values()))


def _columns(batches: Sequence[Batch]) -> Iterator[tuple[str, list[npt.NDArray[Any]]]]:
    """Yield every column's name and its parts, widest alignment first, as in safetensors."""
    rows: dict[str, str] = {}  # where rows of each kind are named, and a feature that has them
    for feature, signatures in batches[0].items():
        rows.setdefault(_rows_of(feature, signatures.whole), feature)
    yield "ids", [_first(batch).ids for batch in batches]
    for end, feature in rows.items():
        yield f"offsets{end}", _joined_offsets([batch[feature].offsets for batch in batches])
    for feature in batches[0]:
        yield f"centroids.{feature}", [batch[feature].centroids for batch in batches]
    for feature in batches[0]:
        yield f"counts.{feature}", [batch[feature].counts for batch in batches]
    for end, feature in rows.items():
        yield f"proportions{end}", [batch[feature].proportions for batch in batches]
    for end, feature in rows.items():
        yield f"classes{end}", [batch[feature].classes for batch in batches]


def _rows_of(feature: str, whole: bool) -> str:
    """Return how the names of a feature's offsets, classes and proportions end."""
    return f".{feature}" if whole else ""


def _joined_offsets(parts: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    bases = np.cumsum([0, *(int(part[-1]) for part in parts)])
    return [np.zeros(1, np.int64), *(part[1:] + base for part, base in zip(parts, bases[:-1], strict=True))]


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


@dataclass(frozen=True)
class _Tensor:
    """Where a file holds a tensor: ``begin`` in bytes from the file's start."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int


class _File:
    """An open segment file: its tensors, read into memory or mapped. What is in it is not to be trusted."""

    def __init__(self, path: Path, file: BufferedReader, memory: Memory) -> None:
        self.path = path
        self._file = file
        self._memory = memory
        self._size = os.fstat(file.fileno()).st_size
        self._tensors = _tensors(self._read, self._size)
        self.mapped = mmap.mmap(file.fileno(), self._size, access=mmap.ACCESS_READ)

    def _read(self, begin: int, size: int) -> npt.NDArray[np.uint8]:
        return self._read_into(np.empty(size, np.uint8), begin)

    def _read_into(self, data: npt.NDArray[np.uint8], begin: int) -> npt.NDArray[np.uint8]:
        size = len(data)
        self._file.seek(begin)
        done = 0
        while done < size:
            count = self._file.readinto(data[done:].data)
            if not count:
                raise ValueError(f"expected {begin + size} bytes, the file ended at {begin + done}")
            done += count
        return data

    def read(self, name: str, dtype: Any, *shape: int) -> npt.NDArray[Any]:
        """Return a copy of a tensor of this type and shape; of any length without a shape."""
        tensor = self._tensor(name, dtype, shape)
        data = self._memory.take(math.prod(tensor.shape) * tensor.dtype.itemsize)
        return self._read_into(data, tensor.begin).view(tensor.dtype).reshape(tensor.shape)

    def map(self, name: str, dtype: Any, *shape: int) -> npt.NDArray[Any]:
        """Return a view of a tensor in the mapped file."""
        tensor = self._tensor(name, dtype, shape)
        count = math.prod(tensor.shape)
        return np.frombuffer(self.mapped, tensor.dtype, count, tensor.begin if count else 0).reshape(
            tensor.shape
        )

    def _tensor(self, name: str, dtype: Any, shape: tuple[int, ...]) -> _Tensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ValueError(f"tensor {name} is missing")
        fits = tensor.shape == shape if shape else len(tensor.shape) == 1
        if tensor.dtype != dtype or not fits:
            expected = f"{np.dtype(dtype)} {shape or '(n,)'}"
            raise ValueError(f"tensor {name} is {tensor.dtype} {tensor.shape}, expected {expected}")
        return tensor


def _tensors(read: Callable[[int, int], npt.NDArray[np.uint8]], size: int) -> dict[str, _Tensor]:
    """Return the tensors that a file's header lists; every bound is checked against the file's ``size``."""
    if size < 8:
        raise ValueError(f"expected a header of 8 bytes, the file has {size}")
    (length,) = struct.unpack("<Q", read(0, 8).tobytes())
    if length > min(_MAX_HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes does not fit into the file of {size}")
    start = 8 + length
    tensors: dict[str, _Tensor] = {}
    end = start
    for name, entry in json.loads(read(8, length).tobytes()).items():
        if name == "__metadata__":
            if entry["format"] != _FORMAT:
                raise ValueError(f"its format is {shown(entry['format'])}, expected {_FORMAT!r}")
            continue
        tensor, last = _entry(name, entry, start)
        if tensor.begin != end or not end <= last <= size:
            raise ValueError(
                f"tensor {shown(name)} lies at {tensor.begin}..{last}, expected to begin at {end}"
            )
        tensors[name], end = tensor, last
    if end != size:
        raise ValueError(f"expected {end} bytes, the file has {size}")
    return tensors


def _entry(name: str, entry: Mapping[str, Any], start: int) -> tuple[_Tensor, int]:
    """Return a tensor as its entry in the header gives it, and where it ends."""
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, *offsets)) or len(shape) > 2:
        raise ValueError(
            f"tensor {shown(name)} has the shape {shown(shape)} and the offsets {shown(offsets)}"
        )
    begin, end = (start + offset for offset in offsets)
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {shown(name)} has {end - begin} bytes, which do not fit its shape {shape}")
    if begin % dtype.itemsize:
        raise ValueError(f"tensor {shown(name)} is not aligned")
    return _Tensor(dtype, tuple(shape), begin), end


def _segment(file: _File, recipe: Recipe) -> Segment:
    ids = file.read("ids", np.int64)
    if len(ids) and ids.min() < 0:
        raise ValueError(f"ids must not be negative, one is {ids.min()}")
    kinds: dict[str, dict[str, npt.NDArray[Any]]] = {}
    batch = {}
    for feature in recipe.features:
        end = _rows_of(feature.name, feature.whole_row)
        if end not in kinds:
            kinds[end] = _rows(file, end, len(ids), recipe.n_classes, feature.whole_row)
        rows = len(kinds[end]["classes"])
        batch[feature.name] = Signatures._unchecked(
            **kinds[end],
            counts=file.map(f"counts.{feature.name}", np.uint32, rows),
            centroids=file.map(f"centroids.{feature.name}", np.float32, rows, feature.dim),
            n_classes=recipe.n_classes,
            ids=ids,
            recipe=recipe.for_feature(feature.name),
            whole=feature.whole_row,
        )
    return Segment(file.path, ids, batch, file.mapped)


def _rows(file: _File, end: str, images: int, n_classes: int, whole: bool) -> dict[str, npt.NDArray[Any]]:
    """Return the rows of so many ``images`` whose columns' names have this ``end``, safe to walk."""
    offsets, classes = file.read(f"offsets{end}", np.int64), file.read(f"classes{end}", np.uint16)
    proportions = file.map(f"proportions{end}", np.float32, len(classes))
    check_rows(offsets, classes, n_classes, whole)
    if len(offsets) - 1 != images:
        raise ValueError(f"offsets{end} are of {len(offsets) - 1} images, ids of {images}")
    return {"offsets": offsets, "classes": classes, "proportions": proportions}
