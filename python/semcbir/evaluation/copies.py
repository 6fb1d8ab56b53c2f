# SPDX-License-Identifier: MIT
"""Copies of a photo as they go around: smaller, mirrored, compressed, brighter, cut, turned.

Each takes RGB uint8 (H, W, 3) and returns such an image of at least one pixel; the same pixels give the same
copy on one version of OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from semcbir.images.decode import ImageArray

GAMMA = 1.5
JPEG_QUALITY = 20
BRIGHTER = 40
DEGREES = 10


def halved(image: ImageArray) -> ImageArray:
    """Return the image at half its width and height, rounded down; pixels are means of what they cover."""
    height, width = image.shape[:2]
    size = max(1, width // 2), max(1, height // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def mirrored(image: ImageArray) -> ImageArray:
    """Return the image with left and right exchanged."""
    return np.ascontiguousarray(image[:, ::-1])


def compressed(image: ImageArray) -> ImageArray:
    """Return the image as a JPEG of quality ``JPEG_QUALITY`` keeps it; OpenCV writes and reads it."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    back = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if back is None:
        raise ValueError(f"image: expected one that fits into a JPEG, got shape {image.shape}")
    return np.ascontiguousarray(back[:, :, ::-1], np.uint8)


def brighter(image: ImageArray) -> ImageArray:
    """Return the image with ``BRIGHTER`` added to every value, at most 255."""
    return np.minimum(image, 255 - BRIGHTER) + np.uint8(BRIGHTER)


def darker_midtones(image: ImageArray) -> ImageArray:
    """Return the image with every value x as 255 (x / 255) ** ``GAMMA``, rounded."""
    table = np.rint(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)
    return table[image]


def cut(image: ImageArray, share: float) -> ImageArray:
    """Return the image's centre, ``share`` of its width and of its height, rounded."""
    height, width = (max(1, round(share * side)) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def turned(image: ImageArray, degrees: float = DEGREES) -> ImageArray:
    """Return the image turned counter-clockwise about its centre and cut to what it fills; bilinear.

    ``degrees`` is between 0 and 90. The cut is the largest upright rectangle about the centre in which there
    is no border (``inner_size``).
    """
    height, width = image.shape[:2]
    new_width, new_height = inner_size(width, height, degrees)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Where each pixel of the copy comes from: offsets from its centre, turned clockwise on the screen.
    from_x, from_y = (new_width - 1) / 2, (new_height - 1) / 2
    matrix = np.array(
        [
            [cosine, -sine, (width - 1) / 2 - cosine * from_x + sine * from_y],
            [sine, cosine, (height - 1) / 2 - sine * from_x - cosine * from_y],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (new_width, new_height), flags=flags), np.uint8)


def inner_size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Return width and height of the largest upright rectangle in a turned one, rounded down, at least 1.

    A rectangle W x H, turned back, needs W cos + H sin of the image's width and W sin + H cos of its height.
    The product W H is largest where only one of the two bounds it, if the other holds there too (W and H then
    use half of that side each), and otherwise where both are used up.
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    by_height = height / (2 * sine), height / (2 * cosine)
    by_width = width / (2 * cosine), width / (2 * sine)
    if by_height[0] * cosine + by_height[1] * sine <= width:
        best = by_height
    elif by_width[0] * sine + by_width[1] * cosine <= height:
        best = by_width
    else:
        both = cosine**2 - sine**2
        best = (width * cosine - height * sine) / both, (height * cosine - width * sine) / both
    return max(1, math.floor(best[0])), max(1, math.floor(best[1]))


COPIES: dict[str, Callable[[ImageArray], ImageArray]] = {
    "halved": halved,
    "mirrored": mirrored,
    f"JPEG {JPEG_QUALITY}": compressed,
    f"brighter by {BRIGHTER}": brighter,
    f"gamma {GAMMA}": darker_midtones,
    "cut to 80 %": lambda image: cut(image, 0.8),
    "cut to 60 %": lambda image: cut(image, 0.6),
    f"turned by {DEGREES}°": turned,
}
"""The kinds of copies by name."""
