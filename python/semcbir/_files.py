# SPDX-License-Identifier: MIT
"""Files and their paths: absolute paths, names in messages, checksums, durable writes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

from semcbir._printable import printable
from semcbir._validate import shown

# O_NONBLOCK: opening a named pipe would wait for a writer; regular files are not affected.
_READ = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_BINARY", "O_NONBLOCK", "O_NOCTTY"):
    _READ |= getattr(os, _name, 0)

PathLike: TypeAlias = str | os.PathLike[str]


def expanded(path: PathLike, name: str = "path") -> str:
    """Return ``path``, the argument ``name``, with ``~`` or ``~user`` at its start replaced by that home.

    A name of no user stays as it is; ``./~user`` is a file of that name, whoever has an account. Raises
    TypeError unless it is text or a path object, ValueError if it is empty.
    """
    given: object = path
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(f"{name}: expected a path, got {shown(path)}")
    if not text:
        raise ValueError(f"{name}: expected a path, got {shown(path)}")
    return os.path.expanduser(text) if text[0] == "~" else text  # noqa: PTH111 -- the text is enough


def absolute(path: PathLike, name: str = "path") -> Path:
    """Return the absolute path without ``..``; symbolic links stay, so that users see the names they gave.

    ``~`` and errors are as in ``expanded``; ValueError too for a NUL, which no path can hold.
    """
    text = expanded(path, name)
    if "\0" in text:
        raise ValueError(f"{name}: expected a path, got {shown(text)}")
    return Path(os.path.abspath(text))  # noqa: PTH100 -- Path.resolve would follow the links


def sync(descriptor: int) -> None:
    """Make what was written to an open file or folder durable; macOS needs more than ``fsync`` for that."""
    if sys.platform == "darwin":  # pragma: no cover
        import fcntl

        with contextlib.suppress(OSError):  # not on every file system
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in ``folder`` durable, where the system can sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def require_free(place: Path) -> None:
    """Raise FileExistsError if there is anything at ``place``."""
    if os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))


def move_new(made: Path, place: Path) -> None:
    """Give a file the name ``place``, but never in the place of another: FileExistsError if there is one.

    Where there are hard links it keeps the name ``made``, too.
    """
    try:
        os.link(made, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        require_free(place)
        made.rename(place)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb+") as file:
        sync(file.fileno())


def file_sha256(path: Path, most: int | None = None) -> str:
    """Return the sha256 of a regular file, in hex. Raises OSError as ``open_regular`` does."""
    with open_regular(path, most=most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(
    path: PathLike, *, most: int | None = None, follow: bool = True, folder: int | None = None
) -> BufferedReader:
    """Open a regular file for reading, and never wait for what is not one.

    ``most`` bounds its size in bytes. Without ``follow``, ``path`` itself may not be a symbolic link,
    where the system can say so.
    ``folder`` is an open folder that ``path`` is a name in. Raises OSError (EINVAL, EFBIG) if it is something
    else or larger, with a message that says so.
    """
    flags = _READ if follow else _READ | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = f"is {file_kind(status.st_mode)}, not a regular file"
            raise OSError(errno.EINVAL, what, os.fspath(path))
        if most is not None and status.st_size > most:
            what = f"has {status.st_size} bytes, expected at most {most}"
            raise OSError(errno.EFBIG, what, os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: PathLike, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes. Raises OSError as ``open_regular``."""
    with open_regular(path, most=most) as file:
        return file.read()


def file_kind(mode: int) -> str:
    """Return what a ``st_mode`` says a file is: "a symbolic link", "a folder", "a named pipe", ..."""
    return next((name for holds, name in _KINDS if holds(mode)), "no regular file")


_KINDS = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def display_path(path: PathLike) -> str:
    r"""Return ``path`` for a one-line message: control characters, line breaks and undecodable bytes escaped.

    A newline becomes ``\n``, ESC ``\x1b``, a byte that is not UTF-8 ``\xff``, a bidirectional override
    ``\u202e``. Letters of any script, emoji and spaces stay.
    """
    return printable(os.fsdecode(path))


def short_name(path: Path) -> str:
    """Return a file's name with its folder's: many folders often hold files of the same name."""
    return display_path(Path(*path.absolute().parts[-2:]))


def bytes_words(count: int) -> str:
    """Return a number of bytes as people write it."""
    if count < 1000:
        return f"{count} bytes"
    value = count / 1000
    for unit in ("kB", "MB"):
        if value < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def reason(error: BaseException) -> str:
    """Return an exception's message on one line, with its type where the message has no letters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.split())
    return text if any(map(str.isalpha, text)) else f"{type(error).__name__} {text}".strip()
