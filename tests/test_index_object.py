# SPDX-License-Identifier: MIT
"""Index as a Python object: what is in it, one image of it, closing, and wrong arguments."""

from __future__ import annotations

import copy
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from semcbir import Extractor, Index, IndexStorageError, Record, search


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")


def test_what_is_in_it(index: Index, photo_folder: Path, tmp_path: Path):
    path = photo_folder / "beach" / "1.jpg"
    record = index[1]
    assert record == index[np.int64(1)] == index[path] == index[str(path)]
    assert record.path == path
    assert record in index
    assert [one for one in index if one in index] == list(index)
    assert all(one.id in index and one.path in index for one in index)
    assert index[11].id == 11
    index.remove(1)
    assert 1 not in index
    assert path not in index
    assert record not in index
    assert len(index) == len(list(index)) == 11
    for absent in (
        1,
        12,
        -1,
        2**63,
        10**100,
        path,
        tmp_path / "none.jpg",
        "elsewhere/none.jpg",
        photo_folder,
    ):
        assert absent not in index
        with pytest.raises(KeyError, match="has no image"):
            index[absent]
    assert Record(0, path, 1, 1) not in index  # another image than the one with this id


def test_another_process_has_added_an_image(index: Index, photo_folder: Path):
    new = photo_folder / "new.jpg"
    new.write_bytes((photo_folder / "town" / "0.jpg").read_bytes())
    Index.open(index.path).refresh()
    assert new not in index
    assert len(list(index)) == len(index) == 12
    assert new in Index.open(index.path)


@pytest.mark.parametrize("what", [None, 3.5, b"x", True, object(), [1], ""])
def test_what_cannot_be_an_image(index: Index, what: object):
    with pytest.raises((TypeError, ValueError), match=r"^image: expected "):
        what in index  # noqa: B015
    with pytest.raises((TypeError, ValueError), match=r"^image: expected "):
        index[what]  # type: ignore[index]


def test_with_closes_it(index: Index, photo_folder: Path):
    with Index.open(index.path) as opened:
        assert len(opened) == 12
        searcher = opened.searcher()
        expected = searcher.search(opened.signatures(), k=3)
    assert repr(opened) == f"Index({str(index.path)!r}, closed)"
    opened.close()
    np.testing.assert_array_equal(searcher.search(index.signatures(), k=3).ids, expected.ids)
    path = photo_folder / "beach" / "0.jpg"
    uses = [
        lambda: len(opened),
        lambda: list(opened),
        lambda: 0 in opened,
        lambda: opened[0],
        lambda: opened[path],
        lambda: opened.recipe,
        lambda: opened.features,
        lambda: opened.roots,
        lambda: opened.skipped,
        lambda: opened.records([]),
        lambda: opened.find(path),
        lambda: opened.signatures(),
        lambda: opened.searcher(),
        lambda: opened.extractor(),
        lambda: opened.add(path),
        lambda: opened.refresh(),
        lambda: opened.remove([]),
        lambda: opened.check(),
        lambda: opened.compact(),
        lambda: opened.rebase(photo_folder),
        lambda: opened.__enter__(),
        lambda: copy.copy(opened),
        lambda: search(path, opened),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"index .* is closed; open it again"):
            use()
    assert Index.open(index.path).refresh().unchanged == 12


def test_an_error_in_the_block_closes_it_and_goes_on(index: Index):
    with pytest.raises(RuntimeError, match="stop"), Index.open(index.path) as opened:
        raise RuntimeError("stop")
    with pytest.raises(ValueError, match="is closed"):
        len(opened)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what is mapped in /proc")
def test_closing_unmaps_the_files(index: Index):
    def mapped() -> bool:
        return os.fspath(index.path) in Path("/proc/self/maps").read_text("utf-8", "surrogateescape")

    assert mapped()
    index.searcher().search(index.signatures(), k=2)
    index.extractor()
    index.close()
    assert not mapped()


