# SPDX-License-Identifier: MIT
"""What a model's or a library's failure on one image becomes: that image's ImageError."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import cv2

from semcbir._files import reason
from semcbir.errors import ImageError
from semcbir.images.given import ImageSource, describe
from semcbir.inference.network import PhotoError
from semcbir.inference.photo_model import PhotoModel, blame

Out = TypeVar("Out")


def asked(model: PhotoModel, image: ImageSource, ask: Callable[[], Out]) -> Out:
    """Return what ``ask`` returns; ImageError if the model fails on ``image``, but not on a blank one."""
    try:
        return ask()
    except PhotoError as error:
        blamed = blame(model, error)
        raise _error(image, f"the model {blamed.reason}", blamed, transient=blamed.transient) from error
    except (cv2.error, MemoryError) as error:
        raise failed(image, "the model cannot be run on it", error) from error


def failed(image: ImageSource, what: str, error: Exception) -> ImageError:
    """Return the ImageError for an image that makes a library fail."""
    return _error(image, f"{what} ({reason(error)})", error, transient=isinstance(error, MemoryError))


def _error(image: ImageSource, why: str, cause: Exception, *, transient: bool) -> ImageError:
    error = ImageError(f"{describe(image)}: {why}", reason=why, transient=transient)
    error.__cause__ = cause
    return error
