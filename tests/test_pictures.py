# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFont

from semcbir import Analysis, Hit, Index, Results, explain
from semcbir.pictures.colours import VOID, class_colours, picture_colours
from semcbir.pictures.draw import ALARM, GAP, MARGIN, label_overlay, shortened, thumbnail, widest_place
from semcbir.pictures.explanation import MAX_ROWS, explanation_picture, percent
from semcbir.pictures.sheet import MAX_HITS, contact_sheet
from semcbir.results import results_html


def hits(paths: list[Path], kept: int) -> Results:
    found = [Hit(n + 1, n, path, 0.1 * n, 0.05 * n, n >= kept) for n, path in enumerate(paths)]
    return Results(found, kept, 0.9)


def photos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


def has_colour(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(picture) == colour).all(axis=2).any())


def test_a_sheet_has_a_place_for_each_hit(photo_folder: Path) -> None:
    paths = photos(photo_folder)
    five, six = (contact_sheet(paths[0], hits(paths[:n], n)) for n in (5, 6))
    assert six.width == five.width
    assert six.height > five.height
    wide = contact_sheet(paths[0], hits(paths[:6], 6), columns=6)
    assert (wide.width > six.width, wide.height) == (True, five.height)


def test_a_sheet_shows_the_photos(photo_folder: Path) -> None:
    paths = photos(photo_folder)
    town = contact_sheet(None, hits([paths[-1]], 1), columns=1)
    beach = contact_sheet(None, hits([paths[0]], 1), columns=1)
    blue = [np.asarray(sheet)[..., 2].mean() - np.asarray(sheet)[..., 0].mean() for sheet in (town, beach)]
    assert blue[1] > blue[0] + 5


def test_penalised_hits_are_marked(photo_folder: Path) -> None:
    paths = photos(photo_folder)
    inked = [
        (np.asarray(contact_sheet(paths[0], hits(paths, kept))) == ALARM).all(axis=2).sum()
        for kept in (12, 11, 10)
    ]
    assert inked[0] == 0
    assert inked[1] > 1000
    assert inked[2] > 2000


@pytest.mark.parametrize("query", [None, Path("gone.jpg"), np.zeros((1, 1, 3), np.uint8)])
def test_a_sheet_of_anything(photo_folder: Path, query: Path | np.ndarray | None) -> None:
    (photo_folder / "empty.jpg").touch()
    paths = [
        photo_folder / "gone.jpg",
        photo_folder / "empty.jpg",
        photo_folder,
        Path("x" * 250 + ".jpg"),
        Path("été 夏 \n \x1b[31m \udcff.jpg"),
    ]
    assert contact_sheet(query, hits(paths, 2)).size == contact_sheet(None, hits(paths, 2)).size
    assert contact_sheet(query, hits([], 0)).width > 100


def test_a_sheet_has_an_end() -> None:
    many = contact_sheet(None, hits([Path("gone.jpg")] * (MAX_HITS + 1), 1))
    assert many.size == contact_sheet(None, hits([Path("gone.jpg")] * MAX_HITS, 1)).size


@pytest.mark.parametrize("columns", [0, -1, 51])
def test_columns_are_checked(columns: int) -> None:
    with pytest.raises(ValueError, match=f"columns: expected an integer from 1 to 50, got {columns}"):
        contact_sheet(None, hits([], 0), columns=columns)


def test_html_holds_every_photo_and_escapes_names(photo_folder: Path) -> None:
    evil = photo_folder / '"><script>&\n.jpg'
    evil.write_bytes((photo_folder / "beach" / "1.jpg").read_bytes())
    found = hits([evil, photo_folder / "gone.jpg", *photos(photo_folder)], 5)
    text = found._repr_html_()
    assert text == results_html(found)
    assert "<script" not in text
    assert "&lt;script&gt;&amp;\\n.jpg" in text
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(images) == len(found)
    with Image.open(io.BytesIO(base64.b64decode(images[0]))) as image:
        assert max(image.size) == 160
    assert text.count("penalised") == len(found) - 5
    assert "5 images of the index pass" in text


def test_photos_thinner_than_a_thumbnail_are_shown(tmp_path: Path) -> None:
    line = tmp_path / "line.png"
    Image.fromarray(np.zeros((1, 5000, 3), np.uint8)).save(line)
    results = Results([Hit(1, 0, line, 0.0, 0.0, False)], 1)
    assert "data:image/jpeg" in results._repr_html_()
    assert contact_sheet(line, results).size[0] > 0


def test_html_has_an_end() -> None:
    text = results_html(hits([Path("gone.jpg")] * (MAX_HITS + 3), 1))
    assert text.count("<img") == MAX_HITS
    assert f"first {MAX_HITS} of {MAX_HITS + 3} hits" in text


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model)


