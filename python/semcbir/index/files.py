# SPDX-License-Identifier: MIT
"""The files of an index: opened, written and deleted without following links.

An index may lie in a folder of photos that came from anywhere, so what is in it proves nothing: ``segments``
may be a link to the user's documents, the model a named pipe. Everything inside an index must be a regular
file or a real folder. The index's own folder may be reached through links: the user named it.

Where the system has them, names are looked up in an open folder (``dir_fd``) and with ``O_NOFOLLOW``, so that
a folder that is replaced by a link meanwhile changes nothing; elsewhere kinds are only checked beforehand.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path

from semcbir._files import display_path, file_kind, open_regular, sync
from semcbir.errors import IndexStorageError

_NO_NAMES = {"", os.curdir, os.pardir}
_NOT_IN_NAMES = {"/", "\0", os.sep}
_BY_FOLDER = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")


class IndexFolder:
    """An open folder of an index, as ``open_folder`` gives it. Names are bare names of files in it.

    Errors of the system are OSError; IndexStorageError says that a file is not what an index may hold.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    def names(self) -> list[str]:
        """Return the names of all that is in the folder."""
        return os.listdir(self.path if self._descriptor is None else self._descriptor)  # noqa: PTH208

    def status(self, name: str) -> os.stat_result | None:
        """Return what ``name`` is, or None if it is not there; a link is a link."""
        try:
            return os.lstat(self._place(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return None

    def is_regular(self, name: str) -> bool:
        """Return whether ``name`` is there and a regular file."""
        status = self.status(name)
        return status is not None and stat.S_ISREG(status.st_mode)

    def require_regular(self, name: str) -> os.stat_result | None:
        """Return the status of the regular file ``name``, or None if it is not there."""
        status = self.status(name)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise _refusal(self.path / name, status, "a regular file")
        return status

    def open(self, name: str) -> BufferedReader:
        """Open the regular file ``name`` for reading; FileNotFoundError if it is not there."""
        self.require_regular(name)
        return open_regular(self._place(name), follow=False, folder=self._descriptor)

    def create(self, name: str) -> BufferedWriter:
        """Open the new file ``name`` for writing; FileExistsError if anything is there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(self._place(name), flags, 0o666, dir_fd=self._descriptor), "wb")

    @contextmanager
    def writing(self, name: str) -> Iterator[BufferedWriter]:
        """Open the file ``name`` to be written: in place of any other, complete or not at all."""
        temporary = f".{name}.tmp"
        self.remove(temporary)
        try:
            with self.create(temporary) as file:
                yield file
                file.flush()
                sync(file.fileno())
            self.rename(temporary, name)
        except BaseException:
            self.remove(temporary)
            raise

    def put(self, name: str, data: bytes) -> None:
        """Write ``data`` as the file ``name``, in place of any other, complete or not at all."""
        with self.writing(name) as file:
            file.write(data)

    def rename(self, old: str, new: str) -> None:
        """Give the file ``old`` the name ``new``; a link or file of that name is replaced."""
        folder = self._descriptor
        os.replace(self._place(old), self._place(new), src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, name: str) -> None:
        """Delete the file ``name``, if it is there; of a link, the link itself."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._place(name), dir_fd=self._descriptor)

    def sync(self) -> None:
        """Make renames and deletions durable, where the system can."""
        if self._descriptor is not None:
            sync(self._descriptor)

    def _place(self, name: str) -> str:
        if name in _NO_NAMES or any(sign in name for sign in _NOT_IN_NAMES):
            raise IndexStorageError(f"{display_path(self.path)}: {name!r} is not a file name")
        return name if self._descriptor is not None else str(self.path / name)


@contextmanager
def open_folder(path: Path, *, create: bool = False) -> Iterator[IndexFolder]:
    """Open a real folder inside an index, made first if ``create`` is set and it is not there.

    Raises FileNotFoundError if it is not there, IndexStorageError if it is a link or no folder.
    """
    if create:
        with contextlib.suppress(FileExistsError):
            path.mkdir()
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(path, status, "a real folder")
    with _opened(path, getattr(os, "O_NOFOLLOW", 0)) as folder:
        yield folder


@contextmanager
def open_index_folder(path: Path) -> Iterator[IndexFolder]:
    """Open the folder of an index itself, which may be reached through links."""
    with _opened(path, 0) as folder:
        yield folder


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[IndexFolder]:
    if not _BY_FOLDER:
        yield IndexFolder(path, None)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    try:
        yield IndexFolder(path, descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path, most: int) -> str:
    """Return the sha256 of a regular file of at most ``most`` bytes in a real folder of an index, in hex.

    Raises FileNotFoundError if it is not there, IndexStorageError if it or its folder is something else.
    """
    with open_folder(path.parent) as folder, folder.open(path.name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise IndexStorageError(f"{display_path(path)} has {size} bytes, expected {most}")
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refusal(path: Path, status: os.stat_result, expected: str) -> IndexStorageError:
    return IndexStorageError(
        f"{display_path(path)} is {file_kind(status.st_mode)}, expected {expected}: semcbir never makes "
        "such a thing in an index; remove it, or use another index"
    )
