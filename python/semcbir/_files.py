# SPDX-License-Identifier: MIT
"""Files and their paths: absolute paths, names in messages, checksums, durable writes."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import TypeAlias

PathLike: TypeAlias = "str | os.PathLike[str]"


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path without ``..``; symbolic links stay, so that users see the names they gave."""
    if not os.fspath(path):
        raise ValueError("a path must not be empty")
    return Path(os.path.abspath(path))  # noqa: PTH100 -- Path.resolve would follow the links


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in ``folder`` durable, where the system can sync a folder."""
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


def display_path(path: PathLike) -> str:
    r"""Return ``path`` for a one-line message: control characters, line breaks and undecodable bytes escaped.

    A newline becomes ``\n``, ESC ``\x1b``, a byte that is not UTF-8 ``\xff``, a bidirectional override
    ``\u202e``. Letters of any script, emoji and spaces stay.
    """
    return "".join(map(_printable, os.fsdecode(path)))


def _printable(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how os.fsdecode() keeps undecodable bytes
        return f"\\x{code - 0xDC00:02x}"
    escape = unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    if escape and char not in "\u200c\u200d":  # joiners belong to emoji and to Persian words
        return char.encode("unicode_escape").decode("ascii")
    return char


def short_name(path: Path) -> str:
    """Return a file's name with its folder's: many folders often hold files of the same name."""
    return display_path(Path(*path.absolute().parts[-2:]))


def reason(error: BaseException) -> str:
    """Return an exception's message on one line, with its type where the message has no letters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split())
    return text if any(map(str.isalpha, text)) else f"{type(error).__name__} {text}".strip()
