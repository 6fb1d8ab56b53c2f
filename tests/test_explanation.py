# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import semcbir
from semcbir import Index, explain, load_image, search
from semcbir.explanation import ClassShare, remark


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="kaze,hog")


@pytest.mark.parametrize("feature", [None, "kaze", "hog"])
def test_distances_are_those_of_search_for_every_pair(
    index: Index, photo_folder: Path, feature: str | None
) -> None:
    query = photo_folder / "beach" / "1.jpg"
    for hit in search(query, index, k=12, feature=feature):
        why = explain(query, hit, index, feature)
        assert why.hit.path == hit.path
        assert why.distance == hit.distance
        assert why.histogram_distance == hit.histogram_distance
        assert why.recipe.feature().name == (feature or "kaze")


def test_rows_add_up_to_the_distances(index: Index, photo_folder: Path) -> None:
    why = explain(photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg", index)
    assert sum(row.squared_distance for row in why.rows) == pytest.approx(why.distance**2, rel=1e-6)
    assert sum(row.histogram_term for row in why.rows) == pytest.approx(why.histogram_distance, rel=1e-6)
    assert sum(row.share for row in why.rows) == pytest.approx(1)
    assert [row.share for row in why.rows] == sorted((row.share for row in why.rows), reverse=True)


def test_rows_are_the_classes_of_both_signatures(index: Index, photo_folder: Path) -> None:
    pair = photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg"
    why = explain(*pair, index)
    records = {record.path: record.id for record in index}
    signatures = index.signatures()
    p_query, p_hit = signatures.histograms()[[records[path] for path in pair]]
    s_query, s_hit = signatures.dense()[[records[path] for path in pair]].astype(np.float64)
    assert {row.label for row in why.rows} == set(np.flatnonzero(p_query + p_hit))
    for row in why.rows:
        c = row.label
        assert row.name == ["nothing", "red", "green", "blue", "dark"][c]
        assert (row.query_proportion, row.hit_proportion) == (p_query[c], p_hit[c])
        assert row.shared == bool(p_query[c] and p_hit[c])
        assert row.squared_distance == pytest.approx(((s_query[c] - s_hit[c]) ** 2).sum(), rel=1e-12)
    assert {row.shared for row in why.rows} == {True, False}


def test_an_image_and_itself_share_all_and_differ_in_nothing(index: Index, photo_folder: Path) -> None:
    query = photo_folder / "meadow" / "1.jpg"
    why = explain(load_image(query), query, index)
    assert (why.distance, why.histogram_distance) == (0.0, 0.0)
    assert [row.share for row in why.rows] == [0.0] * len(why.rows)
    assert [row.label for row in why.rows] == sorted(row.label for row in why.rows)
    assert all(row.shared for row in why.rows)
    assert why.query_path is None
    assert why.hit_analysis is not None
    np.testing.assert_array_equal(why.hit_analysis.label_map, why.query_analysis.label_map)


def test_a_hit_by_id_path_and_hit_is_the_same(index: Index, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "1.jpg"
    hit = search(query, index)[4]
    rows = [explain(query, form, index).rows for form in (hit, hit.id, hit.path, str(hit.path))]
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert explain(query, hit, index.path).rows == rows[0]


def test_numbers_stay_those_of_the_index_where_the_file_is_gone(index: Index, photo_folder: Path) -> None:
    query, hit = photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg"
    before = explain(query, hit, index)
    hit.write_bytes(b"no photo any more")
    after = explain(query, hit, index)
    assert after.rows == before.rows
    assert after.hit_analysis is None


def test_what_the_index_does_not_have_is_refused(
    index: Index, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = photo_folder / "beach" / "1.jpg"
    gone = search(query, index)[3]
    index.remove(gone.id)
    monkeypatch.setattr(semcbir.Extractor, "analyse", lambda *_: pytest.fail("work before the arguments"))
    for hit in (99, -1, 2**70, gone, gone.id, gone.path, photo_folder / "none.jpg"):
        with pytest.raises(ValueError, match="is not in index"):
            explain(query, hit, index)
    with pytest.raises(ValueError, match="feature: expected 'kaze' or 'hog', got 'sift'"):
        explain(query, 0, index, "sift")
    for wrong in (True, 1.0, None):
        with pytest.raises(TypeError, match="hit: expected an id, a path or a Hit"):
            explain(query, wrong, index)  # type: ignore[arg-type]


def test_a_query_that_cannot_be_read(index: Index, photo_folder: Path) -> None:
    with pytest.raises(semcbir.ImageError, match="none.jpg"):
        explain(photo_folder / "none.jpg", 0, index)


@pytest.mark.parametrize(
    ("query", "hit", "said"),
    [
        ((0.5, 3), (0.5, 3), ""),
        ((0.5, 3), (0.0, 0), "only in the query"),
        ((0.0, 0), (0.1, 0), "only in the hit, no keypoints"),
        ((0.5, 0), (0.5, 0), "no keypoints"),
        ((0.5, 3), (0.5, 0), "no keypoints in the hit"),
        ((0.5, 0), (0.5, 2), "no keypoints in the query"),
    ],
)
def test_why_a_class_adds_nothing(query: tuple[float, int], hit: tuple[float, int], said: str) -> None:
    row = ClassShare(
        label=1,
        name="red",
        query_proportion=query[0],
        hit_proportion=hit[0],
        histogram_term=abs(query[0] - hit[0]),
        squared_distance=0.0,
        share=0.0,
        shared=bool(query[0] and hit[0]),
        query_keypoints=query[1],
        hit_keypoints=hit[1],
    )
    assert remark(row) == said


def test_keypoints_are_those_of_the_signatures(index: Index, photo_folder: Path) -> None:
    pair = photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg"
    records = {record.path: record.id for record in index}
    for feature in ("kaze", "hog"):
        why = explain(*pair, index, feature)
        for side, path in zip(("query_keypoints", "hit_keypoints"), pair, strict=True):
            stored = index.signatures(feature, ids=[records[path]])
            counts = dict(zip(stored.classes.tolist(), stored.counts.tolist(), strict=True))
            assert {row.label: getattr(row, side) for row in why.rows if getattr(row, side)} == {
                label: count for label, count in counts.items() if count
            }
