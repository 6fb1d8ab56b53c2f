# SPDX-License-Identifier: MIT
"""The errors that semcbir defines.

Wrong arguments (a negative ``k``, an array of the wrong shape) raise the built-in ``ValueError`` or
``TypeError``. Problems with files, models, devices and indexes raise one of these; the message names the
culprit and says what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semcbir._printable import printable


class SemcbirError(Exception):
    """Base of every error below.

    A message is one line without control characters, whatever a file's name or a library's words are.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ImageError(SemcbirError):
    """An image file is not there, cannot be decoded, or is larger than the pixel limit."""

    def __init__(self, message: str, *, reason: str | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason
        """What is wrong, without the file's name."""
        self.transient = transient
        """True if the same bytes may be readable later: permissions, a missing decoder."""


class ModelError(SemcbirError):
    """A segmentation model or its card is missing or malformed, or the two do not fit each other."""


class DeviceError(SemcbirError):
    """The requested device is not available."""


class IndexStorageError(SemcbirError):
    """A folder is not an index, or an index is damaged or cannot be read or written."""


class IndexLockedError(IndexStorageError):
    """Another process is writing to the index; readers are not affected."""


class RecipeMismatchError(SemcbirError):
    """Signatures were made differently (model, features, parameters) from those they are compared with."""


class ShardsMissingError(SemcbirError):
    """Parts of an index that is searched on several machines do not answer; ``parts`` says which."""

    def __init__(self, message: str, parts: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.parts = tuple(parts)
