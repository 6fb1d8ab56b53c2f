# SPDX-License-Identifier: MIT
"""Shards of an index, asked one by one: put together, their answers are those of the whole index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semcbir import Index, IndexStorageError, Signatures
from semcbir.distributed.gathering import search_all
from semcbir.distributed.shard import Shard
from semcbir.index.merge_plan import plan_merge
from semcbir.searcher import Asked
from semcbir.terms import Terms, named_terms
from sharded import assert_same, build, build_parts, write_copies


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copies(tmp_path_factory.mktemp("shards") / "photos", 60, 3)


@pytest.fixture(scope="module")
def whole(photos: Path, tiny_model: Path) -> Index:
    return build(photos, photos.parent / "whole", tiny_model)


@pytest.fixture(scope="module", params=[1, 4, 7])
def shards(photos: Path, tiny_model: Path, whole: Index, request: pytest.FixtureRequest) -> list[Shard]:
    n = request.param
    places = build_parts(photos, photos.parent / f"in {n}", tiny_model, n)
    return [Shard(source, "hog") for source in plan_merge(places).sources]


def ask_all(shards: Sequence[Shard]) -> Any:
    return lambda method, *arguments: [getattr(shard, method)(*arguments) for shard in shards]


@pytest.mark.parametrize("k", [1, 20, 80, 100])
@pytest.mark.parametrize(
    ("bound", "keep", "drop"),
    [(None, None, False), (0.9, None, False), (0.3, None, True), (0.0, None, False), (None, 7, False)],
)
def test_answers_are_those_of_the_whole_index(
    whole: Index, shards: list[Shard], k: int, bound: float | None, keep: int | None, drop: bool
) -> None:
    queries = whole.signatures()
    found = search_all(ask_all(shards), queries, Asked(k, bound, drop, 1, keep), None)
    epsilon = "auto" if keep else bound
    expected = whole.searcher().search(queries, k, epsilon, "drop" if drop else "last", keep=keep)
    assert_same(found, expected)


@pytest.mark.parametrize(
    "asked",
    [
        {"only": ["red"]},
        {"without": ["blue"]},
        {"weights": {"red": 3.0, "blue": 0.0}},
        {"only": ["red", "green"], "without": ["blue"], "min_share": 0.2},
    ],
)
@pytest.mark.parametrize("keep", [None, 1, 9, 500])
def test_terms_are_kept_to(
    whole: Index, shards: list[Shard], asked: dict[str, Any], keep: int | None
) -> None:
    terms: Terms = named_terms(whole.classes, **asked)
    queries = whole.signatures()[:25]
    found = search_all(
        ask_all(shards), queries, Asked(30, 0.9 if keep is None else None, False, 2, keep), terms
    )
    epsilon = 0.9 if keep is None else "auto"
    assert_same(found, whole.searcher().search(queries, 30, epsilon, terms=terms, keep=keep))


def test_signatures_and_records_come_under_the_ids_of_the_whole(whole: Index, shards: list[Shard]) -> None:
    ids = np.array([5, 0, 71, 30, 10**6])
    parts = [shard.signatures(ids) for shard in shards]
    joined = Signatures.concatenate([part for part in parts if len(part)])
    assert sorted(joined.ids.tolist()) == [0, 5, 30, 71]
    for one in joined:
        mine = whole.signatures(ids=one.ids)
        np.testing.assert_array_equal(one.centroids, mine.centroids)
        np.testing.assert_array_equal(one.classes, mine.classes)
    records = {record.id: record for shard in shards for record in shard.records(ids)}
    assert records == {key: whole[key] for key in (0, 5, 30, 71)}


def test_empty_parts(tmp_path: Path, photos: Path, tiny_model: Path, whole: Index) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (60, 40), (200, 90 * number, 0)).save(folder / f"{number}.png")
    one = build(folder, tmp_path / "one", tiny_model)
    places = build_parts(folder, tmp_path, tiny_model, 5)
    shards = [Shard(source, "hog") for source in plan_merge(places).sources]
    for keep in (None, 3):
        found = search_all(ask_all(shards), one.signatures(), Asked(3, 0.9, False, 1, keep), None)
        epsilon = 0.9 if keep is None else "auto"
        assert_same(found, one.searcher().search(one.signatures(), 3, epsilon, keep=keep))


def test_a_part_that_changed_is_no_shard(tmp_path: Path, photos: Path, tiny_model: Path) -> None:
    index = build(photos, tmp_path / "index", tiny_model)
    (source,) = plan_merge([index.path]).sources
    assert len(Shard(source, "hog").records(np.arange(100))) == len(index)
    index.remove(0)
    with pytest.raises(IndexStorageError, match="has changed since it was opened; open all parts again"):
        Shard(source, "hog")
