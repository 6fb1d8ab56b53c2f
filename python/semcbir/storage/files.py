# SPDX-License-Identifier: MIT
"""Small things about files that every part of an index needs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path without ``..``; symbolic links stay, so that people find their own names."""
    if not os.fspath(path):
        raise ValueError("a path must not be empty")
    return Path(os.path.abspath(path))  # noqa: PTH100 -- Path.resolve would follow the links


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in ``folder`` durable, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
