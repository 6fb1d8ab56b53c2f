# SPDX-License-Identifier: MIT
"""Data sets in the layouts they are published in, wherever they were unpacked, and folders of one's own."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semcbir import ImageError
from semcbir.evaluation.datasets import Dataset, DatasetError, with_distractors
from semcbir.evaluation.layouts import by_folder, linnaeus, msrc_v1, msrc_v2, wang
from semcbir.evaluation.rankings import DISTRACTOR, NOWHERE


def empty_images(folder: Path, *names: str) -> Path:
    """Files that have images' names, which is all that a data set looks at."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return folder


WANG = [f"{number}.jpg" for number in range(1000)]
MSRC_1 = [f"{row}_{n}_s.bmp" for row in range(1, 9) for n in range(1, 31)]
MSRC_2 = [f"{row}_{n}_s.bmp" for row in range(1, 21) for n in range(1, 22 if row == 20 else 31)]
LINNAEUS = [
    f"{part}/{name}/{n}_256.jpg"
    for part, count in (("train", 1200), ("test", 400))
    for name in ("berry", "bird", "dog", "flower", "other")
    for n in range(1, count + 1)
]


@pytest.mark.parametrize("below", ["", "image.orig", "a/b/c/d"])
def test_wang_is_a_hundred_of_each_class_in_a_row(below: str, tmp_path: Path):
    empty_images(tmp_path / "set" / below, *WANG)
    dataset = wang(tmp_path / "set")
    assert (dataset.name, dataset.folder) == ("wang", tmp_path / "set" / below)
    assert [path.name for path in dataset.paths] == WANG
    assert dataset.class_names[dataset.labels[0]] == "africans"
    assert dataset.class_names[dataset.labels[399]] == "buses"
    assert dataset.class_names[dataset.labels[999]] == "food"
    assert np.bincount(dataset.labels).tolist() == [100] * 10


def test_a_folder_that_is_not_wang(tmp_path: Path):
    folder = tmp_path / "wang"
    with pytest.raises(ImageError, match="wang"):
        wang(folder)
    folder.mkdir()
    with pytest.raises(DatasetError, match=r"1000 images of Wang; 1000 are missing, such as 0\.jpg"):
        wang(folder)
    empty_images(folder, *WANG, "1000.jpg")
    with pytest.raises(DatasetError, match=r"and no others, got 1 more, such as .*1000\.jpg"):
        wang(folder)
    (folder / "1000.jpg").unlink()
    (folder / "57.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 are missing, such as 57\.jpg"):
        wang(folder)


def test_what_is_missing_is_missing_where_the_data_set_could_be(tmp_path: Path):
    empty_images(tmp_path / "holidays", "0.jpg", "1.jpg")  # names that anyone may have
    with pytest.raises(DatasetError, match=rf"^{re.escape(str(tmp_path))} must hold the 1000 images"):
        wang(tmp_path)
    empty_images(tmp_path / "half", *WANG[:500])
    with pytest.raises(DatasetError, match=r"half must hold .* 500 are missing, such as 500\.jpg"):
        wang(tmp_path)
    for copy in ("one", "two"):
        empty_images(tmp_path / copy, *WANG)
    with pytest.raises(DatasetError, match=r"more than one that could be meant, .*one and .*two: name one"):
        wang(tmp_path)
    assert wang(tmp_path / "one").folder == tmp_path / "one"


@pytest.mark.parametrize("photos", ["", "MSRC_ObjCategImageDatabase_v1"])
def test_msrc_v1_is_eight_rows_of_thirty(photos: str, tmp_path: Path):
    masks = [name.replace("_s.", "_s_GT.") for name in MSRC_1]
    empty_images(tmp_path / "set" / photos, *MSRC_1, *masks)
    dataset = msrc_v1(tmp_path / "set")
    assert [path.name for path in dataset.paths] == MSRC_1
    assert dataset.class_names == tuple(f"row {row}" for row in range(1, 9))
    assert dataset.labels.tolist() == [row for row in range(8) for _ in range(30)]
    (tmp_path / "set" / photos / "3_30_s.bmp").unlink()
    with pytest.raises(DatasetError, match=r"240 images of MSRC v1; 1 are missing, such as 3_30_s\.bmp"):
        msrc_v1(tmp_path / "set")


