# SPDX-License-Identifier: MIT
"""Which classes the photos of an index hold: in Python, as text, as JSON and as a picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semcbir
from commands import Run
from semcbir import Index, IndexStorageError
from semcbir.index.contents import ClassTotal, Contents
from semcbir.pictures.colours import class_colour
from semcbir.pictures.contents import MAX_ROWS, contents_picture
from semcbir.pictures.draw import MARGIN
from tiny_models import tiny_encoder

NAMES = ["person", "tree", "grass", "sea", "clock"]


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with other names, some of which are in groups."""
    card = json.loads(tiny_model.with_suffix(".json").read_text("utf-8"))
    (tmp_path / "named.json").write_text(json.dumps({**card, "classes": NAMES, "file": "named.onnx"}))
    return Path(shutil.copy(tiny_model, tmp_path / "named.onnx"))


@pytest.fixture
def index(photo_folder: Path, model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=model, features="kaze,hog")


def shares(index: Index) -> np.ndarray:
    """Each image's share of each class: float64 (images, classes)."""
    return index.signatures().histograms().astype(np.float64)


def expected(values: np.ndarray, least: float) -> tuple[float, int]:
    return float(values.mean()), int((values >= np.float32(least)).sum())


@pytest.mark.parametrize("least", [0.01, 0.3, 1])
def test_shares_and_images_are_those_of_the_histograms(index: Index, least: float) -> None:
    found, by_image = index.contents(least), shares(index)
    assert (found.images, found.min_share) == (12, least)
    present = np.flatnonzero(by_image.sum(axis=0)).tolist()
    assert len(present) > 2
    assert sorted(row.labels[0] for row in found.classes) == present
    for row in found.classes:
        (label,) = row.labels
        assert row.name == NAMES[label]
        mean, images = expected(by_image[:, label], least)
        assert (row.share, row.images) == (pytest.approx(mean, rel=1e-12), images)
    order = [(-row.share, row.labels) for row in found.classes]
    assert order == sorted(order)


def test_a_group_is_the_sum_of_its_classes(index: Index) -> None:
    found, by_image = index.contents(0.3), shares(index)
    groups = {"people": (0,), "plant": (1, 2), "water": (3,)}
    there = {name: labels for name, labels in groups.items() if by_image[:, labels].sum()}
    assert "plant" in there
    assert {row.name: row.labels for row in found.groups} == there
    for row in found.groups:
        mean, images = expected(by_image[:, row.labels].sum(axis=1), 0.3)
        assert (row.share, row.images) == (pytest.approx(mean, rel=1e-12), images)
    order = [(-row.share, row.name) for row in found.groups]
    assert order == sorted(order)


def test_removed_images_do_not_count_and_the_history_changes_no_bit(
    index: Index, photo_folder: Path, model: Path, tmp_path: Path
) -> None:
    index.remove(photo_folder / "beach")
    left = index.contents()
    assert left.images == 8
    index.compact()
    assert index.contents() == left
    town, meadow = (photo_folder / kind for kind in ("town", "meadow"))
    other = Index.build(town, tmp_path / "other", model=model, features="kaze,hog")
    for photo in sorted(meadow.iterdir(), reverse=True):
        other.add(photo)
    assert other.contents() == left


