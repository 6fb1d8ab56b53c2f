# SPDX-License-Identifier: MIT
"""Image files that Pillow decodes: whole or, if they are damaged, as far as it gets.

Pillow's decoders are called directly, because ``Image.open`` applies a process-wide pixel limit, which is not
ours to change.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from PIL import Image

from semcbir._files import reason
from semcbir._fork import Lock, in_forked_child
from semcbir.errors import ImageError
from semcbir.images.convert import to_rgb
from semcbir.images.kinds import DECODERS, READ_WHOLE
from semcbir.images.limits import LEAST_SHARE, PIXEL_BYTES
from semcbir.images.reading import BoundedFile
from semcbir.images.samples import Bytes
from semcbir.images.source import CUT_SHORT, ORIENTATION, Source

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PIXEL_BYTES = {"AVIF": 14, "HEIC": 12, "JPEG 2000": 20}


def open_image(kind: str, file: BoundedFile) -> ImageFile:
    """Read the header of an image of this kind. Raises ImageError if it cannot be read."""
    module, name = DECODERS[kind]
    file.seek(0)
    try:
        decoder: Callable[[IO[bytes], str], ImageFile] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        fix = "pip install semcbir[heif]" if kind == "HEIC" else "pip install --upgrade pillow"
        raise ImageError(f"no decoder for {kind} is installed; install one: {fix}", transient=True) from error
    try:
        return decoder(cast("IO[bytes]", file), "")
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises a dozen types for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(f"the {kind} header cannot be read ({reason(error)})") from error


class PillowSource(Source):
    """An image whose header Pillow has read."""

    def __init__(self, kind: str, file: BoundedFile) -> None:
        self.kind, self.file = kind, file
        self.image = self.opened()
        self.announced = self.image.size
        self.cost = self.pixels * _PIXEL_BYTES.get(kind, PIXEL_BYTES)
        self.cost += 2 * file.size * (kind in READ_WHOLE)

    def opened(self) -> ImageFile:
        """Return the image, not decoded."""
        return open_image(self.kind, self.file)

    def rgb(self) -> tuple[Bytes, str | None]:
        """Decode; see Source."""
        with pillow_limit_lifted(self.pixels):
            try:
                self.image.load()
            except Exception as error:
                return self._damaged(error)
            return self.converted(), self.unnoticed_damage()

    def converted(self) -> Bytes:
        """Return the pixels of the image, which is decoded."""
        return to_rgb(self.image)

    def unnoticed_damage(self) -> str | None:
        """Return what is wrong with a file that Pillow decodes without an error."""
        return None

    def salvaged(self) -> ImageFile | None:
        """Return the image as far as it could be decoded after ``load`` failed; None if there is nothing."""
        return what_was_decoded(self.image)

    def _damaged(self, error: Exception) -> tuple[Bytes, str | None]:
        if isinstance(error, (ImageError, MemoryError)):
            raise error
        if isinstance(error, OSError) and error.errno is not None:
            raise error
        why = reason(error)
        salvaged = self.salvaged()
        if salvaged is not None:
            self.image = salvaged
            pixels = to_rgb(salvaged)
            if _share(pixels) >= LEAST_SHARE:
                return pixels, CUT_SHORT if "truncated" in why else f"part of it cannot be decoded ({why})"
        raise ImageError(f"the {self.kind} data cannot be decoded ({why})") from error

    @property
    def orientation(self) -> int:  # type: ignore[override]
        """See Source; TIFFs are upright once they are decoded."""
        try:
            return int(self.image.getexif().get(ORIENTATION, 1))
        except Exception:  # damaged metadata around sound pixels
            return 1


def what_was_decoded(image: ImageFile) -> ImageFile | None:
    """Return an image whose ``load`` failed with the pixels decoded until then; None if there are none."""
    try:
        if getattr(image, "im", None) is None:
            return None
        image.tile = []
        with contextlib.suppress(Exception):
            if image.format == "TIFF":
                image.load_end()  # turns it upright
        image.load()
    except Exception:
        return None
    return image


def _share(pixels: Bytes) -> float:
    """Return how much of a damaged picture was decoded: the share of rows that are not blank.

    Decoders leave one colour at the end, or at the beginning of what is stored from the bottom up.
    """
    return min(float((pixels != colour).any(axis=(1, 2)).mean()) for colour in (pixels[0, 0], pixels[-1, -1]))


class _Lift:
    """Pictures being decoded beyond Pillow's limit: the first lifts it, the last puts it back."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.limit: int | None = None

    def enter(self, pixels: int) -> bool:
        """Lift the limit if it is less than ``pixels``; return whether ``leave`` must be called."""
        with self.lock:
            limit = self.limit if self.count else Image.MAX_IMAGE_PIXELS
            if limit is None or pixels <= limit:
                return False
            self.count, self.limit = self.count + 1, limit
            Image.MAX_IMAGE_PIXELS = None
            return True

    def leave(self) -> None:
        """Put the limit back, if nobody else needs it lifted."""
        with self.lock:
            self.count -= 1
            if not self.count:
                self.put_back()

    def put_back(self) -> None:
        """Set the limit that was found, unless the program has set one meanwhile."""
        if Image.MAX_IMAGE_PIXELS is None:
            Image.MAX_IMAGE_PIXELS = self.limit


_lift = _Lift()


@contextmanager
def pillow_limit_lifted(pixels: int) -> Iterator[None]:
    """Make our limit the only one: Pillow's TIFF and WebP decoders and crop() check Pillow's own again.

    That limit is process-wide, so it is lifted only as long as an image beyond it is decoded.
    """
    lift = _lift
    lifted = lift.enter(pixels)
    try:
        yield
    finally:
        if lifted:
            lift.leave()


def _start_anew() -> None:
    """Put the limit back in a forked child: the threads that had lifted it do not exist there."""
    global _lift
    parents, _lift = _lift, _Lift()
    if parents.count:
        parents.put_back()


in_forked_child(_start_anew)
