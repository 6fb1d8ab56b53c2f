# SPDX-License-Identifier: MIT
"""Every way a file can be bad: always one ImageError that names it."""

from __future__ import annotations

import os
import struct
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from image_files import error_for, picture, png_chunk, save
from semcbir.errors import ImageError
from semcbir.images.decode import load_image
from semcbir.images.limits import MAX_PIXELS


def png_header(width: int, height: int) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def test_zero_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    error = error_for(tmp_path / "a.jpg")
    assert "empty" in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "text", [b"x", b"Dear diary,\n", b"<html>", b"\xff\xd8", b"RIFF\0\0\0\0AVI ", bytes(64)]
)
def test_text_and_other_files(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(text)
    assert "not an image" in str(error_for(tmp_path / "a.jpg"))


@pytest.mark.parametrize("suffix", [".webp", ".heic", ".avif"])
def test_truncated_kinds_of_which_nothing_decodes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    if suffix == ".heic":
        pytest.importorskip("pillow_heif", reason="needs the extra heif").from_pillow(noise).save(path)
    elif suffix == ".avif" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow has no AVIF")
    else:
        save(path, noise)
    data = path.read_bytes()
    for tenth in range(1, 10):
        path.write_bytes(data[: len(data) * tenth // 10])
        assert not error_for(path).transient


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".gif", ".ppm", ".tga", ".jp2"])
@settings(deadline=None)
@given(st.data())
def test_damaged_bytes_never_do_worse_than_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(save(folder / f"sound{suffix}", picture(9, 13)).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(4, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path = folder / f"damaged{suffix}"
    path.write_bytes(content)
    try:
        loaded = load_image(path, 16, max_pixels=10**6)
    except ImageError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert loaded.dtype == np.uint8
        assert 1 <= max(loaded.shape[:2]) <= 16


def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    error = error_for(tmp_path / "bomb.png")
    assert "60000 x 60000" in str(error)
    assert str(MAX_PIXELS) in str(error)
    assert not error.transient


def test_pixel_limit_is_inclusive_and_can_be_lifted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture(10, 10))
    assert load_image(path, max_pixels=100).shape == (10, 10, 3)
    assert load_image(path, max_pixels=None).shape == (10, 10, 3)
    assert "10 x 10" in str(error_for(path, max_pixels=99))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "lzw.tif", "a.webp", "a.bmp", "a.gif"])
@pytest.mark.parametrize("limit", [2, 60])
def test_pillows_own_limit_neither_counts_nor_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    options = {"compression": "tiff_lzw"} if name.startswith("lzw") else {}
    path = save(tmp_path / name, picture(10, 10), **options)
    if name == "a.webp":
        limit = max(limit, 60)  # Pillow's WebP decoder refuses twice its limit on opening: the next test
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert load_image(path).shape == (10, 10, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillows_refusal_of_a_webp_is_an_image_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.webp", picture(10, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    try:
        load_image(path)  # older Pillows do not look
    except ImageError as error:
        assert "decompression bomb" in str(error)  # noqa: PT017


def test_folder_and_missing_file(tmp_path: Path) -> None:
    assert "folder" in str(error_for(tmp_path))
    error = error_for(tmp_path / "nothing.jpg")
    assert error.transient
    assert "no such file" in str(error)
    save(tmp_path / "a.png", picture())
    assert "no such file" in str(error_for(tmp_path / "a.png" / "b.png"))
    assert "cannot be read" in str(error_for(tmp_path / "a\0b.png"))


def test_file_that_vanishes_between_stat_and_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", picture())
    look = os.stat

    def look_and_remove(*arguments: object, **options: object) -> os.stat_result:
        status = look(*arguments, **options)  # type: ignore[arg-type]
        path.unlink(missing_ok=True)
        return status

    monkeypatch.setattr(os, "stat", look_and_remove)
    with pytest.raises(ImageError, match="no such file") as caught:
        load_image(path)
    assert caught.value.transient


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    outcome: list[Exception] = []

    def load() -> None:
        try:
            load_image(tmp_path / "a.jpg")
        except ImageError as error:
            outcome.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(10)
    assert [str(error).endswith("not a regular file") for error in outcome] == [True]


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_unreadable_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", picture())
    path.chmod(0)
    error = error_for(path)
    assert error.transient
    assert "permission" in str(error)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (PermissionError(13, "Permission denied"), "permission"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (MemoryError(), "memory"),
    ],
)
@pytest.mark.parametrize("where", ["pathlib.Path.open", "PIL.PngImagePlugin.PngImageFile.load"])
def test_trouble_outside_of_the_file_is_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, raised: Exception, words: str
) -> None:
    path = save(tmp_path / "a.png", picture())

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(where, fail)
    error = error_for(path)
    assert error.transient
    assert words in str(error)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_without_a_decoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brand: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(40))
    error = error_for(path)
    assert error.transient
    assert "pip install semcbir[heif]" in str(error)


def test_lab_comes_out_in_colour_or_as_an_image_error(tmp_path: Path) -> None:
    srgb, lab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    image = ImageCms.profileToProfile(Image.fromarray(picture()), srgb, lab, outputMode="LAB")
    assert image is not None
    path = save(tmp_path / "a.tif", image)
    try:
        assert np.abs(load_image(path).astype(int) - picture()).mean() < 10
    except ImageError as error:  # older Pillows
        assert "LAB" in str(error)  # noqa: PT017
