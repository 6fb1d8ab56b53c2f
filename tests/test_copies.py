# SPDX-License-Identifier: MIT
"""Copies of photos, pixel by pixel, and whether they find their originals."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Run, one_line
from semcbir import Extractor, Index, Signatures, load_image
from semcbir.evaluation.copies import COPIES, cut, inner_size, turned
from semcbir.evaluation.datasets import DatasetError
from semcbir.evaluation.finding import Found, find_originals, spread, usual_queries
from semcbir.evaluation.tables import copies_markdown

NOISE = np.random.default_rng(3).integers(0, 256, (31, 46, 3), np.uint8)


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog,kaze")


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("shape", [(31, 46, 3), (1, 1, 3), (2, 3, 3), (1, 300, 3)])
def test_a_copy_is_an_image_and_always_the_same(kind: str, shape: tuple[int, int, int]):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = image.copy()
    copy = COPIES[kind](image)
    assert copy.dtype == np.uint8
    assert copy.ndim == 3
    assert copy.shape[2] == 3
    assert copy.size > 0
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(COPIES[kind](image), copy)


def test_halved_is_the_mean_of_four():
    image = NOISE[:30]
    means = image.astype(float).reshape(15, 2, 23, 2, 3).mean(axis=(1, 3))
    copy = COPIES["halved"](image)
    assert copy.shape == (15, 23, 3)
    assert np.abs(copy - means).max() <= 0.5
    assert COPIES["halved"](NOISE).shape == (15, 23, 3)


def test_mirrored_exchanges_left_and_right():
    copy = COPIES["mirrored"](NOISE)
    assert copy.flags.c_contiguous
    for column in range(46):
        np.testing.assert_array_equal(copy[:, column], NOISE[:, 45 - column])


def test_a_jpeg_of_quality_20_keeps_colours_and_loses_detail():
    smooth = np.zeros((64, 64, 3), np.uint8)
    smooth[...] = 200, 40, 90
    assert np.abs(COPIES["JPEG 20"](smooth).astype(int) - smooth).max() <= 8  # red stays red
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    error = np.abs(COPIES["JPEG 20"](noise).astype(int) - noise).mean()
    finer = cv2.imdecode(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)
    assert error > 1.2 * np.abs(finer.astype(int) - noise).mean()


def test_brighter_by_40_is_clipped():
    values = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    expected = np.minimum(np.arange(256) + 40, 255)
    np.testing.assert_array_equal(COPIES["brighter by 40"](values)[0, :, 1], expected)


def test_gamma_is_a_power_of_the_value():
    values = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    copy = COPIES["gamma 1.5"](values)[0, :, 2]
    assert np.abs(copy - 255 * (np.arange(256) / 255) ** 1.5).max() <= 0.5
    assert (copy[0], copy[64], copy[255]) == (0, 32, 255)


@pytest.mark.parametrize(("kind", "share"), [("cut to 80 %", 0.8), ("cut to 60 %", 0.6)])
def test_a_cut_is_the_centre(kind: str, share: float):
    copy = COPIES[kind](NOISE)
    height, width = round(31 * share), round(46 * share)
    assert copy.shape == (height, width, 3)
    (places,) = np.nonzero((NOISE[:, :, 0] == copy[0, 0, 0]).any(axis=1))
    top, left = (31 - height) // 2, (46 - width) // 2
    assert top in places
    np.testing.assert_array_equal(copy, NOISE[top : top + height, left : left + width])
    np.testing.assert_array_equal(cut(NOISE, 1), NOISE)


@pytest.mark.parametrize("size", [(384, 256), (256, 384), (100, 100), (400, 30), (30, 400), (7, 5)])
@pytest.mark.parametrize("degrees", [5, 10, 30, 45, 80])
def test_turned_has_no_border_and_could_not_be_larger(size: tuple[int, int], degrees: float):
    white = np.full((size[1], size[0], 3), 255, np.uint8)
    copy = turned(white, degrees)
    assert (copy == 255).all()
    width, height = inner_size(*size, degrees)
    assert copy.shape == (height, width, 3)
    # Every upright rectangle that fits: its own width, and the greatest height that goes with that.
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    widths = np.linspace(0.01, min(size[0] / cosine, size[1] / sine), 20001)
    heights = np.minimum((size[0] - widths * cosine) / sine, (size[1] - widths * sine) / cosine)
    best = (widths * heights).max()
    assert (width + 1) * (height + 1) > best
    assert width * height <= best * (1 + 1e-6)


def test_turned_by_10_degrees_goes_counter_clockwise_about_the_centre():
    image = np.zeros((201, 301, 3), np.uint8)
    cv2.circle(image, (150 + 80, 100), 4, (255, 255, 255), -1)  # to the right of the centre
    copy = COPIES["turned by 10°"](image)
    rows, columns = np.nonzero(copy[:, :, 0] > 128)
    height, width = copy.shape[:2]
    x, y = columns.mean() - (width - 1) / 2, rows.mean() - (height - 1) / 2
    assert x == pytest.approx(80 * math.cos(math.radians(10)), abs=0.3)
    assert y == pytest.approx(-80 * math.sin(math.radians(10)), abs=0.3)  # up


def test_queries_are_spread_evenly(index: Index):
    names = [f"{record.path.parent.name}/{record.path.name}" for record in spread(index, 4)]
    assert names == ["beach/0.jpg", "beach/3.PNG", "meadow/2.jpg", "town/1.jpg"]
    assert len({record.id for record in spread(index, 12)}) == 12
    for wrong in (0, 13):
        with pytest.raises(
            DatasetError, match=f"queries: expected 1 to 12, for there are 12 images, got {wrong}"
        ):
            spread(index, wrong)


def test_as_many_queries_as_there_are_photos_unless_a_number_is_asked_for(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    assert usual_queries(index) == 12
    monkeypatch.setattr("semcbir.evaluation.finding.COPIES", {"mirrored": COPIES["mirrored"]})
    assert find_originals(index) == find_originals(index, 12)
    monkeypatch.setattr("semcbir.evaluation.finding.QUERIES", 5)
    assert usual_queries(index) == 5
    assert find_originals(index) == find_originals(index, 5)


def test_originals_are_counted_first_and_among_ten(index: Index, monkeypatch: pytest.MonkeyPatch):
    places = {record.path: place for place, record in enumerate(spread(index, 4))}
    images = {path: load_image(path) for path in places}
    ranks = {0: 1, 1: 10, 2: 11, 3: 2}

    extract = Extractor.extract_all
    asked: list[np.ndarray] = []

    def spied(self: Extractor, copies: list[np.ndarray]) -> dict[str, Signatures]:
        asked[:] = copies
        return extract(self, copies)

    def fake_search(made: Signatures, _index: Index, k: int, feature: str) -> list[list[object]]:
        """Rank the originals of the copies as ``ranks`` says, for KAZE; always first for HOG."""
        assert k == 10
        assert len(made) == len(asked)
        found = []
        for copy in asked:
            (path,) = [path for path, image in images.items() if np.array_equal(image, copy[:, ::-1])]
            rank = ranks[places[path]] if feature == "kaze" else 1
            others = [record for record in index if record.path != path]
            order = [*others[: rank - 1], index[path], *others[rank - 1 :]]
            found.append(order[:k])
        return found

    monkeypatch.setattr(Extractor, "extract_all", spied)
    monkeypatch.setattr("semcbir.evaluation.finding.search", fake_search)
    monkeypatch.setattr("semcbir.evaluation.finding.COPIES", {"mirrored": COPIES["mirrored"]})
    found = find_originals(index, 4)
    assert found == {"hog": {"mirrored": Found(1, 1)}, "kaze": {"mirrored": Found(0.25, 0.75)}}
    assert copies_markdown(found).splitlines() == [
        "| first / in ten | mirrored |",
        "| --- | --- |",
        "| hog | 1.00 / 1.00 |",
        "| kaze | 0.25 / 0.75 |",
    ]


def test_the_command_reports_every_kind(photo_folder: Path, tiny_model: Path, run: Run):
    command = ["evaluate", "copies", photo_folder, "--model", tiny_model, "--features", "hog"]
    ran = run(*command, "--queries", "6")
    assert ran.code == 0
    assert ran.out.startswith("| first / in ten | halved | mirrored |")
    assert ran.out.endswith("\n\n6 photos of 12 copied in each way.\n")
    (photo_folder / "beach" / "broken.jpg").write_bytes(b"no image")
    ran = run(*command, "--json")
    assert ran.code == 3
    assert f"left out: {photo_folder / 'beach' / 'broken.jpg'}: " in ran.err
    written = json.loads(ran.out)
    assert (written["photos"], written["copies of each kind"]) == (12, 12)
    assert list(written["found"]["hog"]) == list(COPIES)
    assert written["found"]["hog"]["brighter by 40"]["ten"] == 1  # of twelve


def test_a_photo_with_the_same_bytes_is_the_original(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number in range(11):  # with the original more than are looked at
        shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "beach" / f"0 {number}.jpg")
    index = Index.build(photo_folder, tmp_path / "copied", model=tiny_model, features="hog")
    monkeypatch.setattr("semcbir.evaluation.finding.COPIES", {"as it is": lambda image: image})
    done: list[int] = []
    assert find_originals(index, None, done.append) == {"hog": {"as it is": Found(1, 1)}}
    assert done == [23]


@pytest.mark.parametrize(
    ("queries", "code", "said"),
    [
        ("13", 1, "queries: expected 1 to 12, for there are 12 images, got 13"),
        ("0", 2, "--queries: expected an integer from 1 to 2147483648, got '0'"),
    ],
)
def test_the_command_refuses_a_number_without_naming_a_temporary_folder(
    photo_folder: Path, tiny_model: Path, run: Run, queries: str, code: int, said: str
):
    command = ["evaluate", "copies", photo_folder, "--model", tiny_model, "--features", "hog"]
    ran = run(*command, "--queries", queries)
    assert ran.code == code
    assert one_line(ran.err)
    assert said in ran.err


def test_the_command_needs_photos(tmp_path: Path, tiny_model: Path, run: Run):
    (tmp_path / "empty").mkdir()
    ran = run("evaluate", "copies", tmp_path / "empty", "--model", tiny_model, "--features", "hog")
    assert ran.code == 1
    assert ran.err == "semcbir: error: expected photos to make copies of, got an index without images\n"
