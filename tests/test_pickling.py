# SPDX-License-Identifier: MIT
"""Pickles and copies: what they hold, and that they are as safe from changes as what they were made from."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_signatures import assert_same, made_signatures
from semcbir import (
    HOG,
    DeviceError,
    Extractor,
    ImageError,
    Index,
    IndexLockedError,
    IndexStorageError,
    ModelError,
    Recipe,
    RecipeMismatchError,
    Searcher,
    Segmenter,
    SemcbirError,
    Signatures,
    explain,
    search,
)
from semcbir._columns import is_frozen

COLUMNS = ("offsets", "classes", "proportions", "counts", "centroids", "ids")


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WAYS = pytest.mark.parametrize("again", [pickled, copy.copy, copy.deepcopy])


@WAYS
@pytest.mark.parametrize("chosen", [slice(None), slice(2, 5), [4, 1]])
def test_signatures_stay_read_only(again: Callable[[Any], Any], chosen: Any) -> None:
    recipe = Recipe({"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}, (HOG(),), 512)
    signatures = Signatures(**{**vars(made_signatures(9)), "recipe": recipe})[chosen]
    twin = again(signatures)
    assert_same(twin, signatures)
    assert twin.recipe == recipe
    for name in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(twin, name)[...] = 0
    assert_same(again(twin), signatures)


@WAYS
def test_a_searcher_takes_its_signatures_along(again: Callable[[Any], Any]) -> None:
    images = made_signatures(30)
    for searcher in (Searcher(images), Searcher([images[:10], images[10:]])):
        found, expected = again(searcher).search(images), searcher.search(images)
        for name in ("ids", "distances", "histogram_distances", "kept"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=["kaze", "hog"])


@WAYS
def test_an_index_and_what_it_gives(again: Callable[[Any], Any], index: Index, photo_folder: Path) -> None:
    photo = photo_folder / "town" / "1.jpg"
    expected = search(photo, index)
    twin = again(index)
    assert list(twin) == list(index)
    assert twin.report == index.report
    assert list(search(photo, twin, feature="hog")) == list(search(photo, index, feature="hog"))
    results = again(expected)
    assert (list(results), results.kept) == (list(expected), expected.kept)
    explanation = again(explain(photo, expected[-1].id, index))
    assert explanation.distance == explain(photo, expected[-1].id, index).distance


def test_the_searcher_of_an_index_says_what_to_pickle(index: Index) -> None:
    searcher = index.searcher()
    with pytest.raises(TypeError, match="its signatures are files; pickle the Index and call its searcher"):
        pickle.dumps(searcher)
    assert copy.deepcopy(searcher) is searcher


@WAYS
def test_extractors_and_segmenters_load_their_model_again(
    again: Callable[[Any], Any], photo_folder: Path, tiny_model: Path
) -> None:
    extractor = Extractor(tiny_model, "hog", threads=2, long_side=40)
    photos = [photo_folder / "town" / f"{number}.jpg" for number in (1, 2)]
    expected = [extractor.extract(photos), extractor.extract(photos[:1])]
    twin = again(extractor)
    assert "segmenter" not in vars(twin)
    assert_same(twin.extract(photos), expected[0])
    assert_same(twin.extract(photos[:1]), expected[1])
    segmenter = Segmenter(tiny_model, threads=1)
    picture = np.zeros((30, 40, 3), np.uint8)
    np.testing.assert_array_equal(again(segmenter).segment([picture])[0], segmenter.segment([picture])[0])


@pytest.mark.parametrize(
    "error",
    [
        ImageError("a.jpg: it is empty", reason="it is empty", transient=True),
        *(
            kind("what is wrong")
            for kind in (
                SemcbirError,
                ModelError,
                DeviceError,
                IndexStorageError,
                IndexLockedError,
                RecipeMismatchError,
            )
        ),
    ],
)
def test_errors_come_back_from_other_processes(error: Exception) -> None:
    twin = pickled(error)
    assert type(twin) is type(error)
    assert (str(twin), vars(twin)) == (str(error), vars(error))


def own_arrays() -> dict[str, Any]:
    """Writable arrays of a user's own, of exactly the types that need no conversion."""
    return {name: np.array(getattr(made_signatures(40), name)) for name in COLUMNS}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("hidden", ["own", "read-only view", "view of a view", "memoryview", "strided"])