def test_msrc_v2_is_twenty_rows_beside_their_masks(tmp_path: Path):
    root = tmp_path / "MSRC_ObjCategImageDatabase_v2"
    assert len(MSRC_2) == 591
    empty_images(root / "Images", *MSRC_2)
    empty_images(root / "GroundTruth", *(name.replace("_s.", "_s_GT.") for name in MSRC_2))
    dataset = msrc_v2(tmp_path)
    assert dataset.folder == root / "Images"
    assert [path.name for path in dataset.paths] == MSRC_2
    assert np.bincount(dataset.labels).tolist() == [30] * 19 + [21]
    with pytest.raises(DatasetError, match=r"240 images of MSRC v1"):
        msrc_v1(tmp_path)
    empty_images(tmp_path / "a" / "v1", *MSRC_1)
    assert msrc_v1(tmp_path).folder == tmp_path / "a" / "v1"
    assert msrc_v2(tmp_path).folder == root / "Images"
    (root / "Images" / "7_4_s.bmp").unlink()
    with pytest.raises(DatasetError, match=r"591 images of MSRC v2 .* got 590 images in 20 rows"):
        msrc_v2(tmp_path)
    empty_images(root / "Images", "7_31_s.bmp")
    with pytest.raises(DatasetError, match=r"got 591 images in 20 rows, without 7_4_s\.bmp"):
        msrc_v2(tmp_path)


def test_linnaeus_asks_for_images_that_are_not_searched(tmp_path: Path):
    empty_images(tmp_path / "Linnaeus 5 256X256", *LINNAEUS)
    dataset = linnaeus(tmp_path)
    assert (len(dataset.database), len(dataset.queries)) == (6000, 2000)
    assert not set(dataset.database) & set(dataset.queries)
    truth = dataset.truth()
    assert set(truth.queries.tolist()) == {NOWHERE}
    assert truth.n_relevant.tolist() == [1200] * 2000
    assert np.bincount(truth.wanted).tolist() == [400] * 5

    fewer = dataset.asking(["berry", "dog"])
    assert {path.parent.name for path in fewer.queries} == {"berry", "dog"}
    assert len(fewer.database) == 6000
    with pytest.raises(ValueError, match=r"queries: expected some of 'berry', .* or 'other', got 'cat'"):
        dataset.asking(["berry", "cat"])

    empty_images(tmp_path / "Linnaeus 5 128X128", *LINNAEUS)
    said = r"more than one that could be meant, .*128X128 and .*256X256: name one of them"
    with pytest.raises(DatasetError, match=said):
        linnaeus(tmp_path)
    assert linnaeus(tmp_path / "Linnaeus 5 256X256").paths == dataset.paths
    shutil.rmtree(tmp_path / "Linnaeus 5 128X128")
    (tmp_path / "Linnaeus 5 256X256" / "test" / "dog" / "7_256.jpg").unlink()
    with pytest.raises(DatasetError, match=r"test/dog must hold the 400 images of Linnaeus 5 there, got 399"):
        linnaeus(tmp_path)


def test_half_of_linnaeus_is_not_there(tmp_path: Path):
    empty_images(tmp_path, *(name for name in LINNAEUS if name.startswith("train")))
    with pytest.raises(ImageError, match=r"test/berry: there is no such folder"):
        linnaeus(tmp_path)


def test_a_folder_s_classes_are_the_folders_directly_below_it(tmp_path: Path):
    names = ("b/1.jpg", "b/2/deep/er.png", "a/x/1.jpg", "a/y/1.jpg", "a/x/2.TIF", "Z/0.bmp", "Z/1.bmp")
    root = empty_images(tmp_path / "set", *names, "b/notes.txt", "none/notes.txt", "notes.txt")
    dataset = by_folder(str(root))
    assert (dataset.name, dataset.folder) == ("folder", root)
    assert dataset.class_names == ("Z", "a", "b")
    files = [path.relative_to(root).as_posix() for path in dataset.paths]
    found = dict(zip(files, dataset.labels.tolist(), strict=True))
    assert found == {name: "Zab".index(name[0]) for name in names}
    assert dataset.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "a sub-folder of images for each class, got no image"),
        (("a/1.jpg", "a/2.jpg", "3.jpg"), r"for each class, got 1 image beside them, such as 3\.jpg"),
        (("a/1.jpg",), "at least two images of some class, got one in each of 1 sub-folder$"),
        (("a/1.jpg", "b/1.jpg", "c/1.jpg"), "got one in each of 3 sub-folders"),
    ],
)
def test_a_folder_that_is_no_data_set(names: tuple[str, ...], message: str, tmp_path: Path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match=message):
        by_folder(empty_images(tmp_path / "set", *names))


