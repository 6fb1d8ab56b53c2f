# SPDX-License-Identifier: MIT
"""The catalogue's rows in memory: segments, roots and images as it lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SegmentFile:
    """A segment as the catalogue lists it: file name, number of images, size in bytes, sha256 in hex."""

    name: str
    images: int
    size: int
    sha256: str


@dataclass(frozen=True)
class RootRow:
    """A root as the catalogue lists it; ``catalog`` describes the states."""

    id: int
    path: bytes
    relative: bytes | None
    state: str


@dataclass(frozen=True)
class ImageRow:
    """An image as the catalogue lists it: ``size`` and ``mtime_ns`` as they were when its file was read.

    ``stored`` is true if a segment still has its signature, even if the image is no longer in the index.
    """

    id: int
    root: int
    path: bytes
    size: int | None
    mtime_ns: int | None
    state: str
    stored: bool
