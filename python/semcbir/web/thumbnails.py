# SPDX-License-Identifier: MIT
"""Small photos for pages, made when they are asked for, and kept in the index's folder within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from pathlib import Path

import anyio
import anyio.to_thread
from PIL import Image

from semcbir._fork import Lock
from semcbir.errors import IndexStorageError
from semcbir.images.decode import load_image
from semcbir.index.files import open_folder
from semcbir.index.lookup import Record

SIDE = 320
"""The most pixels of a thumbnail's longer side."""
MAX_KEPT = 512 * 2**20
"""The most bytes of thumbnails that are kept; about 30,000 photos'."""
AT_ONCE = 4
FOLDER = "thumbnails"


def encoded(image: Image.Image, quality: int = 80) -> bytes:
    """Return an image as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


class Thumbnails:
    """Thumbnails of the photos of the index at ``folder``.

    At most AT_ONCE are made at a time, off the event loop; who asks for one that is being made waits for it.
    Where the folder cannot be written none are kept.
    """

    def __init__(self, folder: Path, max_kept: int = MAX_KEPT) -> None:
        self._folder = folder / FOLDER
        self._max_kept = max_kept
        self._kept: int | None = None
        self._lock = Lock()
        self._limit = anyio.CapacityLimiter(AT_ONCE)
        self._making: dict[str, asyncio.Future[bytes]] = {}

    async def get(self, record: Record) -> bytes:
        """Return the thumbnail of a photo as WebP. Raises ImageError if the photo cannot be read."""
        name = f"{record.id}-{record.mtime_ns}-{record.size}.webp"
        if (making := self._making.get(name)) is None:
            making = self._making[name] = asyncio.ensure_future(
                anyio.to_thread.run_sync(self._get, name, record, limiter=self._limit)
            )
            making.add_done_callback(lambda _: self._making.pop(name, None))
        # Who goes away must not stop it for the others.
        return await asyncio.shield(making)

    def _get(self, name: str, record: Record) -> bytes:
        with (
            contextlib.suppress(OSError, IndexStorageError),
            open_folder(self._folder) as folder,
            folder.open(name) as file,
        ):
            return file.read(2**22)
        data = encoded(Image.fromarray(load_image(record.path, SIDE)))
        with contextlib.suppress(OSError, IndexStorageError), self._lock:
            self._keep(name, data)
        return data

    def _keep(self, name: str, data: bytes) -> None:
        with open_folder(self._folder, create=True) as folder:
            if self._kept is None:
                self._kept = sum(_sizes(folder.path).values())
            if self._kept + len(data) > self._max_kept:
                self._kept = self._drop_oldest()
            folder.put(name, data)
            self._kept += len(data)

    def _drop_oldest(self) -> int:
        """Delete the oldest half of the thumbnails; return how many bytes are left."""
        sizes = _sizes(self._folder)
        left = sum(sizes.values())
        with open_folder(self._folder) as folder:
            for name in sorted(sizes, key=lambda name: _age(self._folder / name)):
                if left <= self._max_kept // 2:
                    break
                folder.remove(name)
                left -= sizes[name]
        return left


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file in a folder."""
    with os.scandir(folder) as entries:
        return {one.name: one.stat(follow_symlinks=False).st_size for one in entries}


def _age(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime_ns
    return 0
