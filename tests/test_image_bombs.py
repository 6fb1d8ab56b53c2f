# SPDX-License-Identifier: MIT
"""Small files that ask for much: they are refused early, or wait for each other."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiff_files
from decoding_memory import decoded
from image_files import error_for, picture, png_chunk, save
from semcbir.errors import ImageError
from semcbir.images import decode as decoding
from semcbir.images.budget import Budget
from semcbir.images.decode import load_image
from semcbir.images.jpeg import MAX_SCANS
from semcbir.images.reading import BoundedFile

MILLION = 10**6
MIB = 2**20

needs_limits = pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of this kind")


def scans(count: int) -> bytes:
    """A progressive JPEG with its last scan repeated until it has ``count``."""
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def tiff(*entries: tuple[int, int, int, int], size: int = 0) -> bytes:
    """A TIFF of one black pixel whose directory has ``entries``: tag, kind, count, value or place; padded."""
    plain = [
        (256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1),
    ]  # fmt: skip
    tags = {entry[0]: entry for entry in (*plain, *entries)}
    packed = b"".join(struct.pack("<HHII", *tags[tag]) for tag in sorted(tags))
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + bytes(4)
    return data + bytes(max(0, size - len(data)))


def tile(samples: int, *entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF of one pixel in a tile of 4096 x 4096 with numbers of 64 bits."""
    tiled = (322, 4, 1, 4096), (323, 4, 1, 4096), (324, 4, 1, 8), (325, 4, 1, 64)
    return tiff((258, 3, 1, 64), (277, 3, 1, samples), *tiled, *entries)


def exif_of_tags() -> bytes:
    """A TIFF whose EXIF has a hundred tags of a megabyte, all the same bytes."""
    tags = [struct.pack("<HHII", 1000 + number, 7, MIB, 256) for number in range(100)]
    data = tiff((34665, 4, 1, 2 * MIB), size=2 * MIB)
    return data + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)


VALUES = 20 * MILLION
TAGS: dict[str, Callable[[], bytes]] = {
    "tile.tif": lambda: tile(8),
    "deep tile.tif": lambda: tile(64),
    "deflated tile.tif": lambda: tile(8, (259, 3, 1, 8), (317, 3, 1, 2)),
    "count.tif": lambda: tiff((279, 4, 1, 2**32 - 1), (259, 3, 1, 8), (258, 3, 1, 32)),
    **{
        f"tag {tag}.tif": lambda tag=tag: tiff((tag, 3, VALUES, 256), size=2 * VALUES + 256)
        for tag in (258, 273, 274, 278, 279, 320, 338, 339, 34665, 34675)
    },
    "tags.tif": lambda: tiff(
        *((40000 + number, 7, 4 * MIB, 256) for number in range(200)), size=4 * MIB + 4096
    ),
    "exif.tif": exif_of_tags,
}
"""TIFFs whose tags ask for much. Those that are decoded all the same may take three times their size."""

TEXT: dict[str, Callable[[], bytes]] = {
    "numbers.pgm": lambda: b"P2 1 1 255\n" + b"12 " * (20 * MILLION),
    "digits.pbm": lambda: b"P1 1 1\n" + b"01" * (30 * MILLION),
    "short.ppm": lambda: b"P3 1 1 255\n" + b"1 " * (30 * MILLION),
    "comments.pgm": lambda: b"P2 1 1 255\n" + b"#\n" * (5 * MILLION),
    "comment.pgm": lambda: b"P2 1 1 255\n#" + b"a#" * (30 * MILLION),
    "spaces.pgm": lambda: b"P2 1 1 255\n" + b" " * (60 * MILLION),
    "digit.pgm": lambda: b"P2 1 1 255\n" + b"1" * (60 * MILLION),
}

