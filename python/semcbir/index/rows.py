# SPDX-License-Identifier: MIT
"""The catalogue's rows in memory: segments, roots and images as it lists them, each checked when it is read.

An index may come from anywhere, and a catalogue may be damaged: SQLite itself gives text where a column says
INTEGER. What has passed these checks has the types that it says, and can neither lead out of the index nor
out of a root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from semcbir._validate import shown

MAX_ID = 2**63 - 2
"""The largest id of an image: the one after it must still be a number of SQLite's."""
MAX_SEGMENTS = 2**14
"""More than merging leaves of hundreds of millions of images; each takes a file descriptor."""
MAX_ROOTS = 2**17
STATES = frozenset({"indexed", "skipped", "removed", "gone"})
ROOT_STATES = frozenset({"scanned", "files", "forgotten"})

_SEGMENT_NAME = re.compile(r"[0-9a-f]{16}\.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN_PATH = re.compile(rb"(?:[^\0/.][^\0/]*/)*[^\0/.][^\0/]*").fullmatch
"""Nearly all paths of images: no part begins with a dot."""
_ODD_ANYWHERE = re.compile(rb"\0|(?:\A|/)\.{0,2}(?:/|\Z)").search
_ODD_ON_WINDOWS = re.compile(rb"[\0:\\]|(?:\A|/)\.{0,2}(?:/|\Z)").search
"""A drive, a server, or a backslash, which separates there, would lead out of the folder."""
_WINDOWS = os.name == "nt"
_PLAIN_ROOT = re.compile(rb"(?:/[^\0/.][^\0/]*)+").fullmatch
_NUMBER_OR_NULL = frozenset({int, type(None)})


class RowError(ValueError):
    """A row of the catalogue is not what an index can hold; ``catalog`` makes it an IndexStorageError."""


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


class ImageRow(NamedTuple):
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


class StoredRow(NamedTuple):
    """An image that can be found, as a segment holds it at ``row``; ``reason`` says what is damaged."""

    row: int
    id: int
    root: int
    path: bytes
    size: int | None
    mtime_ns: int | None
    reason: str | None


def stored_row(row: Sequence[Any]) -> StoredRow:
    """Return a row (row, id, root, path, size, mtime_ns, reason) of the images. Raises RowError."""
    number, key, root, path, size, mtime_ns, reason = row
    image_row((key, root, path, size, mtime_ns, "indexed", True))
    what = f"image {key}"
    _require(type(number) is int and number >= 0, what, "row", "a number that is not negative", number)
    _require(reason is None or isinstance(reason, str), what, "reason", "text", reason)
    return StoredRow._make(row)


def segment_row(row: Sequence[Any]) -> tuple[int, SegmentFile]:
    """Return the number and the file of a row (id, name, images, size, sha256). Raises RowError."""
    key, name, images, size, sha256 = row
    what = f"segment {shown(name)}"
    _require(isinstance(name, str) and _SEGMENT_NAME.fullmatch(name), what, "name", _NAMED, name)
    for column, value in (("images", images), ("size", size)):
        _require(type(value) is int and value >= 0, what, column, "a number that is not negative", value)
    _require(isinstance(sha256, str) and _SHA256.fullmatch(sha256), what, "sha256", _HEX, sha256)
    return key, SegmentFile(name, images, size, sha256)


_NAMED = "16 hexadecimal digits and .safetensors"
_HEX = "64 hexadecimal digits"


def dead_row(row: Sequence[Any]) -> tuple[int, int]:
    """Return a row (segment, row) of the dead rows. Raises RowError."""
    segment, number = row
    if type(segment) is not int or type(number) is not int or number < 0:
        raise RowError(f"dead row: expected a segment and a row, got {shown(segment)} and {shown(number)}")
    return segment, number


def root_row(row: Sequence[Any]) -> RootRow:
    """Return a row (id, path, relative, state) of the folders. Raises RowError."""
    key, path, relative, state = row
    what = f"folder {key}"
    _require(_is_absolute(path), what, "path", "an absolute path", path)
    _require(relative is None or _is_relative(relative), what, "relative", "a relative path", relative)
    _require(isinstance(state, str) and state in ROOT_STATES, what, "state", _one_of(ROOT_STATES), state)
    return RootRow(key, path, relative, state)


def image_row(row: Sequence[Any]) -> ImageRow:
    """Return a row (id, root, path, size, mtime_ns, state, stored) of the images. Raises RowError."""
    key, root, path, size, mtime_ns, state, _ = row
    if not (
        type(key) is int
        and 0 <= key <= MAX_ID
        and type(root) is int
        and type(path) is bytes
        and is_image_path(path)
        and type(size) in _NUMBER_OR_NULL
        and type(mtime_ns) in _NUMBER_OR_NULL
        and state in STATES
    ):
        raise _image_error(row)
    return ImageRow._make(row)


def image_path(row: Sequence[Any]) -> tuple[int, bytes]:
    """Return a row (id or root, path) of the images. Raises RowError."""
    key, path = row
    if type(key) is not int or not is_image_path(path):
        raise _path_error(f"image {shown(key)}", path)
    return key, path


def skipped_row(row: Sequence[Any]) -> tuple[int, bytes, str]:
    """Return a row (root, path, reason) of images that could not be read, or are damaged. Raises RowError."""
    root, path, reason = row
    what = f"image {shown(path)}"
    _require(type(root) is int, what, "root", "a number", root)
    if not is_image_path(path):
        raise _path_error("image", path)
    _require(isinstance(reason, str), what, "reason", "text", reason)
    return root, path, reason


def is_image_path(path: object) -> bool:
    """Return whether ``path`` is what the catalogue calls a file of a root: bytes that stay below it."""
    if type(path) is not bytes:
        return False
    if _WINDOWS:
        return not _ODD_ON_WINDOWS(path)
    return bool(_PLAIN_PATH(path)) or not _ODD_ANYWHERE(path)


def _image_error(row: Sequence[Any]) -> RowError:
    key, root, path, size, mtime_ns, state, _ = row
    what = f"image {shown(key)}"
    if type(key) is not int or not 0 <= key <= MAX_ID:
        return RowError(f"{what}: id: expected a number from 0 to {MAX_ID}")
    if not is_image_path(path):
        return _path_error(what, path)
    if state not in STATES:
        return RowError(f"{what}: state: expected {_one_of(STATES)}, got {shown(state)}")
    return RowError(
        f"{what}: root, size and mtime_ns: expected numbers, "
        f"got {shown(root)}, {shown(size)} and {shown(mtime_ns)}"
    )


def _path_error(what: str, path: object) -> RowError:
    expected = "a relative path as bytes, without empty parts, '.', '..' and NUL"
    return RowError(f"{what}: path: expected {expected}, got {shown(path)}")


def _is_absolute(path: object) -> bool:
    """An index may have been made on another kind of system: its folders are then just not there."""
    if type(path) is not bytes or b"\0" in path:
        return False
    if _PLAIN_ROOT(path):
        return True
    text = path.decode("utf-8", "surrogateescape")
    return any(
        kind(text).is_absolute() and ".." not in kind(text).parts for kind in (PurePosixPath, PureWindowsPath)
    )


def _is_relative(path: object) -> bool:
    """Whether it is ``..`` so many times, then names: what os.path.relpath gives."""
    if type(path) is not bytes or b"\0" in path or not path or path[:1] == b"/":
        return False
    if os.path.splitdrive(path)[0]:
        return False
    names = path.replace(os.fsencode(os.sep), b"/").split(b"/")
    while names and names[0] == b"..":
        del names[0]
    return b".." not in names


def _one_of(choices: frozenset[str]) -> str:
    return "one of " + ", ".join(sorted(choices))


def _require(holds: object, what: str, column: str, expected: str, came: object) -> None:
    if not holds:
        raise RowError(f"{what}: {column}: expected {expected}, got {shown(came)}")