def test_a_change_of_ones_own_arrays_reaches_nobody(name: str, hidden: str) -> None:
    columns = own_arrays()
    mine = columns[name]
    given: Any = mine
    if hidden == "read-only view":
        given = mine.view()
        given.flags.writeable = False
    elif hidden == "view of a view":
        given = mine[:]
        given.flags.writeable = False
        given = given[:]
    elif hidden == "memoryview":
        given = memoryview(mine).toreadonly()
    elif hidden == "strided":
        mine = np.repeat(mine, 2, axis=0)
        given = mine[::2]
    signatures = Signatures(**{**columns, name: given}, n_classes=20)
    searcher = Searcher(signatures)
    before = searcher.search(signatures)
    mine[...] = 2**15
    assert_same(signatures, made_signatures(40))
    after = searcher.search(signatures)
    for column in ("ids", "distances", "histogram_distances", "kept"):
        np.testing.assert_array_equal(getattr(after, column), getattr(before, column))


def test_what_nothing_writes_to_is_shared(tmp_path: Path) -> None:
    made = made_signatures(40)
    np.save(tmp_path / "centroids.npy", made.centroids)
    shared: list[Any] = [
        np.load(tmp_path / "centroids.npy", mmap_mode="r"),
        np.frombuffer(made.centroids.tobytes(), np.float32).reshape(made.centroids.shape),
        made.centroids,
        made.centroids[:],
    ]
    for centroids in shared:
        signatures = Signatures(**{**vars(made), "centroids": centroids})
        assert np.shares_memory(signatures.centroids, centroids)
        assert np.shares_memory(signatures[3:9].centroids, centroids)
        assert_same(signatures, made)
    copied: list[Any] = [
        np.load(tmp_path / "centroids.npy", mmap_mode="r+"),
        np.load(tmp_path / "centroids.npy", mmap_mode="c"),
        np.frombuffer(bytearray(made.centroids.tobytes()), np.float32).reshape(made.centroids.shape),
    ]
    for centroids in copied:
        signatures = Signatures(**{**vars(made), "centroids": centroids})
        assert not np.shares_memory(signatures.centroids, centroids)


def test_what_is_made_here_is_not_copied_again() -> None:
    """Everything that makes a batch leaves arrays that the next one can share."""
    made = made_signatures(40)
    joined = Signatures.concatenate([made[:9], made[9:]])
    for signatures in (made, joined, made[[3, 1, 2]], made[5:9], pickled(made), Signatures.empty(5, 2)):
        for name in COLUMNS:
            assert is_frozen(getattr(signatures, name)), name
        again = Signatures(**vars(signatures))
        assert all(
            np.shares_memory(getattr(again, name), getattr(signatures, name))
            for name in COLUMNS[1:4]
            if len(signatures)
        )


def test_the_arrays_that_were_given_stay_writable() -> None:
    columns = own_arrays()
    Signatures(**columns, n_classes=20)
    assert all(column.flags.writeable for column in columns.values())
    listed = columns["classes"].tolist()
    Signatures(**{**columns, "classes": listed}, n_classes=20)
    assert listed == columns["classes"].tolist()


@pytest.mark.skipif(os.name == "nt", reason="sessions hold their files")
def test_a_pickle_of_an_index_that_is_gone_says_so(index: Index) -> None:
    data = pickle.dumps(index)
    index.path.rename(index.path.with_name("elsewhere"))
    with pytest.raises(IndexStorageError, match="is not there"):
        pickle.loads(data)
