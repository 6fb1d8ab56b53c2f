# SPDX-License-Identifier: MIT
"""Photos that were sent: held in memory under a name that says nothing, within bounds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from semcbir._fork import Lock
from semcbir.errors import ImageError
from semcbir.images.given import read_image

MAX_BYTES = 32 * 2**20
"""The most bytes of a photo that is sent."""
MAX_HELD = 8 * MAX_BYTES
"""The most bytes of all that are held; the ones that were used longest ago go first."""


class Uploads:
    """Photos by name: "u" and 32 hexadecimal digits of their bytes' hash, so that a photo has one name."""

    def __init__(self, max_held: int = MAX_HELD) -> None:
        self._photos: OrderedDict[str, bytes] = OrderedDict()
        self._max_held = max_held
        self._lock = Lock()

    def put(self, data: bytes) -> str:
        """Hold a photo and return its name. Raises ImageError if it cannot be read as an image."""
        try:
            read_image(data, 64)
        except ImageError as error:
            raise ImageError(f"what was sent cannot be read as a photo: {error.reason}") from None
        name = "u" + hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            self._photos[name] = data
            self._photos.move_to_end(name)
            while sum(map(len, self._photos.values())) > self._max_held:
                self._photos.popitem(last=False)
        return name

    def get(self, name: str) -> bytes:
        """Return a photo. Raises KeyError if it is not held any more."""
        with self._lock:
            self._photos.move_to_end(name)
            return self._photos[name]
