# SPDX-License-Identifier: MIT
"""TIFF files written by hand, in layouts that Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Tags = dict[int, int | Sequence[int]]

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
DEFLATE = 8


def page(
    array: Array,
    colour: int,
    *,
    planar: bool = False,
    rows: int | None = None,
    tile: int | None = None,
    compression: int = 1,
    predictor: int = 1,
    extra: Sequence[int] = (),
    order: str = "<",
    **tags: int,
) -> tuple[Tags, list[bytes]]:
    """The tags and the parts of a page; ``array`` is (H, W) or (H, W, samples); ``t254=1`` sets a tag."""
    array = array[..., np.newaxis] if array.ndim == 2 else array
    height, width, samples = array.shape
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[array.dtype.kind]
    found: Tags = {
        256: width, 257: height, 258: [8 * array.dtype.itemsize] * samples, 259: compression, 262: colour,
        277: samples, 284: 2 if planar else 1, 339: [kind] * samples,
    }  # fmt: skip
    if predictor != 1:
        found[317] = predictor
    if extra:
        found[338] = extra
    found |= {int(name[1:]): value for name, value in tags.items()}
    high = tile or rows or height
    wide = tile or width
    if tile:
        found |= {322: wide, 323: high}
    else:
        found[278] = high
    parts = []
    for plane in range(samples) if planar else [slice(None)]:
        for top in range(0, height, high):
            for left in range(0, width, wide):
                part = array[top : top + high, left : left + wide, plane].reshape(
                    min(high, height - top), min(wide, width - left), -1
                )
                if tile:
                    part = np.pad(part, ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0)))
                parts.append(_packed(part, order, compression, predictor))
    return found, parts


def _packed(part: Array, order: str, compression: int, predictor: int) -> bytes:
    data = part.astype(part.dtype.newbyteorder(order))
    if predictor == 2:
        data = np.diff(part, axis=1, prepend=part[:, :1] * 0).astype(data.dtype)
    packed = data.tobytes()
    if predictor == 3:
        rows, columns, samples = part.shape
        planes = np.frombuffer(part.astype(part.dtype.newbyteorder(">")).tobytes(), np.uint8)
        planes = planes.reshape(rows, columns * samples, -1).transpose(0, 2, 1).reshape(rows, -1, samples)
        packed = np.diff(planes, axis=1, prepend=planes[:, :1] * 0).tobytes()
    return zlib.compress(packed) if compression == DEFLATE else packed


def write(path: Path, *pages: tuple[Tags, list[bytes]], order: str = "<") -> Path:
    """Write a classic TIFF: each page's parts, then its tags."""
    content = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    link = 4
    for tags, parts in pages:
        offsets = []
        for part in parts:
            offsets.append(len(content))
            content += part + bytes(len(part) % 2)
        tiled = 322 in tags
        tags = {**tags, 324 if tiled else 273: offsets, 325 if tiled else 279: [len(part) for part in parts]}
        entries = b""
        for tag in sorted(tags):
            value = tags[tag]
            values = [value] if isinstance(value, int) else list(value)
            long = max(values) > 0xFFFF or tag in (273, 279, 324, 325)
            data = struct.pack(f"{order}{len(values)}{'I' if long else 'H'}", *values)
            if len(data) > 4:
                content += data + bytes(len(data) % 2)
                data = struct.pack(f"{order}I", len(content) - len(data) - len(data) % 2)
            entries += struct.pack(f"{order}HHI", tag, 4 if long else 3, len(values)) + data.ljust(4, b"\0")
        struct.pack_into(f"{order}I", content, link, len(content))
        content += struct.pack(f"{order}H", len(tags)) + entries
        link = len(content)
        content += bytes(4)
    path.write_bytes(content)
    return path
