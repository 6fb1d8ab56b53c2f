# SPDX-License-Identifier: MIT
"""Whole rows: a row for the photo as a whole, which distances see and eq. 1 does not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_signatures import assert_same, made_signatures, with_whole_rows
from semcbir import Searcher, Signatures, histogram_distances
from semcbir.explanation import WHOLE_IMAGE, _rows, remark
from semcbir.signatures import class_rows
from semcbir.terms import Terms

COLUMNS: dict[str, Any] = {
    "offsets": [0, 3, 4, 5],
    "classes": [1, 4, 5, 5, 0],
    "proportions": [0.25, 0.75, 0.0, 0.0, 1.0],
    "counts": [3, 0, 9, 9, 1],
    "centroids": [[1.0, 2.0], [0.0, 0.0], [3.0, 4.0], [7.0, 8.0], [5.0, 6.0]],
    "n_classes": 5,
    "whole": True,
}
"""Two classes and a whole row; a photo that is all void; one class of a photo, taken alone."""


def whole(n: int, seed: int = 0) -> Signatures:
    return with_whole_rows(made_signatures(n, seed=seed), seed=seed)


def without(signatures: Signatures) -> Signatures:
    """The same images without their whole rows."""
    offsets, classes, proportions = class_rows(signatures)
    chosen = signatures.classes < signatures.n_classes
    return Signatures(
        offsets=offsets,
        classes=classes,
        proportions=proportions,
        counts=signatures.counts[chosen],
        centroids=signatures.centroids[chosen],
        n_classes=signatures.n_classes,
        ids=signatures.ids,
    )


def test_dense_has_a_row_more_and_histograms_have_not() -> None:
    signatures = Signatures(**COLUMNS)
    assert signatures.whole
    expected = np.zeros((3, 6, 2))
    expected[0, 1], expected[0, 5], expected[1, 5], expected[2, 0] = (1, 2), (3, 4), (7, 8), (5, 6)
    np.testing.assert_array_equal(signatures.dense(), expected)
    histograms = signatures.histograms()
    np.testing.assert_array_equal(histograms, [[0, 0.25, 0, 0, 0.75], [0] * 5, [1, 0, 0, 0, 0]])
    assert histograms.flags.c_contiguous
    assert repr(signatures) == "Signatures(3 images, 5 rows, n_classes=5, dim=2, whole=True)"
    assert "whole" not in repr(made_signatures(3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"whole": False}, ValueError, "classes: expected below n_classes=5, got 5 in image 0"),
        ({"classes": [1, 4, 6, 5, 0]}, ValueError, "below n_classes=5, or 5 for the whole row, got 6"),
        (
            {"classes": [1, 5, 5, 5, 0]},
            ValueError,
            "classes: expected to ascend .*, got 5 then 5",
        ),
        ({"classes": [5, 4, 1, 5, 0]}, ValueError, "classes: expected to ascend"),
        (
            {"proportions": [0.25, 0.75, 0.5, 0.0, 1.0]},
            ValueError,
            "proportions: expected 0 for the whole row, class 5, got 0.5",
        ),
        ({"counts": [3, 0, 0, 9, 1]}, ValueError, "centroids: expected zeros where counts is 0"),
        ({"whole": 1}, TypeError, "whole: expected True or False, got 1"),
        ({"whole": None}, TypeError, "whole: expected True or False, got None"),
        ({"n_classes": 65536}, ValueError, "n_classes: expected an integer from 1 to 65535, got 65536"),
    ],
)
def test_wrong_content_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Signatures(**{**COLUMNS, **change})


def test_the_largest_class_number_is_a_whole_row() -> None:
    columns = {**COLUMNS, "classes": [1, 4, 65535, 65535, 0]}
    assert Signatures(**{**columns, "n_classes": 65535}).classes[2] == 65535


def test_an_empty_batch_may_have_whole_rows() -> None:
    none = Signatures.empty(5, 2, whole=True)
    assert none.dense().shape == (0, 6, 2)
    assert none.histograms().shape == (0, 5)
    batch = Signatures(**COLUMNS)
    assert_same(Signatures.concatenate([none, batch]), batch)


@given(seed=st.integers(0, 50), n=st.integers(0, 12))
def test_from_dense_undoes_dense(seed: int, n: int) -> None:
    signatures = whole(n, seed)
    counts = np.zeros((n, signatures.n_classes + 1), np.uint32)
    counts[np.repeat(np.arange(n), np.diff(signatures.offsets)), signatures.classes] = signatures.counts
    again = Signatures.from_dense(
        signatures.dense(), signatures.histograms(), counts=counts, ids=signatures.ids, whole=True
    )
    assert_same(again, signatures)


def test_from_dense_has_a_whole_row_where_it_is_not_null_or_counted() -> None:
    dense = np.zeros((3, 3, 2))
    dense[0, 2] = 1
    counts = np.array([[0, 0, 4], [0, 0, 5], [0, 0, 0]])
    made = Signatures.from_dense(dense, np.zeros((3, 2)), counts=counts, whole=True)
    assert (made.offsets.tolist(), made.classes.tolist(), made.counts.tolist()) == (
        [0, 1, 2, 2],
        [2, 2],
        [4, 5],
    )
    assert Signatures.from_dense(dense, np.zeros((3, 2)), whole=True).offsets.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("signatures", "histograms", "counts", "message"),
    [
        ((2, 3), (2, 3), None, r"signatures: expected shape \(n, C \+ 1, D\), got \(2, 3\)"),
        ((2, 0, 4), (2, 0), None, r"signatures: expected shape \(n, C \+ 1, D\), got \(2, 0, 4\)"),
        ((2, 1, 4), (2, 0), None, "n_classes: expected an integer from 1 to 65535, got 0"),
        ((2, 3, 4), (2, 3), None, r"histograms: expected shape \(2, 2\) like signatures, got \(2, 3\)"),
        ((2, 3, 4), (2, 2), (2, 2), r"counts: expected shape \(2, 3\) like signatures, got \(2, 2\)"),
    ],
)
def test_from_dense_refuses_other_shapes(
    signatures: tuple[int, ...], histograms: tuple[int, ...], counts: tuple[int, ...] | None, message: str
) -> None:
    given_counts = None if counts is None else np.zeros(counts, int)
    with pytest.raises(ValueError, match=message):
        Signatures.from_dense(np.zeros(signatures), np.zeros(histograms), counts=given_counts, whole=True)


@given(seed=st.integers(0, 20), data=st.data())
def test_slices_and_selections_keep_whole_rows(seed: int, data: st.DataObject) -> None:
    signatures = whole(9, seed)
    key = data.draw(
        st.one_of(st.slices(9), st.lists(st.integers(-9, 8), max_size=9, unique_by=lambda i: i % 9))
    )
    dense_key = np.array(key, np.intp) if isinstance(key, list) else key
    chosen = signatures[key]
    assert chosen.whole
    np.testing.assert_array_equal(chosen.dense(), signatures.dense()[dense_key])
    np.testing.assert_array_equal(chosen.histograms(), signatures.histograms()[dense_key])
    assert_same(Signatures.concatenate([chosen[i] for i in range(len(chosen))] or [chosen]), chosen)


@pytest.mark.parametrize("again", [lambda s: pickle.loads(pickle.dumps(s)), copy.copy, copy.deepcopy])
def test_copies_and_pickles_keep_whole_rows(again: Any) -> None:
    signatures = whole(6)
    assert_same(again(signatures), signatures)
    assert again(Searcher(signatures)).whole


def test_a_pickle_made_before_whole_rows_has_none() -> None:
    signatures = made_signatures(3)
    state = {name: value for name, value in vars(signatures).items() if name != "whole"}
    old = object.__new__(Signatures)
    old.__setstate__(state)
    assert_same(old, signatures)
    assert_same(old[1:], signatures[1:])


def test_batches_with_and_without_do_not_go_together() -> None:
    batch = whole(4)
    plain = without(batch)
    with pytest.raises(ValueError, match="batches: expected whole=True in each .* got whole=False"):
        Signatures.concatenate([batch, plain], ids=range(8))
    with pytest.raises(ValueError, match="signatures: expected whole=False, got whole=True"):
        Searcher([plain[:2], batch[2:]])
    with pytest.raises(ValueError, match="queries: expected whole=True, got whole=False"):
        Searcher(batch).search(plain)
    with pytest.raises(ValueError, match="queries: expected whole=False, got whole=True"):
        Searcher(plain).search(batch)


@pytest.mark.usefixtures("level")
def test_eq_1_does_not_see_whole_rows() -> None:
    batch, queries = whole(40), whole(7, seed=1)
    seen = histogram_distances(queries, batch)
    assert seen.tobytes() == histogram_distances(without(queries), without(batch)).tobytes()
    assert seen.tobytes() == histogram_distances(without(queries), batch).tobytes()
    for epsilon in (0.3, 0.9, 1.5):
        kept = Searcher(batch).search(queries, k=40, epsilon=epsilon).kept
        np.testing.assert_array_equal(
            kept, Searcher(without(batch)).search(without(queries), k=40, epsilon=epsilon).kept
        )


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_distances_are_those_of_the_dense_arrays(threads: int) -> None:
    batch, queries = whole(30), whole(5, seed=3)
    found = Searcher(batch).search(queries, k=30, epsilon=None, threads=threads)
    dense, asked = batch.dense().astype(np.float64), queries.dense().astype(np.float64)
    expected = np.sqrt(((asked[:, None] - dense[None]) ** 2).sum(axis=(2, 3)))
    order = np.argsort(expected, axis=1, kind="stable")
    np.testing.assert_array_equal(found.ids, batch.ids[order])
    np.testing.assert_allclose(found.distances, np.take_along_axis(expected, order, axis=1), rtol=1e-6)


def test_an_explanation_calls_it_the_whole_image() -> None:
    one, other = Signatures(**COLUMNS)[0], Signatures(**COLUMNS)[1]
    rows = {row.label: row for row in _rows(one, other, ("a", "b", "c", "d", "e"), Terms())}
    assert rows.keys() == {1, 4, 5}
    whole_row = rows[5]
    assert (whole_row.name, whole_row.query_proportion, whole_row.histogram_term) == (WHOLE_IMAGE, 0, 0)
    assert (whole_row.squared_distance, whole_row.shared, remark(whole_row)) == (32.0, True, "")
