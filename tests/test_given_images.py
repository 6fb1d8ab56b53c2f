# SPDX-License-Identifier: MIT
"""Images in memory: encoded bytes and Pillow's images are treated like files of the same content."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semcbir import ImageError, load_image
from semcbir.images.given import check_image, read_image

RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
COVERED = Image.fromarray(RNG.integers(0, 256, (20, 30, 4), np.uint8))
GREY16 = RNG.integers(0, 2**16, (20, 30), np.uint16)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def palette(transparency: int | None = None) -> Image.Image:
    image = Image.fromarray(COLOURS).quantize(16)
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


IMAGES = {
    "rgb": (Image.fromarray(COLOURS), "png"),
    "grey": (Image.fromarray(COLOURS[..., 0]), "png"),
    "bits": (Image.fromarray(COLOURS[..., 0]).convert("1"), "png"),
    "palette": (palette(), "png"),
    "transparent palette": (palette(3), "png"),
    "alpha": (COVERED, "png"),
    "grey alpha": (COVERED.convert("LA"), "png"),
    "16 bits": (Image.fromarray(GREY16), "png"),
    "cmyk": (Image.fromarray(COLOURS).convert("CMYK"), "tif"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_pillow_s_images_are_like_files(name: str, tmp_path: Path) -> None:
    image, suffix = IMAGES[name]
    path = save(image, tmp_path / f"image.{suffix}")
    expected = load_image(path, 25)
    np.testing.assert_array_equal(read_image(image, 25), expected)
    np.testing.assert_array_equal(read_image(path.read_bytes(), 25), expected)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(opened, 25), expected)
        np.testing.assert_array_equal(read_image(opened, 25), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(Image.fromarray(COLOURS), tmp_path / f"image.{suffix}", exif=exif, **options)
    expected = load_image(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(opened), expected)
    np.testing.assert_array_equal(read_image(path.read_bytes()), expected)
    assert expected.shape == ((30, 20, 3) if orientation > 4 else (20, 30, 3))


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "RGBa", "La", "PA", "RGBX", "I;16B"])
def test_modes_that_only_memory_knows(mode: str) -> None:
    if mode == "I;16B":
        image = Image.frombytes(mode, (30, 20), GREY16.astype(">u2").tobytes())
        expected = read_image(Image.fromarray(GREY16))
    elif mode in ("RGBa", "La", "PA"):
        image = COVERED.convert("RGBa") if mode == "RGBa" else COVERED.convert("LA").convert(mode)
        expected = read_image(image.convert("LA" if mode == "La" else "RGBA"))
    else:
        image = Image.fromarray(COLOURS).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(image), expected)


def test_an_image_stays_as_it_is() -> None:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "JPEG")
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        size, mode = opened.size, opened.mode
        read_image(opened, 5)
        assert (opened.size, opened.mode) == (size, mode)


def test_a_damaged_image_is_an_image_error() -> None:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "PNG")
    cut = Image.open(io.BytesIO(file.getvalue()[:200]))
    with pytest.raises(ImageError, match="^Pillow image: its pixels cannot be read") as caught:
        read_image(cut)
    assert not caught.value.reason.startswith("Pillow image")


@pytest.mark.parametrize("image", [None, 3, 3.5, object(), [], [1], 10**30, float("nan")])
def test_what_is_no_image(image: Any) -> None:
    with pytest.raises(
        TypeError, match="^query: expected a path, an encoded image, an RGB array or a Pillow"
    ):
        check_image("query", image)