RUBBISH: dict[str, Callable[[], bytes]] = {
    "zeros.jpg": lambda: b"\xff\xd8\xff\xe0" + bytes(20 * MILLION),
    "fill.jpg": lambda: b"\xff\xd8" + b"\xff" * (20 * MILLION),
    "segments.jpg": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * (5 * MILLION),
    "restarts.jpg": lambda: b"\xff\xd8\xff" + b"\xd0\xff" * (10 * MILLION),
    "scans.jpg": lambda: scans(3000),
    "chunks.png": lambda: (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
        + png_chunk(b"abCd", b"") * MILLION
    ),
    "blocks.gif": lambda: b"GIF89a\x08\0\x08\0\0\0\0" + b"\x21\xfe\0" * (5 * MILLION),
    "comments.ppm": lambda: b"P6" + b"#\n" * (5 * MILLION),
    "text.ppm": lambda: b"P3 5000 5000 255 " + b"1 " * (40 * MILLION),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_refused_soon(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(RUBBISH[name]())
    start = time.process_time()
    error_for(tmp_path / name)
    assert time.process_time() - start < 5  # seconds; it takes far less


BOMBS = {**RUBBISH, **TAGS, **TEXT}


@needs_limits
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    found = decoded(path)
    assert found.peak < 40 * MIB + (3 * path.stat().st_size if name in TAGS else 0)
    assert "memory" not in found.said  # refused, not tried


@needs_limits
@pytest.mark.parametrize(
    ("form", "colour", "options"),
    [
        ("u2", 2, {"planar": True}),
        ("u4", 2, {"compression": tiff_files.DEFLATE, "predictor": 2}),
        ("f4", 2, {"compression": tiff_files.DEFLATE, "predictor": 3}),
        ("f4", 1, {"tile": 2048}),
        ("u1", 2, {"compression": tiff_files.DEFLATE, "tile": 2048}),
        ("u1", 2, {"compression": tiff_files.DEFLATE}),
    ],
)
def test_tiffs_take_no_more_than_they_are_said_to(
    tmp_path: Path, form: str, colour: int, options: dict[str, int]
) -> None:
    numbers = np.random.default_rng(0).integers(0, 250, (1000, 1500, 3 if colour == 2 else 1))
    path = tiff_files.write(tmp_path / "a.tif", tiff_files.page(numbers.astype(form), colour, **options))
    with path.open("rb") as file:
        source = decoding._open(BoundedFile(file))
    assert decoded(path).peak < source.cost + source.extra + 8 * MIB


@needs_limits
@pytest.mark.parametrize(
    ("head", "numbers"), [("P2 2000 1500 255", 3), ("P3 2000 1500 999", 9), ("P1 2000 1500", 3)]
)
def test_text_takes_no_more_than_it_is_said_to(tmp_path: Path, head: str, numbers: int) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(head.encode() + b"\n" + b"1 " * (numbers * MILLION - 1))  # the last is missing
    with path.open("rb") as file:
        source = decoding._open(BoundedFile(file))
    assert decoded(path).peak < source.cost + 16 * MIB


def test_as_many_scans_as_encoders_make_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(scans(MAX_SCANS))
    assert load_image(path).shape == (48, 64, 3)
    path.write_bytes(scans(MAX_SCANS + 1))
    assert "scans" in str(error_for(path))


def test_parts_of_a_tiff_without_end_are_refused(tmp_path: Path) -> None:
    tags, parts = tiff_files.page(picture(8, 8), 2)
    path = tiff_files.write(tmp_path / "a.tif", (tags, parts * 10000))
    assert "10000 parts, 1 expected" in str(error_for(path))
    tags, parts = tiff_files.page(picture(200, 8).astype(np.uint16), 2, rows=1, planar=True)
    path = tiff_files.write(tmp_path / "b.tif", (tags, parts))
    data = path.read_bytes()
    counts = [struct.pack("<600I", *[length] * 600) for length in (16, len(data) // 2)]
    path.write_bytes(data.replace(*counts))
    assert "upon one another" in str(error_for(path))
    tags, parts = tiff_files.page(picture(64, 64), 2, tile=16)
    path = tiff_files.write(tmp_path / "c.tif", (tags | {322: 2**16, 323: 2**16}, parts[:1]))
    assert "tiles of 65536 x 65536" in str(error_for(path))


def test_tiles_that_pillow_overlooks_in_a_damaged_header_are_refused(tmp_path: Path) -> None:
    tags, parts = tiff_files.page(picture(64, 64), 2, tile=16, compression=tiff_files.DEFLATE)
    path = tiff_files.write(tmp_path / "a.tif", (tags | {322: 2**16, 323: 2**15, 305: [1] * 9}, parts))
    data = bytearray(path.read_bytes())
    entry = data.rindex(struct.pack("<HHI", 305, 3, 9))
    data[entry + 8 : entry + 12] = struct.pack("<I", len(data) - 2)  # beyond the end: Pillow reads no further
    path.write_bytes(data)
    assert "tiles of 65536 x 32768" in str(error_for(path))


def test_webp_is_refused_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    for kind, options in (("VP8 ", {}), ("VP8L", {"lossless": True}), ("VP8X", {"exif": exif})):
        path = save(tmp_path / "a.webp", picture(), **options)
        assert path.read_bytes()[12:16] == kind.encode()
        assert load_image(path, max_pixels=64 * 48).shape == (48, 64, 3)
        with monkeypatch.context() as patch:
            patch.setattr("PIL.WebPImagePlugin.WebPImageFile", None)  # whoever opens it fails otherwise
            assert "64 x 48 pixels exceed the limit of 3071" in str(error_for(path, max_pixels=64 * 48 - 1))


@pytest.mark.parametrize("name", ["a.webp", "a.jp2", "a.avif"])
def test_kinds_that_take_more_memory_must_be_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    try:
        path = save(tmp_path / name, picture())
    except (KeyError, ValueError, OSError):
        pytest.skip("this Pillow cannot write it")
    monkeypatch.setattr(decoding, "_ALWAYS_ALLOWED", 1)
    assert "MiB to decode" in str(error_for(path, max_pixels=64 * 48))
    assert load_image(path, max_pixels=40 * 64 * 48).shape == (48, 64, 3)
    assert load_image(path, max_pixels=None).shape == (48, 64, 3)
    assert load_image(save(tmp_path / "a.png", picture()), max_pixels=64 * 48).shape == (48, 64, 3)


def test_jpeg_is_judged_by_the_size_it_is_decoded_at(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", picture(800, 1600))
    assert load_image(path, 100, max_pixels=200 * 100).shape == (50, 100, 3)
    assert "1600 x 800" in str(error_for(path, long_side=100, max_pixels=200 * 100 - 1))
    assert "1600 x 800" in str(error_for(path, long_side=1000, max_pixels=MILLION))
    png = save(tmp_path / "a.png", picture(800, 1600))
    assert "1600 x 800" in str(error_for(png, long_side=100, max_pixels=200 * 100))


def test_a_progressive_jpeg_counts_all_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.jpg", picture(800, 1600), progressive=True)
    monkeypatch.setattr(decoding, "_ALWAYS_ALLOWED", 1)
    assert "MiB to decode" in str(error_for(path, long_side=100, max_pixels=200 * 100))
    assert load_image(path, 100, max_pixels=MILLION).shape == (50, 100, 3)


@pytest.mark.parametrize("limit", ["MAX_FILE", "MAX_WHOLE"])
def test_files_beyond_a_size_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    path = save(tmp_path / "a.webp", picture())
    monkeypatch.setattr(decoding, limit, path.stat().st_size)
    load_image(path)
    monkeypatch.setattr(decoding, limit, path.stat().st_size - 1)
    assert "too large" in str(error_for(path))


def test_a_sparse_file_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        try:
            file.truncate(2**40)
        except OSError:
            pytest.skip("the file system has no sparse files")
    assert "too large" in str(error_for(tmp_path / "a.jpg"))


# --- The budget ---------------------------------------------------------------------------------------------


def test_large_pictures_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [save(tmp_path / f"{number}.png", picture()) for number in range(12)]
    monkeypatch.setattr(decoding, "DECODING", Budget(2 * 64 * 48 * 8))
    lock = threading.Lock()
    now, most = 0, 0
    resize = decoding.resized

    def slow(*arguments: object) -> object:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return resize(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "resized", slow)
    threads = [threading.Thread(target=load_image, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 2
    assert decoding.DECODING._held == 0


def test_a_budget_goes_by_arrival_and_lets_the_largest_run_alone() -> None:
    budget = Budget(10)
    order: list[int] = []

    def work(count: int) -> None:
        with budget.holding(count):
            order.append(count)

    with budget.holding(4):
        threads = [threading.Thread(target=work, args=(count,)) for count in (100, 1, 6)]
        for thread in threads:
            thread.start()
            while not budget._queue or len(budget._queue) < len([t for t in threads if t.is_alive()]):
                time.sleep(0.001)
        assert order == []  # the small ones do not overtake the large one for ever
    for thread in threads:
        thread.join(10)
    assert order == [100, 1, 6] or order == [100, 6, 1]
    with pytest.raises(ZeroDivisionError), budget.holding(5):
        raise ZeroDivisionError
    assert budget._held == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_decodes_although_its_parent_was_decoding(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture())
    with decoding.DECODING.holding(decoding.DECODING.total):
        child = os.fork()
        if child == 0:
            done = threading.Thread(target=load_image, args=(path,), daemon=True)
            done.start()
            done.join(20)
            os._exit(int(done.is_alive()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_errors_give_the_budget_back(tmp_path: Path) -> None:
    path = save(tmp_path / "a.webp", picture())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError):
        load_image(path)
    assert decoding.DECODING._held == 0
