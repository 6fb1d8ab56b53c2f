# SPDX-License-Identifier: MIT
"""Catalogues whose rows are not what an index can hold: refused where they are read, and found by check."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from semcbir import Index, IndexStorageError, ModelError, Signatures, check_index, search
from semcbir.index import catalog, rows


@pytest.fixture(scope="module")
def pristine(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 12 photos in two segments, one image removed and one file skipped."""
    folder = tmp_path_factory.mktemp("pristine")
    photos = Path(shutil.copytree(made_photos, folder / "photos"))
    index = Index.build(photos / "beach", folder / "index", model=tiny_model, features="kaze")
    (photos / "broken.jpg").write_bytes(b"nothing")
    index.refresh([photos])
    index.remove(5)
    return index.path


@pytest.fixture
def index(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "index"))


def change(index: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change the catalogue past its own constraints, as damage or another program does."""
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement, values)
        connection.commit()


def use(index: Path, query: Signatures) -> None:
    """Read all that an index offers."""
    opened = Index.open(index)
    search(query, opened)
    list(opened)
    opened.skipped  # noqa: B018
    opened.refresh()


DEAD = "UPDATE dead SET row = {}"
IMAGE = "UPDATE images SET {} WHERE id = 2"
SKIPPED = "UPDATE images SET {} WHERE state = 'skipped'"
ROOT = "UPDATE roots SET {}"
SEGMENT = "UPDATE segments SET {} WHERE id = 1"

HOSTILE = [
    (DEAD.format(-1), "expected a segment and a row"),
    (DEAD.format("'x'"), "expected a segment and a row"),
    (DEAD.format("1.5"), "expected a segment and a row"),
    (DEAD.format("x'00'"), "expected a segment and a row"),
    (DEAD.format(2**63 - 1), "rows as dead that a segment does not have"),
    (SKIPPED.format("id = -3"), "id: expected a number from 0"),
    (SKIPPED.format(f"id = {2**63 - 1}"), "id: expected a number from 0"),
    (IMAGE.format("root = 'x'"), "root, size and mtime_ns"),
    (IMAGE.format("root = 1.5"), "root, size and mtime_ns"),
    (IMAGE.format("size = 'x'"), "root, size and mtime_ns"),
    (IMAGE.format("mtime_ns = x'00'"), "root, size and mtime_ns"),
    (IMAGE.format("state = 'here'"), "state: expected one of gone, indexed, removed, skipped"),
    (IMAGE.format("path = 'text'"), "path: expected a relative path"),
    (IMAGE.format("path = 7"), "path: expected a relative path"),
    (IMAGE.format("path = cast('/etc/passwd' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('../../a.jpg' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('a/../b.jpg' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('a/..' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('./b.jpg' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('a//b.jpg' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = cast('a/' AS blob)"), "path: expected a relative path"),
    (IMAGE.format("path = x''"), "path: expected a relative path"),
    (IMAGE.format("path = x'6100'"), "path: expected a relative path"),
    (SKIPPED.format("path = cast('../x.jpg' AS blob)"), "path: expected a relative path"),
    (SKIPPED.format("reason = NULL"), "reason: expected text"),
    (SKIPPED.format("reason = x'ff'"), "reason: expected text"),
    (ROOT.format("path = cast('.' AS blob)"), "path: expected an absolute path"),
    (ROOT.format("path = cast('photos' AS blob)"), "path: expected an absolute path"),
    (ROOT.format("path = cast('/a/../b' AS blob)"), "path: expected an absolute path"),
    (ROOT.format("path = x'2f00'"), "path: expected an absolute path"),
    (ROOT.format("path = 'text'"), "path: expected an absolute path"),
    (ROOT.format("path = 5"), "path: expected an absolute path"),
    (ROOT.format("relative = cast('/etc' AS blob)"), "relative: expected a relative path"),
    (ROOT.format("relative = cast('a/../..' AS blob)"), "relative: expected a relative path"),
    (ROOT.format("relative = x''"), "relative: expected a relative path"),
    (ROOT.format("relative = 'text'"), "relative: expected a relative path"),
    (ROOT.format("state = 'mine'"), "state: expected one of files, forgotten, scanned"),
    (ROOT.format("state = x'00'"), "state: expected one of files, forgotten, scanned"),
    (SEGMENT.format("name = x'00'"), "name: expected 16 hexadecimal digits"),
    (SEGMENT.format("name = 'model.safetensors'"), "name: expected 16 hexadecimal digits"),
    (SEGMENT.format("name = '../' || name"), "name: expected 16 hexadecimal digits"),
    (SEGMENT.format("name = name || char(10)"), "name: expected 16 hexadecimal digits"),
    (SEGMENT.format("images = 'x'"), "images: expected a number"),
    (SEGMENT.format("images = -1"), "images: expected a number"),
    (SEGMENT.format("images = 1.5"), "images: expected a number"),
    (SEGMENT.format("size = x'00'"), "size: expected a number"),
    (SEGMENT.format("sha256 = 'x'"), "sha256: expected 64 hexadecimal digits"),
    (SEGMENT.format("sha256 = 12"), "sha256: expected 64 hexadecimal digits"),
]


@pytest.mark.parametrize(("statement", "message"), HOSTILE, ids=[statement for statement, _ in HOSTILE])
def test_rows_that_no_index_holds_are_refused_and_found(index: Path, statement: str, message: str):
    query = Index.open(index).signatures()[:1]
    change(index, statement)
    with pytest.raises(IndexStorageError, match=message):
        use(index, query)
    assert check_index(index)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE images SET segment = 'x' WHERE id = 2",
        "UPDATE images SET row = 'x' WHERE id = 2",
        "UPDATE images SET reason = x'00' WHERE id = 2",
        "UPDATE images SET reason = CAST(x'61ff' AS TEXT) WHERE state = 'skipped'",
        "UPDATE images SET reason = CAST(x'61ff' AS TEXT) WHERE id = 2",
        "UPDATE meta SET value = CAST(x'61ff' AS TEXT) WHERE key = 'uuid'",
        "INSERT INTO dead SELECT segment, row FROM images WHERE id = 2",
        "DELETE FROM images WHERE id = 2",
        "DELETE FROM roots",
    ],
)
def test_check_finds_what_is_read_nowhere_else(index: Path, statement: str):
    change(index, statement)
    assert check_index(index)


def test_check_lists_many_problems_and_stops(index: Path):
    change(index, "UPDATE images SET path = cast('../' || id AS blob)")
    assert 10 <= len(check_index(index)) <= 20


def altered(**values: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **values})


def altered_model(**values: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), "model": {**json.loads(text)["model"], **values}})


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (lambda text: deep(100_000), "recursion"),
        (lambda text: text.replace('"features"', f'"more": {deep(100_000)}, "features"'), "recursion"),
        (lambda text: text.replace('"classes"', f'"more": {deep(400)}, "classes"'), "nested at most"),
        (lambda text: text + " " * 2**24, "expected at most"),
        (lambda text: text.encode(), "expected JSON text"),
        (lambda text: 7, "expected JSON text"),
        (lambda text: "7", "damaged"),
        (lambda text: "[]", "damaged"),
        (altered(format="1"), "format: expected an integer"),
        (altered(format=0), "format: expected an integer"),
        (altered(format=None), "format: expected an integer"),
        (altered(long_side="512"), "long_side: expected an integer"),
        (altered(long_side=-5), "long_side: expected an integer"),
        (altered(long_side=65537), "long_side: expected an integer from 1 to 65536"),
        (altered(features=[{"name": "surf", "n_octaves": 16}]), "n_octaves: expected an integer from 1 to 8"),
        (altered(features=[{"name": "sift", "sigma": 1e5}]), "sigma: expected a number from 0.1 to 10"),
        (altered(features=[]), "at least one, and each once"),
        (altered(features={"name": "kaze"}), "list of features"),
        (altered(features=["kaze"]), "damaged"),
        (altered(features=[{"name": "kaze"}, {"name": "kaze"}]), "at least one, and each once"),
        (altered(features=[{"name": "kaze", "threshold": 10**400}]), "damaged"),
        (altered(features=[{"name": []}]), "damaged"),
        (altered(model=[["name", "m"]]), "model: expected an object"),
        (altered_model(name=5), "model.name: expected text"),
        (altered_model(sha256=None), "model.sha256: expected text"),
        (altered_model(classes="abc"), "model.classes: expected a list"),
        (altered_model(classes=[1, 2]), "model.classes: expected a list"),
        (altered_model(classes=[]), "expected 1 to 65536 names"),
        (altered_model(classes=["x"] * 70_000), "expected 1 to 65536 names"),
        (altered_model(void="x"), "model.void: expected an integer"),
        (altered_model(void=2**70), "model.void: expected an integer"),
    ],
)
def test_recipes_that_no_index_holds(index: Path, recipe: Callable[[str], object], message: str):
    with catalog.read(index) as opened:
        text = opened.meta("recipe")
    change(index, "UPDATE meta SET value = ? WHERE key = 'recipe'", values=(recipe(text),))
    with pytest.raises(IndexStorageError, match=f"recipe of index .*{message}"):
        Index.open(index)
    assert check_index(index)


def test_a_recipe_of_other_numbers(index: Path):
    """One flipped bit makes another sound recipe, by which photos would get other signatures."""
    change(index, "UPDATE meta SET value = replace(value, '0.001', '0.003') WHERE key = 'recipe'")
    with pytest.raises(IndexStorageError, match="recipe of index .* is damaged: its sha256"):
        Index.open(index)
    assert "sha256" in check_index(index)[0]
    change(index, "DELETE FROM meta WHERE key = 'recipe_sha256'")  # as indexes were made before
    Index.open(index)


@pytest.mark.parametrize("value", [None, 5, "", b""])
def test_a_model_that_is_no_path_is_an_error(index: Path, value: object):
    change(index, "DELETE FROM meta WHERE key = 'model'")
    if value is not None:
        change(index, "INSERT INTO meta VALUES ('model', ?)", values=(value,))
    shutil.rmtree(index / "model")
    with pytest.raises(ModelError, match="does not say which model"):
        Index.open(index).extractor()


def test_an_id_in_a_segment_that_the_catalogue_does_not_know(index: Path):
    """What a flipped bit in a segment's ids leads to."""
    query = Index.open(index).signatures(ids=[2])
    file = next(path for path in (index / "segments").iterdir() if b"\2\0\0\0\0\0\0\0" in path.read_bytes())
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    at = data.index(b"\2\0\0\0\0\0\0\0", start)
    file.write_bytes(data[:at] + b"\2\0\0\0\0\0\0\1" + data[at + 8 :])
    with pytest.raises(IndexStorageError, match="does not say where the file of image"):
        search(query, index)
    assert check_index(index)


def test_an_id_that_is_in_the_segments_twice(index: Path):
    file = next(path for path in (index / "segments").iterdir() if b"\2\0\0\0\0\0\0\0" in path.read_bytes())
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    at = data.index(b"\2\0\0\0\0\0\0\0", start)
    file.write_bytes(data[:at] + b"\3" + data[at + 1 :])
    with pytest.raises(IndexStorageError, match=r"is damaged: .*each id once"):
        Index.open(index).signatures()
    assert check_index(index)


def test_ids_beyond_all_bounds_are_unknown_ids(index: Path):
    opened = Index.open(index)
    for key in (-1, 2**63 - 1, 2**63, -(2**70)):
        with pytest.raises(KeyError, match="no image with id"):
            opened.records([key])


def test_the_last_id_can_be_used_and_no_other_after_it(index: Path, made_photos: Path, tmp_path: Path):
    change(index, SKIPPED.format(f"id = {rows.MAX_ID}"))
    with pytest.raises(IndexStorageError, match="so that another image can be added"):
        Index.open(index).add(shutil.copy(made_photos / "beach" / "0.jpg", tmp_path / "new.jpg"))


@pytest.mark.slow
def test_a_million_segments_are_refused_at_once(index: Path):
    change(
        index,
        "INSERT INTO segments (name, images, size, sha256) WITH RECURSIVE n(i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)"
        " SELECT printf('%016x.safetensors', i), 0, 0, printf('%064x', i) FROM n",
    )
    since = time.monotonic()
    with pytest.raises(IndexStorageError, match=f"more than {rows.MAX_SEGMENTS} segments"):
        Index.open(index)
    assert check_index(index)
    assert time.monotonic() - since < 20


@pytest.mark.slow
def test_a_hundred_thousand_folders_take_seconds(index: Path):
    query = Index.open(index).signatures()[:1]
    values = ((b"/nowhere/%d" % i, b"../nowhere/%d" % i) for i in range(100_000))
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        connection.executemany("INSERT INTO roots (path, relative, state) VALUES (?, ?, 'files')", values)
        connection.commit()
    since = time.monotonic()
    opened = Index.open(index)
    assert len(opened.roots) > 100_000
    assert search(query, opened)[0][0].distance == 0
    assert time.monotonic() - since < 60


@pytest.mark.parametrize(("bound", "message"), [("MAX_ROOTS", "folders"), ("MAX_SEGMENTS", "segments")])
def test_more_than_any_index_has_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch, bound: str, message: str
):
    change(index, "INSERT INTO roots (path, state) VALUES (x'2f61', 'files')")
    monkeypatch.setattr(rows, bound, 1)
    with pytest.raises(IndexStorageError, match=f"more than 1 {message}"):
        Index.open(index)


@pytest.mark.parametrize("path", [b"a.jpg", b".a/..b/...", b"a/.b.jpg", b"\xff\n/ x", b"a:b\\c"])
def test_strange_names_of_images_are_names(path: bytes):
    assert rows.is_image_path(path)
    assert rows.image_row((0, 1, path, None, None, "gone", 0)).path == path


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        (b"/", b"."),
        (b"/a/.b", b"../.."),
        (b"C:\\photos", b"..\\photos"),
        (b"//host/x", None),
        (b"/\xff", b"\xff"),
    ],
)
def test_folders_of_any_system_are_folders(path: bytes, relative: bytes | None):
    assert rows.root_row((1, path, relative, "scanned")).path == path
    assert os.fsdecode(path)
