# SPDX-License-Identifier: MIT
"""Searches for a part of a photo: the class at a pixel, or a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Run
from semcbir import Analysis, Extractor, Grid, Index, LocalFeatures, build_grid_signatures, search
from semcbir.regions import Box, Point, check_region, class_at, cropped, signatures_of_part


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog,kaze")


def some_analysis() -> Analysis:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (20, 30)).astype(np.uint8)
    points = np.array([[0, 0], [4.49, 3.2], [4.5, 3.5], [9.49, 7.49], [9.5, 7], [29, 19]], np.float32)
    local = LocalFeatures(points, np.arange(12, dtype=np.float32).reshape(6, 2))
    grid = Grid.over(rng.standard_normal((3, 5, 2)), (20, 30))
    return Analysis(np.zeros((20, 30, 3), np.uint8), labels, {"kaze": local, "deep": grid})


def test_a_box_holds_its_pixels_keypoints_and_cells():
    whole = some_analysis()
    part = cropped(whole, Box(5, 4, 10, 8))
    np.testing.assert_array_equal(part.label_map, whole.label_map[4:8, 5:10])
    assert part.image.shape == (4, 5, 3)
    # (4.5, 3.5) is of pixel (5, 4), (9.49, 7.49) of (9, 7), (9.5, 7) of (10, 7), outside.
    assert part.features["kaze"].descriptors.tolist() == [[4, 5], [6, 7]]
    np.testing.assert_allclose(part.features["kaze"].keypoints, [[-0.5, -0.5], [4.49, 3.49]], atol=1e-6)
    # Of the whole row only cells that hold a pixel of the box count.
    built = build_grid_signatures([part.label_map], [part.features["deep"]], n_classes=4)
    grid = whole.features["deep"]
    cells = {(r, c) for r in grid.rows[4:8] for c in grid.columns[5:10]}
    mean = np.mean([grid.cells[r, c].astype(np.float64) for r, c in cells], axis=0)
    np.testing.assert_allclose(built.centroids[built.classes == 4][0], mean, atol=1e-6)
    for label in np.unique(part.label_map):
        rows, columns = np.nonzero(part.label_map == label)
        mean = grid.cells[grid.rows[4 + rows], grid.columns[5 + columns]].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(built.centroids[built.classes == label][0], mean, atol=1e-6)


def test_the_class_at_a_pixel():
    analysis = some_analysis()
    names = ["sky", "sea", "sand", "void"]
    for x, y in ((0, 0), (29, 19), (7, 3)):
        label = int(analysis.label_map[y, x])
        if label == 3:
            continue
        assert class_at(analysis, Point(x, y), names, 3) == names[label]
    y, x = np.argwhere(analysis.label_map == 3)[0]
    with pytest.raises(ValueError, match="region: expected a pixel of a class, got one that the network"):
        class_at(analysis, Point(int(x), int(y)), names, 3)


def test_a_search_for_a_part(index: Index, photo_folder: Path, tmp_path: Path):
    # Larger than what the network sees: regions are those of the photo itself.
    small = sorted(photo_folder.rglob("*.jpg"))[0]
    photo = tmp_path / "large.png"
    with Image.open(small) as picture:
        picture.convert("RGB").resize((1280, 960)).save(photo)
    extractor = index.extractor()
    analysis = extractor.analyse(photo)
    height, width = analysis.label_map.shape
    assert (width, height) == (512, 384)
    x, y = 1000, 700
    name = index.recipe.classes[analysis.label_map[y * height // 960, x * width // 1280]]
    assert search(photo, index, 6, region=(x, y)) == search(photo, index, 6, only=f"={name}")
    box = cropped(analysis, Box(100, 40, 300, 200))
    (wanted,) = search(extractor.signatures_of(box)["hog"], index, 6)
    assert search(photo, index, 6, region=(250, 100, 750, 500)) == wanted
    assert search(photo, index, 6, region=(0, 0, 1280, 960)) == search(photo, index, 6)
    # The smallest box has a pixel, and only= names classes in it.
    tiny, none = signatures_of_part(extractor, photo, Box(1279, 959, 1280, 960), "hog")
    assert none is None
    assert len(tiny.classes) == 1
    shown = index.recipe.classes[int(tiny.classes[0])]
    search(photo, index, 6, region=(1279, 959, 1280, 960), only=f"={shown}")


@pytest.mark.parametrize(
    ("region", "error", "message"),
    [
        ((1, 2, 3), ValueError, r"region: expected \(x, y\) or \(x0, y0, x1, y1\), whole numbers of pixels"),
        ((-1, 2), ValueError, "region: expected .* of 0 or more"),
        ((1.5, 2), TypeError, "region"),
        ("12", TypeError, "region"),
        ((3, 3, 3, 5), ValueError, "region: expected a box with x0 < x1 and y0 < y1"),
        (7, TypeError, "region"),
    ],
)
def test_what_is_no_region(region: object, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        check_region(region)


def test_regions_that_cannot_be(index: Index, photo_folder: Path):
    photo = sorted(photo_folder.rglob("*.jpg"))[0]
    with Image.open(photo) as picture:
        width, height = picture.size
    outside = f"region: expected it within the photo of {width} x {height} pixels"
    with pytest.raises(ValueError, match=outside):
        search(photo, index, region=(width, 0))
    with pytest.raises(ValueError, match=outside):
        search(photo, index, region=(0, 0, width, height + 1))
    with pytest.raises(ValueError, match="region: expected one photo as the query, got several, or signat"):
        search(index.signatures()[0], index, region=(0, 0))
    with pytest.raises(ValueError, match="region: expected one photo"):
        search([(photo, 1.0)], index, region=(0, 0))
    with pytest.raises(ValueError, match="region: expected a box beside only, got a pixel"):
        search(photo, index, region=(0, 0), only=index.recipe.classes[0])


def test_parts_on_the_command_line(index: Index, photo_folder: Path, run: Run):
    photo = sorted(photo_folder.rglob("*.jpg"))[0]
    place = str(index.path)
    found = search(photo, index, 3, region=(10, 12))
    code, out, err = run("search", str(photo), place, "-k", "3", "--at", "10,12")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if line[:4].strip().isdigit()] == [
        str(hit.path.relative_to(photo_folder)) for hit in found
    ]
    assert "semcbir: at 10,12: " in err
    assert "% of the photo" in err
    code, out, _ = run("search", str(photo), place, "-k", "3", "--box", "0,0,20,20")
    assert code == 0
    assert len(out.splitlines()) >= 4
    for options, message in (
        (("--at", "1"), "expected X,Y in pixels, got '1'"),
        (("--at", "1,-2"), "expected X,Y in pixels, got '1,-2'"),
        (("--box", "1,2"), "expected X0,Y0,X1,Y1 in pixels, got '1,2'"),
        (("--box", "3,3,2,4"), "expected a box with x0 < x1 and y0 < y1, got (3, 3, 2, 4)"),
        (("--at", "1,2", "--box", "0,0,1,1"), "expected --at or --box, not both"),
        (("--at", "1,2", "--only", "sky"), "expected --at or --only, not both"),
        (("--at", "1,2", "--also", str(photo)), "expected no --also and --not beside it"),
    ):
        code, out, err = run("search", str(photo), place, *options)
        assert (code, out) == (2, "")
        assert message in err


def test_a_pixel_outside_is_said_of_the_option(index: Index, photo_folder: Path, run: Run):
    photo = sorted(photo_folder.rglob("*.jpg"))[0]
    with Image.open(photo) as picture:
        width, height = picture.size
    within = f"expected it within the photo of {width} x {height} pixels, got"
    for option, text, numbers in (
        ("--at", "5000,1", "(5000, 1)"),
        ("--box", "0,0,1,5000", "(0, 0, 1, 5000)"),
    ):
        code, out, err = run("search", str(photo), str(index.path), option, text)
        assert (code, out, err) == (1, "", f"semcbir: error: {option}: {within} {numbers}\n")
    code, _, err = run("search", str(photo), str(index.path), "--box", "5,5,5,5")
    assert code == 2
    assert "--box: expected a box with x0 < x1 and y0 < y1, got (5, 5, 5, 5)" in err


def test_several_photos_on_the_command_line(index: Index, photo_folder: Path, run: Run):
    first, second, third, *_ = sorted(photo_folder.rglob("*.jpg"))
    found = search([(first, 1), (second, 1), (third, -0.5)], index, 5)
    arguments = ("--also", str(second), "--not", str(third), "-k", "5")
    code, out, _ = run("search", str(first), str(index.path), *arguments)
    assert code == 0
    ranks = [line.split()[0] for line in out.splitlines()[1:] if line[:4].strip().isdigit()]
    assert ranks == [str(hit.rank) for hit in found]
    for hit in found:
        assert hit.path.name in out
    code, out, err = run("search", str(first), str(index.path), "--also", str(photo_folder / "none.jpg"))
    assert (code, out) == (1, "")
    assert "none.jpg" in err


def test_a_part_of_a_photo_knows_its_surroundings(tiny_model: Path, photo_folder: Path):
    """A box is cut out of what was found in the whole photo; a photo that was cut before is another one."""
    photo = sorted(photo_folder.rglob("*.jpg"))[0]
    extractor = Extractor(tiny_model, "hog")
    analysis = extractor.analyse(photo)
    part, _ = signatures_of_part(extractor, photo, Box(0, 0, 16, 16))
    assert int(part.counts.sum()) <= len(analysis.features["hog"].keypoints)