def test_whole_rows_are_no_class(photo_folder: Path, model: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    deep = Index.build(photo_folder, tmp_path / "d", model=model, features="deep", encoder=encoder)
    hog = Index.build(photo_folder, tmp_path / "h", model=model, features="hog")
    assert deep.contents() == hog.contents()
    assert sum(row.share for row in deep.contents().classes) == pytest.approx(1)


def test_a_share_of_one_hundredth_is_enough(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are stored as float32, of which 0.01 is a little less than the number of that name."""
    signatures = semcbir.Signatures.from_dense(
        np.zeros((3, 5, 2), np.float32), np.array([[0.01, 0.99, 0, 0, 0]] * 3, np.float32)
    )
    (segment,) = index._snapshot.segments
    segment.batch["kaze"] = signatures
    monkeypatch.setattr(type(index._snapshot), "__len__", lambda _: 3)
    object.__setattr__(index._snapshot, "live_ids", (np.array([0, 1, -1]),))
    assert [(row.name, row.images) for row in index.contents(0.01).classes] == [("tree", 2), ("person", 2)]
    assert [(row.name, row.images) for row in index.contents(0).classes] == [("tree", 2), ("person", 2)]
    assert [(row.name, row.images) for row in index.contents(0.011).classes] == [("tree", 2), ("person", 0)]


def test_damaged_shares_are_refused(index: Index) -> None:
    batch = index._snapshot.segments[0].batch["kaze"]
    for wrong in (np.nan, -0.5, 1.5, np.inf):
        values = batch.proportions.copy()
        values[0] = wrong
        object.__setattr__(batch, "proportions", values)
        with pytest.raises(IndexStorageError, match="damaged: its proportions are not all from 0 to 1; run"):
            index.contents()


def test_an_index_without_images(index: Index, photo_folder: Path, run: Run, tmp_path: Path) -> None:
    index.remove(photo_folder)
    found = index.contents()
    assert found == Contents(0, 0.01, (), ())
    assert repr(found) == "Contents(0 images, 0 classes)"
    picture = tmp_path / "classes.png"
    code, out, err = run("info", index.path, "--classes", "--picture", picture)
    assert (code, err) == (0, f"semcbir: there are no photos in {index.path}\n")
    assert out == run("info", index.path).out
    assert picture.is_file()


def test_a_closed_index_says_so(index: Index) -> None:
    index.close()
    with pytest.raises(ValueError, match="is closed; open it again"):
        index.contents()


def test_info_shows_classes_and_groups(index: Index, run: Run) -> None:
    code, out, err = run("info", index.path, "--classes")
    assert (code, err) == (0, "")
    facts, classes, groups = out.rstrip().split("\n\n")
    assert f"{facts}\n" == run("info", index.path).out
    found = index.contents()
    wide = max(5, *(len(row.name) for row in (*found.classes, *found.groups)))
    for table, name, rows in ((classes, "class", found.classes), (groups, "group", found.groups)):
        head, *lines = table.splitlines()
        assert head == f"{name:<{wide}}  of all pixels  photos with 1 % or more"
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            assert line.split()[0] == row.name
            assert line.split()[-1] == str(row.images)
            assert f"{100 * row.share:.1f} %" in line or "<0.1 %" in line


def test_info_gives_classes_and_groups_as_json(index: Index, run: Run) -> None:
    plain = json.loads(run("info", index.path, "--json").out)
    values = json.loads(run("info", index.path, "--json", "--classes").out)
    found = index.contents()
    assert values == plain | {
        "min_share": 0.01,
        "classes": [
            {"label": row.labels[0], "name": row.name, "share": row.share, "images": row.images}
            for row in found.classes
        ],
        "groups": [{**vars(row), "labels": list(row.labels)} for row in found.groups],
    }


def test_info_draws_the_classes(index: Index, run: Run, tmp_path: Path) -> None:
    place = tmp_path / "classes.png"
    code, out, err = run("info", index.path, "--picture", place)
    assert (code, out, err) == (0, run("info", index.path).out, "")
    picture = np.asarray(Image.open(place))[: MARGIN + 34 + 24 * len(index.contents().classes)]
    first, second = index.contents().classes[:2]
    lengths = [
        (picture == class_colour(row.labels[0], NAMES)).all(axis=2).sum(axis=1).max()
        for row in (first, second)
    ]
    assert lengths[1] / lengths[0] == pytest.approx(second.share / first.share, abs=0.02)
    other = tmp_path / "photo.png"
    Image.new("RGB", (3, 3)).save(other)
    code, out, err = run("info", index.path, "--picture", other)
    assert (code, out) == (1, "")
    assert err.startswith(f"semcbir: error: --picture {other} is there already, and semcbir did not make it")
    assert run("info", index.path, "--picture", place).code == 0


def test_a_picture_of_many_classes_has_an_end() -> None:
    def picture(count: int) -> Image.Image:
        rows = tuple(ClassTotal(f"été {n}", (n,), 1 / (n + 1), n) for n in range(count))
        return contents_picture(Contents(9, 0.01, rows, ()), [row.name for row in rows])

    heights = [picture(count).height for count in (0, MAX_ROWS, MAX_ROWS + 1, MAX_ROWS + 100)]
    assert heights[0] < heights[1] < heights[2] == heights[3]