def test_an_explanation_shows_each_class_in_its_colour(index: Index, photo_folder: Path) -> None:
    why = explain(photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg", index)
    picture = explanation_picture(why)
    present = {row.label for row in why.rows}
    assert len(present) > 1
    colours = picture_colours((row.label for row in why.rows), why.recipe.classes)
    for label in present:
        assert has_colour(picture, colours[label])
    for colour in map(tuple, class_colours().tolist()):
        assert has_colour(picture, colour) == (colour in colours.values())


def test_an_explanation_without_the_hits_file_keeps_its_numbers(index: Index, photo_folder: Path) -> None:
    why = explain(photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg", index)
    without = explanation_picture(dataclasses.replace(why, hit_analysis=None))
    whole = explanation_picture(why)
    assert without.size == whole.size
    legend = (0, whole.height - 30 * len(why.rows), *whole.size)
    assert without.crop(legend).tobytes() == whole.crop(legend).tobytes()


def test_an_explanations_legend_has_an_end(index: Index, photo_folder: Path) -> None:
    why = explain(photo_folder / "beach" / "1.jpg", 0, index)
    heights = [
        explanation_picture(dataclasses.replace(why, rows=tuple(why.rows[:1]) * count)).height
        for count in (0, MAX_ROWS, MAX_ROWS + 1, MAX_ROWS + 100)
    ]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_an_overlay_paints_labels_where_they_are() -> None:
    photo = Image.new("RGB", (40, 20), (0, 0, 0))
    labels = np.zeros((10, 20), np.uint16)
    labels[:, 10:] = 300
    labels[:, 15:] = 65535
    colours = {0: (250, 10, 10), 300: (10, 250, 10), 65535: VOID, 7: (1, 2, 3)}
    paint = np.asarray(label_overlay(photo, labels, colours)).astype(int)
    for column, label in ((10, 0), (25, 300), (35, 65535)):
        assert np.abs(paint[10, column] - 0.65 * np.array(colours[label])).max() <= 1
    for column in (20, 30):
        assert (paint[:, column] == 255).all()


def test_a_class_has_its_colour_in_both_label_maps_and_void_is_grey(index: Index, photo_folder: Path) -> None:
    """Also a class that only one map has, and the legend does not know: the photo changed since."""
    why = explain(photo_folder / "beach" / "1.jpg", photo_folder / "beach" / "2.jpg", index)
    black = np.zeros((330, 440, 3), np.uint8)
    one, other = np.full((330, 440), 1, np.uint8), np.full((330, 440), 255, np.uint8)
    one[:, 220:], other[:, 220:] = 200, 1
    recipe = dataclasses.replace(why.recipe, model={**why.recipe.model, "void": 255})
    changed = dataclasses.replace(
        why,
        recipe=recipe,
        query_analysis=Analysis(black, one, {}),
        hit_analysis=Analysis(black, other, {}),
    )
    picture = np.asarray(explanation_picture(changed)).astype(int)
    labels = [*(row.label for row in why.rows), 1, 200, 255]
    colours = picture_colours(labels, why.recipe.classes) | {255: VOID}
    y = MARGIN + 28 + 330 + GAP + 20
    for left, labels in ((MARGIN, (1, 200)), (MARGIN + 440 + GAP, (255, 1))):
        for x, label in zip((left + 20, left + 420), labels, strict=True):
            assert np.abs(picture[y, x] - 0.65 * np.array(colours[label])).max() <= 1


def cielab(rgb: Any) -> Any:
    """sRGB 0..255 (n, 3) as CIE L*a*b* (D65), by OpenCV."""
    return cv2.cvtColor(np.float32([rgb]) / 255, cv2.COLOR_RGB2Lab)[0]


def nearest_pair(colours: Any) -> float:
    lab = cielab(colours)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return float(apart[~np.eye(len(lab), dtype=bool)].min())


def test_the_classes_of_one_picture_differ_clearly() -> None:
    """In CIE L*a*b*, where 2.3 can just be seen; and from the grey of void pixels."""
    rng = np.random.default_rng(5)
    for _ in range(1000):
        labels = rng.choice(rng.choice([20, 158, 400, 65536]), rng.integers(1, 13), replace=False).tolist()
        colours = picture_colours(labels)
        assert list(colours) == labels
        assert nearest_pair([*colours.values(), VOID]) > 15
        assert picture_colours(iter(labels)) == colours


def test_sea_and_building_are_not_both_green() -> None:
    building, sea = 1, 26
    colours = picture_colours([building, sea])
    assert nearest_pair(list(colours.values())) > 30
    assert nearest_pair([class_colours()[building], class_colours()[sea]]) < 25


def test_a_class_keeps_its_colour_where_no_other_is_like_it() -> None:
    for label in (0, 1, 2, 3, 256, 65536 + 1):
        assert picture_colours([label]) == {label: tuple(class_colours()[label % 256].tolist())}
        assert picture_colours([4, label])[label] == picture_colours([label])[label]
    assert len(set(picture_colours(range(200)).values())) > 150


def test_class_colours_are_many_and_far_apart() -> None:
    colours = class_colours().astype(int)
    assert colours.shape == (256, 3)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 1000 * np.eye(256, dtype=int)
    assert distances.min() >= 24
    assert distances[:20, :20].min() >= 90


def test_widest_place_is_the_middle_of_the_largest_disc() -> None:
    mask = np.zeros((40, 60), bool)
    mask[2:9, 2:50] = True
    mask[10:31, 20:41] = True
    x, y, radius = widest_place(mask)
    assert (x, y) == (30, 20)
    assert radius == pytest.approx(11, abs=1)
    assert widest_place(np.ones((1, 1), bool))[:2] == (0, 0)


def test_long_names_keep_their_beginning_and_end() -> None:
    font = ImageFont.load_default(12)
    assert shortened("short.jpg", font, 100) == "short.jpg"
    for width in (20, 60, 100):
        text = shortened("a" * 300 + "_0031.jpg", font, width)
        assert font.getlength(text) <= width
    assert re.fullmatch(r"aa+….*1\.jpg", text)


def test_thumbnails_fit_their_box(photo_folder: Path) -> None:
    photo = thumbnail(photo_folder / "beach" / "1.jpg", (50, 50))
    assert photo is not None
    assert photo.size == (50, round(50 * 96 / 128))
    assert thumbnail(photo_folder / "none.jpg", (50, 50)) is None


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (1e-9, "<0.1 %"), (0.000499, "<0.1 %"), (0.0005, "0.1 %"), (1, "100.0 %")],
)
def test_a_tiny_share_is_not_shown_as_none(share: float, text: str) -> None:
    assert percent(share) == text
