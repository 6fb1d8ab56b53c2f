# SPDX-License-Identifier: MIT
"""Damaged files: what decodes is used, with a note; sound ones get none."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_files import error_for, picture, png_chunk, save
from semcbir.errors import ImageError
from semcbir.images.decode import load_image, load_noted

CUT_SHORT = "the file ends early"
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])


@pytest.mark.parametrize("name", ["a.jpg", "p.jpg", "a.png", "a.bmp", "a.tif", "a.gif", "a.ppm", "a.tga"])
@pytest.mark.parametrize("long_side", [None, 20])
def test_cut_short_at_every_tenth(tmp_path: Path, name: str, long_side: int | None) -> None:
    options = {"p.jpg": {"progressive": True}, "a.gif": {"interlace": 0}}.get(name, {})
    path = save(tmp_path / name, NOISE, **options)
    whole, damage = load_noted(path, None)
    assert damage is None
    data = path.read_bytes()
    for tenth in range(3, 10):
        path.write_bytes(data[: len(data) * tenth // 10])
        loaded, damage = load_noted(path, long_side)
        assert damage == CUT_SHORT
        if long_side is None and name != "p.jpg":
            rows = len(whole) * (tenth - 2) // 10 // 16 * 16 - 2  # JPEG comes in rows of 16 pixels
            part = slice(-max(0, rows), None) if name in ("a.bmp", "a.tga") else slice(max(0, rows))
            np.testing.assert_array_equal(loaded[part][: max(0, rows)], whole[part][: max(0, rows)])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("long_side", [None, 100])
def test_jpeg_without_its_last_bytes_is_the_picture(
    tmp_path: Path, progressive: bool, long_side: int | None
) -> None:
    path = save(tmp_path / "a.jpg", picture(300, 400), progressive=progressive)
    whole = load_image(path, long_side)
    for lost in (1, 2):
        cut(path, path.stat().st_size - 1)
        loaded, damage = load_noted(path, long_side)
        np.testing.assert_array_equal(loaded, whole)
        assert damage == CUT_SHORT, lost


def test_jpeg_with_its_head_alone_is_refused(tmp_path: Path) -> None:
    noise = np.tile(NOISE, (15, 1, 1))
    path = save(tmp_path / "a.jpg", noise)
    scan = path.read_bytes().index(b"\xff\xda")
    for count in (scan, scan + 14, scan + 30):
        cut(save(path, noise), count)
        assert "JPEG" in str(error_for(path))


def test_jpeg_with_a_hole_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", NOISE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 512] = bytes(512)
    path.write_bytes(data)
    loaded, damage = load_noted(path)
    assert damage is not None
    assert "zeros are in its place" in damage
    assert loaded.shape == NOISE.shape


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_sound_jpegs_are_not_taken_for_damaged(tmp_path: Path, options: dict[str, bool]) -> None:
    black, white = np.zeros((900, 900, 3), np.uint8), np.full((900, 900), 255, np.uint8)
    for number, image in enumerate([black, white, NOISE]):
        path = save(tmp_path / f"{number}.jpg", image, **options)
        assert load_noted(path)[1] is None
        path.write_bytes(path.read_bytes() + bytes(5000))  # what cameras and disks append
        assert load_noted(path)[1] is None


def test_png_whose_metadata_is_damaged_is_the_picture(tmp_path: Path) -> None:
    data = save(tmp_path / "a.png", picture()).read_bytes()
    head, rest = data[:33], data[33:]
    text = png_chunk(b"tEXt", b"Comment\0hello")
    for bad in (
        text[:-1] + b"\0",
        png_chunk(b"iCCP", b"name\0\1nonsense"),
        png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(2**21))[:50]),
        png_chunk(b"zTXt", b"Comment\0\0nonsense")[:-2] + b"xx",
        png_chunk(b"pHYs", b"\1"),
    ):
        (tmp_path / "b.png").write_bytes(head + bad + rest)
        loaded, _ = load_noted(tmp_path / "b.png")
        np.testing.assert_array_equal(loaded, picture())
    assert load_noted(tmp_path / "a.png")[1] is None
    (tmp_path / "b.png").write_bytes(head + text[:-1] + b"\0" + rest)
    damage = load_noted(tmp_path / "b.png")[1]
    assert damage is not None
    assert "its header is damaged" in damage
    assert "tEXt" in damage


def test_png_without_an_end_or_with_a_wrong_checksum_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture())
    data = path.read_bytes()
    path.write_bytes(data[:-12])
    loaded, damage = load_noted(path)
    np.testing.assert_array_equal(loaded, picture())
    assert damage == CUT_SHORT
    path.write_bytes(data[:-13] + bytes([data[-13] ^ 1]) + data[-12:])  # the last byte of IDAT's checksum
    loaded, damage = load_noted(path)
    np.testing.assert_array_equal(loaded, picture())
    assert damage == "the checksum of its picture data is wrong"
    path.write_bytes(data[:30] + bytes([data[30] ^ 1]) + data[31:])  # of IHDR's
    assert load_noted(path)[1] is not None


def test_png_keeps_orientation_and_transparency_through_the_repair(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    colour = tuple(int(value) for value in picture()[5, 7])
    data = save(tmp_path / "a.png", picture(), exif=exif, transparency=colour).read_bytes()
    whole = load_image(tmp_path / "a.png")
    bad = png_chunk(b"tEXt", b"Comment\0hello")[:-1] + b"\0"
    (tmp_path / "b.png").write_bytes(data[:33] + bad + data[33:])
    loaded, damage = load_noted(tmp_path / "b.png")
    np.testing.assert_array_equal(loaded, whole)
    assert damage


def test_damage_in_a_tiff_leaves_it_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.tif", np.ascontiguousarray(np.rot90(NOISE)), exif=exif)
    cut(path, path.stat().st_size - 3000)
    loaded, damage = load_noted(path)
    assert damage == CUT_SHORT
    assert loaded.shape == NOISE.shape
    np.testing.assert_array_equal(loaded[:, -40:], NOISE[:, -40:])


def test_wang_is_sound(wang_dir: Path) -> None:
    assert {load_noted(path)[1] for path in sorted(wang_dir.glob("*.jpg"))[::10]} == {None}


# --- What libraries say -------------------------------------------------------------------------------------


def damaged_tiff(path: Path, compression: str) -> Path:
    try:
        save(path, NOISE, compression=compression)
    except OSError:
        pytest.skip(f"this Pillow's libtiff has no {compression}")
    data = bytearray(path.read_bytes())
    for position in range(300, len(data) - 500, 7):
        data[position] ^= 0x55
    path.write_bytes(data)
    return path


def test_nothing_that_libraries_say_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from semcbir.images import chatter

    if not chatter.hear_libtiff():
        pytest.skip("libtiff's functions are hidden in this Pillow")
    kinds = ("tiff_lzw", "jpeg", "zstd", "lzma", "packbits", "tiff_adobe_deflate")
    paths = [damaged_tiff(tmp_path / f"{kind}.tif", kind) for kind in kinds]
    capfd.readouterr()
    said = []
    for path in paths:
        try:
            said.append(load_noted(path)[1] or "")
        except ImageError as error:
            said.append(str(error))
    output = capfd.readouterr()
    assert output.out == output.err == ""
    assert any("LZMADecode" in text or "Using code not yet in table" in text for text in said), said


@pytest.mark.filterwarnings("ignore")
def test_outside_of_our_decoding_libtiff_speaks_as_ever(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from semcbir.images import chatter

    if not chatter.hear_libtiff():
        pytest.skip("libtiff's functions are hidden in this Pillow")
    path = save(tmp_path / "a.tif", NOISE, compression="tiff_adobe_deflate")
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"\xff" * 40 + data[48:])
    with pytest.raises(OSError, match="-2"), Image.open(path) as image:
        image.load()
    assert "ZIPDecode" in capfd.readouterr().err


def test_warnings_of_pillow_are_heard_by_this_thread_alone(recwarn: pytest.WarningsRecorder) -> None:
    from semcbir.images.chatter import heard

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with heard() as said:
            warnings.warn("one  thing\n", stacklevel=1)
            with heard() as inner:
                warnings.warn("another", stacklevel=1)
        warnings.warn("not ours", stacklevel=1)
    assert said == ["one thing"]
    assert inner == ["another"]
    assert [str(one.message) for one in recwarn] == ["not ours"]


def test_damaged_metadata_of_a_tiff_warns_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = io.BytesIO()
    Image.fromarray(picture()).save(data, "TIFF", software="x" * 50)
    content = bytearray(data.getvalue())
    entry = content.index((305).to_bytes(2, "little") + b"\2\0")
    content[entry + 8 : entry + 12] = (10**9).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content)
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif"), picture())
    assert capfd.readouterr().err == ""
