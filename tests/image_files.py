# SPDX-License-Identifier: MIT
"""Image files for tests, and what is asked of every error about one."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from semcbir._files import display_path
from semcbir.errors import ImageError
from semcbir.images.decode import load_image

Pixels = npt.NDArray[np.uint8]

NAMES = [
    "a b.jpg",
    'it\'s "it".jpg',
    "line\nbreak.jpg",
    "esc\x1b[31m.jpg",
    "日本 é.jpg",
    "-rf.jpg",
    "a;b&c.JPG",
]


def raw(name: bytes) -> str:
    return os.fsdecode(name)


def picture(height: int = 48, width: int = 64) -> Pixels:
    """Smooth and without any symmetry: JPEG keeps it, and every turn of it looks different."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    channels = 255 * x, 255 * y, 120 + 100 * np.sin(9 * x * y + 2 * x)
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def save(path: Path, image: Pixels | Image.Image, **options: object) -> Path:
    pillow = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pillow.save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opencv_file(path: Path, array: npt.NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), array)
    return path


def error_for(path: Path, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        load_image(path, **options)
    assert display_path(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value
