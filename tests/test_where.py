# SPDX-License-Identifier: MIT
"""Searches among some photos of an index: by folder, name, id, and when they were taken."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semcbir import Index, search
from semcbir.images.taken import seconds, taken_at
from semcbir.index.where import parse_dates, parse_ids, parse_where

NAMES = ("a/one.jpg", "a/deep/two.JPG", "a2/three.png", "four.jpg", "b/five.jpg", "b/no date.jpg")
DATES = ("2019:05:31 23:59:59", "2019:06:01 00:00:00", "2020:02:29 12:00:00", "2018:12:31 10:00:00", "junk")


def second(text: str) -> int:
    return int(np.datetime64(text, "s").astype(np.int64))


@pytest.fixture
def photos(photo_folder: Path, tmp_path: Path) -> Path:
    """Six photos in folders; five have EXIF dates, one of which is none; files changed in 2021."""
    pictures = sorted(photo_folder.rglob("*.jpg"))
    folder = tmp_path / "dated"
    for number, name in enumerate(NAMES):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x010E] = "made"  # without it Pillow writes no EXIF data into a PNG
        if number < len(DATES):
            exif[0x8769] = {0x9003: DATES[number]}
        with Image.open(pictures[number]) as picture:
            picture.convert("RGB").save(file, exif=exif)
        when = time.mktime((2021, 7, 1 + number, 12, 0, 0, 0, 0, -1))
        os.utime(file, (when, when))
    return folder


@pytest.fixture
def index(photos: Path, tiny_model: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.build(photos, tmp_path / "index", model=tiny_model, features="hog") as made:
        yield made


def chosen(index: Index, where: object, folder: Path) -> list[str]:
    ids = index.select(where)
    assert ids.dtype == np.int64
    assert (np.diff(ids) > 0).all()
    return sorted(str(record.path.relative_to(folder)) for record in index.records(ids))


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("folder:a", {"a/one.jpg", "a/deep/two.JPG"}),
        ("folder:a/", {"a/one.jpg", "a/deep/two.JPG"}),
        ("folder:a/deep", {"a/deep/two.JPG"}),
        ("folder:nothing", set()),
        ("name:*.jpg", {"a/one.jpg", "a/deep/two.JPG", "four.jpg", "b/five.jpg", "b/no date.jpg"}),
        ("name:T*", {"a/deep/two.JPG", "a2/three.png"}),
        ("name:a*/*", {"a/one.jpg", "a/deep/two.JPG", "a2/three.png"}),
        ("date:2019", {"a/one.jpg", "a/deep/two.JPG"}),
        ("date:2019-05", {"a/one.jpg"}),
        ("date:2019-05-31..2019-06-01", {"a/one.jpg", "a/deep/two.JPG"}),
        ("date:2020-02-29", {"a2/three.png"}),
        ("date:..2018", {"four.jpg"}),
        ("date:2020..", {"a2/three.png", "b/five.jpg", "b/no date.jpg"}),
        ("date:2021-07-05..2021-07-05", {"b/five.jpg"}),
        (["date:2018", "date:2020"], {"four.jpg", "a2/three.png"}),
        (["folder:a", "name:*.jpg", "date:2019-06"], {"a/deep/two.JPG"}),
        (["folder:a", "folder:b", "date:2021"], {"b/five.jpg", "b/no date.jpg"}),
        ([], set(NAMES)),
    ],
)
def test_photos_are_chosen(index: Index, photos: Path, where: object, wanted: set[str]):
    assert set(chosen(index, where, photos)) == wanted


def test_absolute_folders_and_ids(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch):
    assert set(chosen(index, f"folder:{photos / 'b'}", photos)) == {"b/five.jpg", "b/no date.jpg"}
    assert set(chosen(index, f"folder:{photos}", photos)) == set(NAMES)
    assert set(chosen(index, f"folder:{photos.parent}", photos)) == set(NAMES)
    assert chosen(index, f"folder:{photos.parent / 'elsewhere'}", photos) == []
    monkeypatch.chdir(photos / "b")
    assert set(chosen(index, "folder:.", photos)) == {"b/five.jpg", "b/no date.jpg"}
    assert set(chosen(index, "folder:../a/deep", photos)) == {"a/deep/two.JPG"}
    ids = sorted(record.id for record in index)
    assert index.select(f"ids:{ids[0]},{ids[2]}-{ids[3]},999").tolist() == [ids[0], ids[2], ids[3]]
    index.remove(ids[0])
    assert index.select(f"ids:{ids[0]}-{ids[2]}").tolist() == ids[1:3]


def test_a_search_finds_what_is_chosen(index: Index, photos: Path):
    query = index.signatures()[0]
    (everything,) = search(query, index, 6, None)
    for where in ("folder:a", "name:*.png", ["date:2020..", "name:*.jpg"]):
        ids = set(index.select(where).tolist())
        (found,) = search(query, index, 6, None, where=where)
        assert [hit.id for hit in found] == [hit.id for hit in everything if hit.id in ids]
        assert found.kept == len(ids)
        (smooth,) = search(query, index, 6, None, smooth=2, where=where)
        (all_smooth,) = search(query, index, 6, None, smooth=2)
        assert [(hit.id, hit.distance) for hit in smooth] == [
            (hit.id, hit.distance) for hit in all_smooth if hit.id in ids
        ]
    assert len(search(query, index, where="folder:nothing")[0]) == 0
    assert len(search(query, index, where="folder:nothing", expand=3, keep=2)[0]) == 0


def forget_dates(index: Index) -> None:
    """Make the index as those are that were made before dates were stored."""
    with closing(sqlite3.connect(index.path / "catalog.sqlite")) as catalog:
        catalog.execute("DROP TABLE taken")
        catalog.execute("DELETE FROM meta WHERE key = 'taken'")
        catalog.commit()


def test_older_indexes_learn_dates_at_a_refresh(index: Index, photos: Path):
    forget_dates(index)
    assert set(chosen(index, "date:2021", photos)) == set(NAMES)  # what is known is the files' mtimes
    index.refresh()
    assert set(chosen(index, "date:2019", photos)) == {"a/one.jpg", "a/deep/two.JPG"}
    assert index.check() == []


def test_dates_are_of_the_file_as_it_is(index: Index, photos: Path):
    shutil.copyfile(photos / "a2/three.png", photos / "a/one.jpg")
    index.refresh()
    assert set(chosen(index, "date:2020", photos)) == {"a/one.jpg", "a2/three.png"}
    with Image.open(photos / "four.jpg") as picture:
        picture.convert("RGB").save(photos / "four.jpg")
    index.refresh()
    assert chosen(index, "date:2018", photos) == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("colour:red", "where: expected folder:PATH, name:PATTERN, date:FROM..TO or ids:LIST, got 'colour:"),
        ("folder", "where: expected folder:PATH"),
        ("folder: ", "where: expected folder:PATH"),
        (["name:x", 7], "where: expected folder:PATH.*got 7"),
        ("date:yesterday", "where: expected a date or a range such as date:2019-05..2019-08, got 'date:yest"),
        ("date:2019-13", "where: expected a date"),
        ("date:2019-02-30", "where: expected a date"),
        ("date:2020..2019", "where: expected a date"),
        ("date:..", "where: expected a date"),
        ("date:0000", "where: expected a date"),
        ("ids:x", "where: expected ids such as ids:1,5-9, got 'ids:x'"),
        ("ids:5-1", "where: expected ids"),
        ("ids:-1", "where: expected ids"),
        (f"ids:{2**64}", "where: expected ids"),
    ],
)
def test_what_is_no_condition_is_said(where: object, message: str):
    with pytest.raises(ValueError, match=message):
        parse_where(where)


def test_conditions_are_parsed():
    assert parse_ids(" 1, 5 - 9 ") == [(1, 1), (5, 9)]
    assert parse_dates("2019-05..2019-08") == (second("2019-05-01"), second("2019-09-01") - 1)
    assert parse_dates("2020-02") == (second("2020-02-01"), second("2020-03-01") - 1)
    assert parse_dates("2019") == (second("2019-01-01"), second("2020-01-01") - 1)
    with pytest.raises(TypeError, match="where"):
        parse_where(7)


def test_exif_dates():
    assert seconds("2019:05:31 23:59:59") == second("2019-05-31T23:59:59")
    assert seconds("2019-05-31T23:59:59+02:00") == second("2019-05-31T23:59:59")
    for odd in (None, b"2019:05:31 23:59:59", "", "2019:02:30 00:00:00", "0000:00:00 00:00:00", "2019:05:31"):
        assert seconds(odd) is None
    assert seconds("2019:05:31 24:00:00") is None


def test_files_without_dates(tmp_path: Path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00\x20Exif\x00\x00MM\x00*")
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.gif")
    for name in ("empty.jpg", "cut.jpg", "text.jpg", "plain.gif", "nothing.jpg", "."):
        assert taken_at(tmp_path / name) is None
