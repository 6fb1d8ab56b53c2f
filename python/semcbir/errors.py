# SPDX-License-Identifier: MIT
"""The errors semcbir raises on its own account.

Wrong arguments (a negative ``k``, an array of the wrong shape) raise the built-in ``ValueError`` or
``TypeError``. What is wrong with the world outside (files, models, indexes) raises one of these, and its
message names the culprit and says what to do about it.
"""

from __future__ import annotations


class SemcbirError(Exception):
    """Base of every error below."""


class ImageError(SemcbirError):
    """An image file is not there, cannot be decoded, or is larger than the pixel limit."""

    def __init__(self, message: str, *, reason: str | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason
        """What is wrong, without the file's name."""
        self.transient = transient
        """True where trying the same bytes again may go better: permissions, a missing decoder."""


class ModelError(SemcbirError):
    """A segmentation model or its card is not there, is malformed, or the two do not fit each other."""


class DeviceError(SemcbirError):
    """The device that was asked for is not to be had."""


class IndexStorageError(SemcbirError):
    """An index folder is not an index, is damaged, or cannot be read or written."""


class IndexLockedError(IndexStorageError):
    """Another process is writing to the index; readers are not affected."""


class RecipeMismatchError(SemcbirError):
    """Signatures were made in another way (network, features, parameters) than those they should meet."""