def test_generators_stand_for_sequences(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    folders = (folder for folder in (photo_folder / "beach", photo_folder / "town"))
    features = (name for name in ("hog", "kaze"))
    index = Index.build(folders, tmp_path / "index", model=tiny_model, features=features)
    assert index.features == ("hog", "kaze")
    assert [one.id for one in index.records(i for i in (2, 0))] == [2, 0]
    assert index.signatures(ids=(i for i in (2, 0))).ids.tolist() == [2, 0]
    assert index.signatures(ids={3}).ids.tolist() == [3]
    assert index.remove(one.path for one in index.records([0, 1])) == 2
    assert index.add(one for one in [photo_folder / "beach"]).added == 2
    assert index.refresh(one for one in [photo_folder / "meadow"]).added == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.add(b"a.jpg"), r"paths: expected a path or several, got b'a\.jpg'"),
        (lambda index: index.add(3), "paths: expected a path or several, got 3"),
        (lambda index: index.add([None]), "paths: expected a path, got None"),
        (lambda index: index.refresh(b"a"), "folders: expected a path or several, got b'a'"),
        (lambda index: index.records(0), "ids: expected several ids, got 0"),
        (lambda index: index.records("12"), "ids: expected several ids, got '12'"),
        (lambda index: index.records([True]), "ids: expected an id, got True"),
        (lambda index: index.records([1.0]), "ids: expected an id, got 1.0"),
        (lambda index: index.signatures(ids=[1.0]), "ids: expected an array of int64, got float64"),
        (lambda index: index.remove(True), "images: expected an id or a path, got True"),
        (lambda index: index.remove(b"a.jpg"), "images: expected an id, a path or several, got b'a.jpg'"),
        (lambda index: index.remove([[1]]), r"images: expected an id or a path, got \[1\]"),
        (lambda index: index.find(b"a.jpg"), "path: expected a path, got b'a.jpg'"),
        (lambda index: index.refresh(on_progress=3), "on_progress: expected a function or None, got 3"),
        (lambda index: index.refresh(extractor="x"), "extractor: expected an Extractor or None, got 'x'"),
    ],
)
def test_wrong_kinds(index: Index, call, message: str):
    with pytest.raises(TypeError, match=message):
        call(index)
    assert len(index) == 12


def test_the_home_folder(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert photo_folder.parent == tmp_path
    index = Index.build(
        "~/photos", "~/index", model=f"~/{os.path.relpath(tiny_model, tmp_path)}", features="hog"
    )
    assert index.path == tmp_path / "index"
    assert index.roots == (photo_folder,)
    assert index.find("~/photos/beach/0.jpg") is not None
    assert "~/photos/beach/0.jpg" in Index.open("~/index")
    (hit,) = search("~/photos/town/0.jpg", "~/index", k=1)
    assert hit.path == photo_folder / "town" / "0.jpg"
    assert index.remove("~/photos/beach/0.jpg") == 1
    assert index.add("~/photos/beach").added == 1
    assert len(Extractor(tiny_model, "hog").extract(["~/photos/beach/0.jpg"])) == 1


def test_a_tilde_that_is_no_home_is_a_name(
    index: Index, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(photo_folder)
    for name in ("~nobody-has-this-name.jpg", "a~b.jpg"):
        (photo_folder / name).write_bytes((photo_folder / "town" / "0.jpg").read_bytes())
        assert index.add(name).added == 1
        assert name in index
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (photo_folder / "~").mkdir()
    assert "~" not in index  # the home folder
    assert index.add("./~").added == 0  # the folder of that name


def test_a_folder_of_photos_is_not_its_index(photo_folder: Path, tiny_model: Path):
    Index.build(photo_folder, photo_folder / ".semcbir", model=tiny_model)
    with pytest.raises(IndexStorageError, match=r"it has its own in .*/\.semcbir: open that"):
        Index.open(photo_folder)
    with pytest.raises(IndexStorageError, match="missing is not there"):
        Index.open(photo_folder / "missing")


def test_open_files_are_no_images(photo_folder: Path, tiny_model: Path):
    index = Index.build(photo_folder, photo_folder / ".semcbir", model=tiny_model)
    photo = photo_folder / "beach" / "0.jpg"
    with photo.open("rb") as file:
        for query in (file, io.BytesIO(photo.read_bytes())):
            with pytest.raises(TypeError, match=r"query: .* got an open file; pass what its read\(\) gives"):
                search(query, index)
        assert search(file.read(), index)[0].path == photo


def test_what_searches_know_of_a_segment_outlives_changes(index: Index, photo_folder: Path):
    def ask(screened: bool) -> list[np.ndarray]:
        columns = (query.offsets, query.classes, query.proportions, query.centroids)
        return list(index.searcher()._core.search(*columns, 5, None, False, 1, screened))

    query = index.signatures(ids=[3, 4])
    ask(screened=True)
    built = index.searcher()._core.screen_bytes
    assert built > 0
    assert index._snapshot.screen_bytes("hog") == pytest.approx(built, rel=0.6)  # of 12 images, a block alone
    (photo_folder / "new.jpg").write_bytes((photo_folder / "town" / "0.jpg").read_bytes())
    index.refresh()
    index.remove(4)
    assert (len(index), index.searcher()._core.screen_bytes) == (12, built)
    for found, expected in zip(ask(screened=True), ask(screened=False), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert index.searcher()._core.screen_bytes > built
    index.compact()  # into a segment that is new
    assert index.searcher()._core.screen_bytes == 0
