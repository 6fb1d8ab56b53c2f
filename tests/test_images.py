# SPDX-License-Identifier: MIT
"""Files to pixels: formats, orientation, bounds."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_files import Pixels, opencv_file, picture, save
from semcbir.images import decode as decoding
from semcbir.images.decode import as_image, load_image, resized

# --- What comes out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".dib"])
def test_lossless_formats_give_their_pixels(tmp_path: Path, suffix: str) -> None:
    loaded = load_image(save(tmp_path / f"a{suffix}", picture()))
    assert loaded.dtype == np.uint8
    assert loaded.flags.c_contiguous
    assert loaded.flags.writeable
    np.testing.assert_array_equal(loaded, picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_close(tmp_path: Path, suffix: str) -> None:
    loaded = load_image(save(tmp_path / f"a{suffix}", picture(), quality=95))
    assert np.abs(loaded.astype(int) - picture()).mean() < 2


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}])
def test_compressed_tiff(tmp_path: Path, options: dict[str, str]) -> None:
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.tif", picture(), **options)), picture())


def test_contents_decide_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture()).rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(load_image(path), picture())


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    path = tmp_path / "a.HEIC"
    heif.from_pillow(Image.fromarray(picture())).save(path, quality=95)
    loaded = load_image(path)
    assert loaded.shape == (48, 64, 3)
    assert np.abs(loaded.astype(int) - picture()).mean() < 4


def test_heic_turns_upright(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.fromarray(picture())).save(path, quality=95, exif=exif.tobytes())
    loaded = load_image(path)
    assert loaded.shape == (64, 48, 3)
    assert np.abs(loaded.astype(int) - np.rot90(picture(), -1)).mean() < 4


def test_grey_palette_and_one_bit(tmp_path: Path) -> None:
    grey = picture()[..., 2]
    np.testing.assert_array_equal(load_image(save(tmp_path / "l.png", grey)), np.dstack([grey] * 3))
    palette = Image.fromarray(picture()).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(load_image(save(tmp_path / "p.png", palette)), expected)
    np.testing.assert_array_equal(load_image(save(tmp_path / "p.bmp", palette)), expected)
    bits = grey > 128
    np.testing.assert_array_equal(load_image(save(tmp_path / "1.tif", bits)), 255 * np.dstack([bits] * 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_become_the_upper_8(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = picture()[..., :channels].astype(np.uint16) * 256 + 255
    path = opencv_file(tmp_path / f"a{suffix}", deep[..., ::-1])
    np.testing.assert_array_equal(load_image(path), np.broadcast_to(picture()[..., :channels], (48, 64, 3)))


def test_16_bits_big_endian_tiff(tmp_path: Path) -> None:
    deep = (picture()[..., 2].astype(np.uint16) * 256).astype(">u2")
    path = save(tmp_path / "a.tif", Image.fromarray(deep))
    assert path.read_bytes().startswith(b"MM")
    np.testing.assert_array_equal(load_image(path), np.dstack([picture()[..., 2]] * 3))


def tiff(tags: dict[int, tuple[int, ...]], data: bytes) -> bytes:
    """A little-endian TIFF of one strip."""
    tags = {**tags, 273: (8 + 2 + 12 * (len(tags) + 2) + 4,), 279: (len(data),)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, *tags[tag], 0) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def test_16_bit_tiff_with_white_at_zero(tmp_path: Path) -> None:
    deep = np.array([[0, 0x8000, 0xFFFF]], "<u2")
    tags = {256: (3,), 257: (1,), 258: (16,), 259: (1,), 262: (0,), 277: (1,), 278: (1,)}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(tags, deep.tobytes()))
    assert load_image(path)[0, :, 0].tolist() == [255, 127, 0]


def test_12_bit_tiff_uses_its_whole_range(tmp_path: Path) -> None:
    tags = {256: (2,), 257: (1,), 258: (12,), 259: (1,), 262: (1,), 277: (1,), 278: (1,)}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(tags, bytes([0xFF, 0xF8, 0x00])))  # 0xfff, 0x800
    assert load_image(path)[0, :, 0].tolist() == [255, 128]


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 20:40] = 255
    alpha[:, 40:] = 128
    loaded = load_image(save(tmp_path / "a.png", np.dstack([picture(), alpha])))
    assert (loaded[:, :20] == 255).all()
    np.testing.assert_array_equal(loaded[:, 20:40], picture()[:, 20:40])
    half = picture()[:, 40:] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(loaded[:, 40:] - half).max() <= 1


def test_transparency_of_other_kinds(tmp_path: Path) -> None:
    palette = Image.fromarray(picture()).quantize(16)
    first = np.asarray(palette) == 0
    for name, transparency in (("int", 0), ("bytes", b"\0")):
        loaded = load_image(save(tmp_path / f"{name}.png", palette, transparency=transparency))
        assert (loaded[first] == 255).all()
        np.testing.assert_array_equal(loaded[~first], np.asarray(palette.convert("RGB"))[~first])
    grey = Image.fromarray(np.dstack([picture()[..., 2], np.zeros((48, 64), np.uint8)]))
    assert (load_image(save(tmp_path / "la.png", grey)) == 255).all()
    colour = tuple(int(value) for value in picture()[5, 7])
    assert load_image(save(tmp_path / "rgb.png", picture(), transparency=colour))[5, 7].tolist() == [255] * 3


def test_cmyk_jpeg(tmp_path: Path) -> None:
    cmyk = Image.fromarray(picture()).convert("CMYK")
    loaded = load_image(save(tmp_path / "a.jpg", cmyk, quality=98))
    assert np.abs(loaded.astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif", ".gif"])
def test_first_picture_of_several(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    later = Image.new("RGB", (64, 48), "red")
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(picture()).save(path, save_all=True, append_images=[later, later], **options)
    tolerance = 40 if suffix == ".gif" else 0
    assert np.abs(load_image(path).astype(int) - picture()).max() <= tolerance


def test_multi_picture_jpeg_of_phones(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    second = Image.new("RGB", (64, 48), "red")
    Image.fromarray(picture()).save(path, format="MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(load_image(path).astype(int) - picture()).mean() < 2


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "raw.tif", "lzw.tif"])
@pytest.mark.parametrize("long_side", [32, None])
def test_every_orientation_comes_upright(
    tmp_path: Path, name: str, orientation: int, long_side: int | None
) -> None:
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p),
        7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda p: np.rot90(p, -1),
    }[orientation](picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lzw.tif": {"compression": "tiff_lzw"}, "a.webp": {"lossless": True}, "a.jpg": {"quality": 95}}
    path = save(tmp_path / name, np.ascontiguousarray(stored), exif=exif, **options.get(name, {}))
    loaded = load_image(path, long_side)
    expected = as_image(picture(), long_side)
    assert loaded.shape == expected.shape
    assert loaded.flags.c_contiguous
    assert np.abs(loaded.astype(int) - expected).mean() < (4 if name == "a.jpg" else 1)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    Image.fromarray(picture()).save(data, "JPEG", exif=exif)
    path = tmp_path / "a.jpg"
    path.write_bytes(data.getvalue().replace(b"Exif\0\0MM\0*", b"Exif\0\0XX\0*"))
    assert load_image(path).shape == (48, 64, 3)


# --- Size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((384, 256), 512, (384, 256)),
        ((1024, 768), 512, (512, 384)),
        ((768, 1024), 512, (384, 512)),
        ((513, 100), 512, (512, 100)),
        ((2000, 1), 512, (512, 1)),
        ((1, 3000), 100, (1, 100)),
        ((5, 3), 1, (1, 1)),
        ((3000, 2000), None, (3000, 2000)),
        ((3, 2), 2, (2, 1)),
        ((40000, 3), 300, (300, 1)),
    ],
)
def test_bounded_by_the_long_side(
    tmp_path: Path, size: tuple[int, int], long_side: int | None, expected: tuple[int, int]
) -> None:
    image = np.full((size[1], size[0], 3), 77, np.uint8)
    assert as_image(image, long_side).shape == (expected[1], expected[0], 3)
    for suffix in (".png", ".jpg"):
        loaded = load_image(save(tmp_path / f"a{suffix}", image), long_side)
        assert loaded.shape == (expected[1], expected[0], 3)
        assert np.abs(loaded.astype(int) - 77).max() <= 1


def test_file_and_array_are_bounded_alike(tmp_path: Path) -> None:
    image = picture(600, 800)
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.png", image), 100), as_image(image, 100))


def test_whole_shrinking_factor_is_the_mean_of_the_blocks() -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    means = image.reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    assert np.abs(as_image(image, 30) - means).max() <= 0.5 + 1e-4


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_large_jpegs_are_never_decoded_below_the_wanted_size(width: int, height: int, long_side: int) -> None:
    if width * height > 250_000:
        width = max(1, 250_000 // height)
    expected = as_image(np.zeros((height, width, 3), np.uint8), long_side).shape
    decoded: list[tuple[int, ...]] = []

    def spy(pixels: Pixels, size: tuple[int, int]) -> Pixels:
        decoded.append(pixels.shape)
        return resized(pixels, size)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = save(Path(folder) / "a.jpg", np.zeros((height, width, 3), np.uint8))
        patch.setattr(decoding, "resized", spy)
        assert load_image(path, long_side).shape == expected
    assert decoded[0][0] >= expected[0]
    assert decoded[0][1] >= expected[1]


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_decoding_of_a_large_jpeg_looks_the_same(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(1500, 2100)
    path = save(tmp_path / "a.jpg", image, quality=95, exif=exif)
    loaded = load_image(path, 200)
    full = as_image(load_image(path, None), 200)
    assert loaded.shape == full.shape == ((143, 200, 3) if orientation == 1 else (200, 143, 3))
    assert np.abs(loaded.astype(int) - full).mean() < 1


def test_large_jpeg_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.jpg", np.zeros((1600, 2400, 3), np.uint8))
    loaded: list[tuple[int, int]] = []
    resize = cv2.resize

    def spy(image: Pixels, size: tuple[int, int], **options: int) -> Pixels:
        loaded.append((image.shape[1], image.shape[0]))
        return resize(image, size, **options)

    monkeypatch.setattr(cv2, "resize", spy)
    assert load_image(path, 200).shape == (133, 200, 3)
    assert loaded == [(300, 200)]  # an eighth


def test_one_pixel(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp"):
        image = np.full((1, 1, 3), 200, np.uint8)
        assert load_image(save(tmp_path / f"a{suffix}", image)).shape == (1, 1, 3)
    np.testing.assert_array_equal(as_image(image, 1), image)


def test_strips_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semcbir.images.convert._STRIP_PIXELS", 64 * 5)
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.png", picture())), picture())
    alpha = np.dstack([picture(), picture()[..., 2]])
    one = load_image(save(tmp_path / "b.png", alpha))
    monkeypatch.setattr("semcbir.images.convert._STRIP_PIXELS", 2**22)
    np.testing.assert_array_equal(one, load_image(tmp_path / "b.png"))


# --- Arguments ----------------------------------------------------------------------------------------------


def test_as_image_takes_only_rgb_uint8() -> None:
    with pytest.raises(TypeError, match=r"NumPy array, got list"):
        as_image([[1, 2, 3]])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"uint8, got float64"):
        as_image(np.zeros((3, 3, 3)))  # type: ignore[arg-type]
    for shape in ((3, 3), (3, 3, 4), (3, 3, 1), (0, 5, 3), (1, 3, 3, 3)):
        with pytest.raises(ValueError, match=r"\(height, width, 3\), got shape"):
            as_image(np.zeros(shape, np.uint8))


def test_as_image_makes_contiguous_and_leaves_its_argument_alone() -> None:
    image = picture()
    turned = as_image(image[:, ::-1])
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, image[:, ::-1])
    as_image(image, 10)
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-5, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_limits_are_checked(tmp_path: Path, value: int, error: type[Exception]) -> None:
    path = save(tmp_path / "a.png", picture())
    with pytest.raises(error, match="long_side: expected"):
        load_image(path, value)
    with pytest.raises(error, match="max_pixels: expected"):
        load_image(path, max_pixels=value)
    with pytest.raises(error, match="long_side: expected"):
        as_image(picture(), value)


def test_a_path_is_expected() -> None:
    with pytest.raises(TypeError):
        load_image(0)  # type: ignore[arg-type]


def test_numpy_integers_are_integers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture())
    assert load_image(path, np.int64(32), np.int64(10**6)).shape == (24, 32, 3)  # type: ignore[arg-type]