def test_ids_are_places_in_the_database(tmp_path: Path):
    root = empty_images(tmp_path / "set", "a/2.jpg", "a/1.jpg", "b/1.jpg")
    dataset = with_distractors(by_folder(root), [empty_images(tmp_path / "more", "x.jpg")])
    assert dataset.database == [tmp_path / "more" / "x.jpg", *dataset.queries]
    truth = dataset.truth()
    assert truth.classes.tolist() == [DISTRACTOR, 0, 0, 1]
    assert truth.queries.tolist() == [1, 2, 3]
    assert truth.n_relevant.tolist() == [1, 1, 0]
    # An image that could not be read takes no id.
    assert dataset.without([tmp_path / "more" / "x.jpg"]).truth().queries.tolist() == [0, 1, 2]
    fewer = dataset.without([root / "a" / "1.jpg"])
    assert fewer.truth().classes.tolist() == [DISTRACTOR, 0, 1]
    assert fewer.class_names == ("a", "b")
    some = replace(dataset, asked=np.array([True, False, True]), searched=np.array([False, True, True]))
    assert some.without([root / "a" / "1.jpg"]).queries == [root / "b" / "1.jpg"]
    assert root / "a" / "2.jpg" in some.without([root / "a" / "1.jpg"]).database


def test_distractors_are_images_that_are_not_in_the_data_set(tmp_path: Path):
    dataset = by_folder(empty_images(tmp_path / "set", "a/1.jpg", "a/2.jpg"))
    more = empty_images(tmp_path / "more", "1.jpg", "x/2.jpg", "notes.txt")
    other = empty_images(tmp_path / "other", "1.jpg")
    both = with_distractors(dataset, [more, str(other)])
    assert both.distractors == (more / "1.jpg", more / "x" / "2.jpg", other / "1.jpg")
    assert (both.paths, both.labels.tolist()) == (dataset.paths, [0, 0])
    assert with_distractors(dataset, []).distractors == ()

    with pytest.raises(ImageError, match="none"):
        with_distractors(dataset, [tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="distractors: expected a folder of images, got none in .*empty"):
        with_distractors(dataset, [tmp_path / "empty"])


def test_distractors_that_overlap_are_refused(tmp_path: Path):
    dataset = by_folder(empty_images(tmp_path / "set", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"))
    more = empty_images(tmp_path / "more", "1.jpg")
    link = tmp_path / "link"
    link.symlink_to(dataset.folder)
    for folder, count in ((dataset.folder, 4), (dataset.folder / "b", 2), (tmp_path, 4), (link, 4)):
        with pytest.raises(ValueError, match=rf"images that are not in .*set, got {count} images of those"):
            with_distractors(dataset, [folder])
    with pytest.raises(ValueError, match=r"images that are not in .*more, got 1 image of those in .*more"):
        with_distractors(dataset, [more, more])
    (more / "2.jpg").symlink_to(dataset.paths[0])
    with pytest.raises(ValueError, match=r"got 1 image of those in .*more, such as .*2\.jpg"):
        with_distractors(dataset, [more])


def test_a_data_set_made_by_hand_is_searched_and_asked_whole(tmp_path: Path):
    paths = (tmp_path / "b.jpg", tmp_path / "a.jpg")
    dataset = Dataset("two", tmp_path, paths, np.array([1, 0]), ("x", "y"))
    assert dataset.database == dataset.queries == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert dataset.truth().wanted.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": np.array([0])},
            r"labels: expected integers of shape \(2,\), .* got int64 of shape \(1,\)",
        ),
        ({"labels": np.array([0.0, 1.0])}, "labels: expected integers"),
        ({"labels": np.array([0, 2])}, "labels: expected 0 to 1, .* got 0 to 2"),
        ({"labels": np.array([-1, 0])}, "labels: expected 0 to 1, .* got -1 to 0"),
        ({"paths": (Path("a"), Path("a"))}, "paths: expected each image once"),
        ({"distractors": (Path("b"),)}, "paths: expected each image once"),
        ({"asked": np.array([True])}, r"asked: expected bool of shape \(2,\), .* got bool of shape \(1,\)"),
        ({"searched": np.array([1, 0])}, "searched: expected bool"),
    ],
)
def test_labels_that_do_not_fit(change: dict[str, object], message: str):
    fields = {"paths": (Path("a"), Path("b")), "labels": np.array([0, 1]), "class_names": ("x", "y")}
    with pytest.raises(ValueError, match=message):
        Dataset("two", Path(), **{**fields, **change})
