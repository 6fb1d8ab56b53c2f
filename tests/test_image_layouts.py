# SPDX-License-Identifier: MIT
"""Layouts of pixels that are easy to get wrong: what comes out is the picture, or the true reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import tiff_files
from image_files import Pixels, error_for, opencv_file, picture, png_chunk, save
from semcbir.errors import ImageError
from semcbir.images import pnm
from semcbir.images.decode import load_image, load_noted
from tiff_files import DEFLATE, page

PICTURE = picture()
GREY = PICTURE[..., 2]
GREY_RGB = np.dstack([GREY] * 3)
DEEP = PICTURE.astype(np.uint16) * 257
UNIT = PICTURE / 255
FLOATS = UNIT.astype(np.float32)
ALPHA = np.repeat(np.uint8([0, 255] * 12), 2)[:, np.newaxis].repeat(64, axis=1)
OVER_WHITE = np.where(ALPHA[..., np.newaxis] == 255, PICTURE, 255)
DEEP_ALPHA = np.dstack([DEEP, ALPHA * np.uint16(257)])
CMYK = np.dstack([255 - PICTURE, np.zeros_like(GREY)])

# --- TIFF ---------------------------------------------------------------------------------------------------

RGB, GREY_COLOUR, WHITE_IS_ZERO, CMYK_COLOUR = 2, 1, 0, 5
TIFFS: dict[str, tuple[Any, int, dict[str, Any], Pixels]] = {
    "16-bit planes": (DEEP, RGB, {"planar": True}, PICTURE),
    "16-bit planes in strips": (DEEP, RGB, {"planar": True, "rows": 7}, PICTURE),
    "16-bit planes in tiles": (DEEP, RGB, {"planar": True, "tile": 32}, PICTURE),
    "16-bit planes, deflated": (DEEP, RGB, {"planar": True, "compression": DEFLATE}, PICTURE),
    "16-bit planes of CMYK": (CMYK.astype(np.uint16) * 257, CMYK_COLOUR, {"planar": True}, PICTURE),
    "16-bit planes, alpha": (DEEP_ALPHA, RGB, {"planar": True, "extra": [2]}, OVER_WHITE),
    "8-bit planes": (PICTURE, RGB, {"planar": True}, PICTURE),
    "floats": (FLOATS, RGB, {}, PICTURE),
    "floats in strips, deflated": (FLOATS, RGB, {"compression": DEFLATE, "rows": 9}, PICTURE),
    "floats with predictor": (FLOATS, RGB, {"compression": DEFLATE, "predictor": 3}, PICTURE),
    "floats in planes": (FLOATS, RGB, {"planar": True, "tile": 16}, PICTURE),
    "doubles": (UNIT, RGB, {}, PICTURE),
    "half floats": (UNIT.astype(np.float16), RGB, {}, PICTURE),
    "grey floats": (UNIT[..., 2].astype(np.float32), GREY_COLOUR, {}, GREY_RGB),
    "grey floats, white is zero": ((1 - UNIT[..., 2]).astype(np.float32), WHITE_IS_ZERO, {}, GREY_RGB),
    "32-bit grey": (GREY.astype(np.uint32) << 24, GREY_COLOUR, {}, GREY_RGB),
    "32-bit RGB": (PICTURE.astype(np.uint32) << 24, RGB, {"compression": DEFLATE, "predictor": 2}, PICTURE),
    "grey, multiplied alpha": (
        np.dstack([np.minimum(GREY, ALPHA), ALPHA]), GREY_COLOUR, {"extra": [1]},
        np.where(ALPHA[..., np.newaxis] == 255, GREY_RGB, 255),
    ),
    "CMYK, alpha": (np.dstack([CMYK, ALPHA]), CMYK_COLOUR, {"extra": [2]}, OVER_WHITE),
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", TIFFS)
def test_tiff_layouts(tmp_path: Path, name: str, order: str) -> None:
    array, colour, how, expected = TIFFS[name]
    path = tiff_files.write(tmp_path / "a.tif", page(array, colour, order=order, **how), order=order)
    loaded, damage = load_noted(path)
    assert damage is None
    assert np.abs(loaded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", [3, 6])
def test_tiff_pages_read_without_pillow_come_upright(tmp_path: Path, orientation: int) -> None:
    stored = np.rot90(DEEP, 2 if orientation == 3 else 1)
    path = tiff_files.write(tmp_path / "a.tif", page(stored, RGB, planar=True, t274=orientation))
    np.testing.assert_array_equal(load_image(path), PICTURE)


def test_signed_and_unbounded_numbers_are_stretched(tmp_path: Path) -> None:
    ramp = np.linspace(-1000, 3000, 256).round().reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for kind in (np.int16, np.int32, np.float32, np.float64):
        path = tiff_files.write(tmp_path / "a.tif", page(ramp.astype(kind), GREY_COLOUR))
        assert np.abs(load_image(path)[..., 0].astype(int) - expected).max() <= 1
    holes = ramp.astype(np.float32)
    holes[0, 0], holes[0, 1], holes[0, 2] = np.nan, np.inf, -np.inf
    path = tiff_files.write(tmp_path / "a.tif", page(holes, GREY_COLOUR))
    assert load_image(path)[0, :3, 0].tolist() == [0, 0, 0]
    for strange in (np.full((3, 3), np.nan), np.array([[-1e308, 1e308]]), np.array([[0, 5e-324]])):
        load_image(tiff_files.write(tmp_path / "a.tif", page(strange, GREY_COLOUR)))


def test_lab_of_both_kinds(tmp_path: Path) -> None:
    srgb, profile = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    image = ImageCms.profileToProfile(Image.fromarray(PICTURE), srgb, profile, outputMode="LAB")
    assert image is not None
    cie = np.asarray(image)
    icc = cie ^ np.uint8([0, 128, 128])
    loaded = [
        load_image(tiff_files.write(tmp_path / f"{colour}.tif", page(array, colour)))
        for colour, array in ((8, cie), (9, icc))
    ]
    np.testing.assert_array_equal(*loaded)
    assert np.abs(loaded[0].astype(int) - PICTURE).mean() < 10


@pytest.mark.parametrize("mark", [{"t254": 1}, {"t254": 5}, {"t254": 4}, {"t255": 2}])
def test_first_page_that_is_not_a_thumbnail_or_mask(tmp_path: Path, mark: dict[str, int]) -> None:
    thumbnail = page(PICTURE[::4, ::4], RGB, **mark)
    path = tiff_files.write(
        tmp_path / "a.tif", thumbnail, thumbnail, page(PICTURE, RGB), page(255 - PICTURE, RGB)
    )
    np.testing.assert_array_equal(load_image(path), PICTURE)
    deep = page(DEEP, RGB, planar=True, t254=2)  # 2: one page of several
    np.testing.assert_array_equal(load_image(tiff_files.write(path, thumbnail, deep)), PICTURE)
    alone = load_image(tiff_files.write(path, thumbnail))
    np.testing.assert_array_equal(alone, PICTURE[::4, ::4])


@pytest.mark.parametrize("form", ["WEBP", "JPEG2000"])
def test_tiff_with_files_for_strips(tmp_path: Path, form: str) -> None:
    tags, _ = page(PICTURE, RGB, rows=16, compression={"WEBP": 50001, "JPEG2000": 34712}[form])
    options = {"lossless": True} if form == "WEBP" else {"irreversible": False}
    parts = []
    for top in (0, 16, 32):
        save(tmp_path / "part", Image.fromarray(PICTURE[top : top + 16]), format=form, **options)
        parts.append((tmp_path / "part").read_bytes())
    path = tiff_files.write(tmp_path / "a.tif", (tags, parts))
    np.testing.assert_array_equal(load_image(path), PICTURE)
    loaded, damage = load_noted(tiff_files.write(path, (tags, [parts[0], b"x" * 99, parts[2]])))
    assert damage == "1 of 3 parts of the picture cannot be decoded"
    np.testing.assert_array_equal(loaded[:16], PICTURE[:16])
    parts[0] = (tmp_path / "part").write_bytes(b"") or save(
        tmp_path / "part", Image.new("RGB", (640, 160)), format=form
    ).read_bytes()  # a part that is larger than its place
    assert "2 of 3" not in str(load_noted(tiff_files.write(path, (tags, parts)))[1])


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"t259": 50002}, "TIFF of RGB in 8 bits compressed with JPEG XL: not supported"),
        ({"t259": 60000}, "TIFF of RGB in 8 bits compressed with method 60000: not supported"),
        ({"t262": 32803}, "TIFF of raw sensor data in 8 bits: not supported"),
        ({"t262": 10}, "TIFF of ITULab in 8 bits: not supported"),
    ],
)
def test_tiff_that_is_not_read_says_what_it_is(tmp_path: Path, tags: dict[str, int], words: str) -> None:
    how = {"compression": tags.pop("t259")} if "t259" in tags else {}
    made, parts = page(PICTURE, tags.pop("t262", RGB), **how)
    error = error_for(tiff_files.write(tmp_path / "a.tif", (made, parts)))
    assert error.reason == words


def test_tiff_pages_read_without_pillow_may_be_damaged(tmp_path: Path) -> None:
    tags, parts = page(DEEP, RGB, rows=1, planar=True)
    loaded, damage = load_noted(tiff_files.write(tmp_path / "a.tif", (tags, [*parts[:100], *[b""] * 44])))
    assert damage == "44 of 144 parts of the picture cannot be decoded"
    np.testing.assert_array_equal(loaded[..., :2], PICTURE[..., :2])
    error = error_for(tiff_files.write(tmp_path / "b.tif", (tags, [*parts[:4], *[b""] * 140])))
    assert "4 of 144 parts of the picture are there" in error.reason


def test_lzw_floats_are_read_where_pillow_can_and_named_where_not(tmp_path: Path) -> None:
    image = Image.fromarray(UNIT[..., 2].astype(np.float32))
    loaded = load_image(save(tmp_path / "a.tif", image, compression="tiff_lzw"))
    assert np.abs(loaded.astype(int) - GREY_RGB).max() <= 1
    made, parts = page(UNIT.astype(np.float32), RGB, compression=5)
    error = error_for(tiff_files.write(tmp_path / "b.tif", (made, parts)))
    assert error.reason == "TIFF of RGB in 32 floating-point bits compressed with LZW: not supported"


# --- PNG and 16 bits ----------------------------------------------------------------------------------------


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    stride = len(rows) // height
    data = b"".join(b"\0" + rows[top * stride : (top + 1) * stride] for top in range(height))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            header,
            *extra,
            png_chunk(b"IDAT", zlib.compress(data)),
            png_chunk(b"IEND", b""),
        ]
    )


def test_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [1, 2, 4], [60000, 2, 3]]], ">u2") + np.array(0x1200, ">u2")
    key = png_chunk(b"tRNS", struct.pack(">HHH", *pixels[0, 0].tolist()))
    path = tmp_path / "a.png"
    path.write_bytes(png(3, 1, 16, 2, pixels.astype(">u2").tobytes(), key))
    loaded = load_image(path)
    assert loaded[0, 0].tolist() == [255] * 3
    assert loaded[0, 1:].tolist() == (pixels[0, 1:] >> 8).tolist()


def test_transparent_grey_of_16_bits(tmp_path: Path) -> None:
    key = png_chunk(b"tRNS", struct.pack(">H", 0x1234))
    path = tmp_path / "a.png"
    path.write_bytes(png(3, 1, 16, 0, np.array([0x1234, 0x1235, 0xF000], ">u2").tobytes(), key))
    assert load_image(path)[0, :, 0].tolist() == [255, 0x12, 0xF0]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_grey_of_few_bits(tmp_path: Path, bits: int) -> None:
    values = np.arange(8) % 2**bits
    packed = np.packbits(
        np.array([[v >> b & 1 for b in range(bits)][::-1] for v in values], np.uint8).ravel()
    )
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 1, bits, 0, packed.tobytes(), png_chunk(b"tRNS", struct.pack(">H", 1))))
    expected = [255 if value == 1 else value * 255 // (2**bits - 1) for value in values]
    assert load_image(path)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("offset", [0, 30000])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_of_narrow_range_are_stretched(
    tmp_path: Path, suffix: str, offset: int, channels: int
) -> None:
    image = PICTURE if channels > 1 else GREY[..., np.newaxis]
    spread = np.round((image - image.min()) * (4000 / np.ptp(image))) + offset
    deep = spread.astype(np.uint16)[..., ::-1]
    if channels == 4:
        deep = np.dstack([deep, np.full_like(GREY, 255) * np.uint16(257)])
    loaded = load_image(opencv_file(tmp_path / f"a{suffix}", deep))
    full = (image - image.min()) * (255 / np.ptp(image))
    assert np.abs(loaded - full).max() <= 1.5


def test_16_bits_of_ordinary_range_keep_their_upper_8(tmp_path: Path) -> None:
    ramp = np.linspace(0, 5000, 64).astype(np.uint16)[np.newaxis]
    np.testing.assert_array_equal(load_image(opencv_file(tmp_path / "a.png", ramp))[..., 0], ramp >> 8)
    colour = np.dstack([ramp, ramp, ramp])
    np.testing.assert_array_equal(load_image(opencv_file(tmp_path / "b.png", colour))[..., 0], ramp >> 8)
    flat = np.full((4, 4, 3), 300, np.uint16)
    assert (load_image(opencv_file(tmp_path / "c.png", flat)) == 1).all()


# --- BMP ----------------------------------------------------------------------------------------------------


def bmp(masks: tuple[int, ...], bits: int, rows: bytes, width: int, height: int, header: int = 40) -> bytes:
    compression = 6 if len(masks) == 4 and header == 40 else 3
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 1, 1, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    head = head.ljust(max(header, len(head)), b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows


MASKS = {
    "RGBX": (0xFF, 0xFF00, 0xFF0000),
    "shifted": (0xFF << 4, 0xFF << 12, 0xFF << 20),
    "10 bits": (0x3FF << 20, 0x3FF << 10, 0x3FF),
    "usual": (0xFF0000, 0xFF00, 0xFF),
}


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_bmp_bit_fields(tmp_path: Path, name: str, top_down: bool) -> None:
    numbers = np.zeros(GREY.shape, np.uint32)
    for channel, mask in enumerate(MASKS[name]):
        shift = (mask & -mask).bit_length() - 1
        numbers |= (PICTURE[..., channel].astype(np.uint32) << ((mask >> shift).bit_length() - 8)) << shift
    rows = numbers if top_down else numbers[::-1]
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp(MASKS[name], 32, rows.tobytes(), 64, -48 if top_down else 48))
    np.testing.assert_array_equal(load_image(path), PICTURE)
    path = tmp_path / "a.dib"
    path.write_bytes(path.with_suffix(".bmp").read_bytes()[14:])
    np.testing.assert_array_equal(load_image(path), PICTURE)


def test_bmp_of_16_bits_with_odd_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp((0xF, 0xF0, 0xF00), 16, np.array([0xF, 0xF0, 0xF00, 0x888], "<u2").tobytes(), 4, 1))
    assert load_image(path)[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [136] * 3]


def test_bmp_alpha_counts_unless_it_is_zero_everywhere(tmp_path: Path) -> None:
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    path = tmp_path / "a.bmp"
    for order in (masks, (0xFF00, 0xFF, 0xFF0000, 0xFF000000)):  # the first is one that Pillow knows
        path.write_bytes(bmp(order, 32, np.array([0x00202020, 0x00404040], "<u4").tobytes(), 2, 1, 56))
        assert load_image(path)[0, :, 0].tolist() == [0x20, 0x40]
        path.write_bytes(bmp(order, 32, np.array([0x00202020, 0xFF404040], "<u4").tobytes(), 2, 1, 56))
        assert load_image(path)[0, :, 0].tolist() == [255, 0x40]


def test_bmp_that_is_not_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp((0xFF, 0, 0xFF00), 32, bytes(4), 1, 1))
    assert "a colour has no bits" in str(error_for(path))
    path.write_bytes(bmp(MASKS["RGBX"], 32, b"", 5, 5))
    assert "ends before" in str(error_for(path))


# --- PNM ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"P2 3 2 255\n10 200#7 8\n\n 3 #\r\t4 5\n60", [10, 200, 3, 4, 5, 60]),
        (b"P2 3 2 255\n10 200 30 40 #\n5 60 70 # 80 \n", [10, 200, 30, 40, 5, 60]),
        (b"P1 3 2\n010# 1\n1 0\n1", [255, 0, 255, 0, 255, 0]),
        (b"P1 3 2\n010101 1 1 x", [255, 0, 255, 0, 255, 0]),
    ],
)
def test_pnm_text_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, text: bytes, values: list[int]
) -> None:
    monkeypatch.setattr(pnm, "_PIECE", piece)
    (tmp_path / "a.pgm").write_bytes(text)
    assert load_image(tmp_path / "a.pgm")[..., 0].ravel().tolist() == values


@pytest.mark.parametrize("white", [255, 100, 65535, 1000])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_pnm(tmp_path: Path, white: int, text: bool, channels: int) -> None:
    image = PICTURE[..., :channels]
    values = np.round(image / 255 * white).astype(np.uint8 if white < 256 else ">u2")
    kind = {(1, True): 2, (3, True): 3, (1, False): 5, (3, False): 6}[channels, text]
    data = " ".join(map(str, values.ravel().tolist())).encode() if text else values.tobytes()
    path = tmp_path / "a.pnm"
    path.write_bytes(b"P%d # a comment 1 2\n64 48\n%d\n" % (kind, white) + data)
    assert np.abs(load_image(path).astype(int) - image).max() <= (2 if white == 100 else 1)
    if white != 100:
        return
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    loaded, damage = load_noted(path)
    assert damage == "the file ends early"
    assert np.abs(loaded[:20].astype(int) - image[:20]).max() <= 2


@pytest.mark.parametrize("kind", [1, 4])
def test_pbm(tmp_path: Path, kind: int) -> None:
    bits = (picture(9, 13)[..., 2] < 128).astype(np.uint8)
    data = np.packbits(bits, axis=1).tobytes() if kind == 4 else "".join(map(str, bits.ravel())).encode()
    path = tmp_path / "a.pbm"
    path.write_bytes(b"P%d\n13 9\n" % kind + data)
    np.testing.assert_array_equal(load_image(path)[..., 0], 255 * (1 - bits))


@pytest.mark.parametrize(
    "head", [b"P6\n0 5\n255\n", b"P6\n5 5\n0\n", b"P6\n5 5\n70000\n", b"P6\n5 5", b"P3\n1 1\n255\nx"]
)
def test_pnm_that_is_none(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(head)
    assert "PNM" in str(error_for(tmp_path / "a.ppm"))


# --- Files of others ----------------------------------------------------------------------------------------

GREY_TIFFS = {"grey8", "grey8_white", "grey16", "grey16_be", "grey16_white", "grey_f32", "grey_u32", "pal8"}
GREY_CASES = GREY_TIFFS | {"grey", "la8_unassoc", "la8_assoc"}
LEFT_OUT = {"la", "grey8_trns", "rgba_half", "rgba16", "rgb8_trns", "pal", "bilevel", "grey_i16"}
"""Transparency, few colours, no agreed white: compared below, or not with the picture as it is."""


def test_every_shared_case_shows_the_picture(shared_dir: Path) -> None:
    folder = shared_dir / "cases"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases")
    base = np.load(folder / "base.npy").astype(int)
    grey = np.dstack([np.round(base @ [0.299, 0.587, 0.114])] * 3)
    wrong = {}
    for path in sorted(folder.glob("*/*.*")):
        if path.name == "jxl.tif":
            assert error_for(path).reason == "TIFF of RGB in 8 bits compressed with JPEG XL: not supported"
            continue
        try:
            loaded, damage = load_noted(path, None)
        except ImageError as error:
            if "not configured" in error.reason:  # in this Pillow's libtiff
                continue
            raise
        expected = grey if path.stem.removesuffix("_orient6") in GREY_CASES else base
        if "orient6" in path.stem:
            expected = np.rot90(expected, -1)
        if path.stem.startswith("big"):
            expected = cv2.resize(expected.astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_CUBIC)
        if damaged_by_name(path.stem) != bool(damage) and path.stem != "bad_iccp":  # older Pillows read it
            wrong[path.name] = f"damage: {damage}"
        if path.stem in LEFT_OUT | {"big_hole", "trunc_half", "trunc", "rgb16_trns"}:
            continue
        difference = np.abs(loaded.astype(int) - expected).mean()
        if difference > (5 if "lab8" in path.stem else 2):
            wrong[path.name] = f"differs by {difference:.1f}"
    assert not wrong
    load = {name: load_image(folder / "png" / f"{name}.png") for name in ("rgb16_trns", "rgb8_trns")}
    np.testing.assert_array_equal(load["rgb16_trns"], load["rgb8_trns"])
    half, _ = load_noted(folder / "jpg" / "trunc_half.jpg")
    assert np.abs(half[:40].astype(int) - base[:40]).mean() < 2


def damaged_by_name(stem: str) -> bool:
    return stem.startswith(("trunc", "big_trunc", "big_hole", "no_iend", "bad_"))
