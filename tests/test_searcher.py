# SPDX-License-Identifier: MIT
"""Searcher, the public face of the core: the reference's ids, order and bits, on made and real signatures."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import Columns, Reference
from made_signatures import made_signatures
from semcbir import KAZE, Extractor, Recipe, RecipeMismatchError, Searcher, Signatures, histogram_distances


def columns(signatures: Signatures) -> Columns:
    s = signatures
    return Columns(s.offsets, s.classes, s.proportions, s.centroids, s.ids)


def cut(signatures: Signatures, segments: int) -> list[Signatures]:
    bounds = np.linspace(0, len(signatures), segments + 1).astype(int)
    return [signatures[a:b] for a, b in itertools.pairwise(bounds)]


def assert_equal(found, expected):
    mine = (found.ids, found.distances, found.histogram_distances, found.kept)
    for name, ours, theirs in zip(
        ("ids", "distances", "histogram distances", "kept"), mine, expected, strict=True
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 30),
    dim=st.sampled_from([1, 8, 36, 64]),
    k=st.integers(1, 40),
    epsilon=st.one_of(st.none(), st.floats(0, 2.5)),
    penalized=st.sampled_from(["last", "drop"]),
    threads=st.sampled_from([1, 2, 7]),
    segments=st.integers(1, 5),
)
def test_made_signatures(seed, n, dim, k, epsilon, penalized, threads, segments):
    images = made_signatures(n, dim=dim, seed=seed, duplicates=True)
    queries = Signatures.concatenate(
        [images[: n // 2], made_signatures(3, dim=dim, seed=seed + 1)], ids=np.arange(n // 2 + 3)
    )
    expected = Reference(columns(images), columns(queries), 20).search(k, epsilon, penalized == "drop")
    searcher = Searcher(cut(images, segments))
    assert len(searcher) == n
    assert_equal(searcher.search(queries, k, epsilon, penalized, threads), expected)


@pytest.fixture(scope="module", params=["kaze", "hog", "sift", "surf"])
def real(request: pytest.FixtureRequest, wang_dir: Path, ade_model: Path) -> tuple[Signatures, Reference]:
    """200 real photos, 20 of each class, with copies among them so that distances tie."""
    paths = [wang_dir / f"{number}.jpg" for number in range(0, 1000, 5)]
    images = Extractor(ade_model, request.param).extract(paths)
    images = Signatures.concatenate([images, images[::9]], ids=np.random.default_rng(1).permutation(223))
    return images, Reference(columns(images), columns(images[:200]), images.n_classes)


@pytest.mark.slow
def test_real_signatures(real: tuple[Signatures, Reference], level: str):
    images, reference = real
    for segments in (1, 6):
        searcher = Searcher(cut(images, segments))
        for threads in (1, 2, 7):
            for batch in (1, 3, 200):
                for epsilon in (0.0, 0.9, 2.0, None):
                    for penalized in ("last", "drop"):
                        k = 20 if batch == 200 else 223
                        found = searcher.search(images[:batch], k, epsilon, penalized, threads)
                        expected = reference.search(k, epsilon, penalized == "drop")
                        assert_equal(found, [column[:batch] for column in expected])


@pytest.mark.slow
def test_every_k_on_real_signatures(real: tuple[Signatures, Reference]):
    images, reference = real
    searcher = Searcher(images)
    for k in range(1, 226):
        assert_equal(searcher.search(images[:200], k), reference.search(k, 0.9, False))


def test_histogram_distances_are_eq_1():
    a, b = made_signatures(7), made_signatures(11, seed=3)
    p, q = a.histograms().astype(np.float64), b.histograms().astype(np.float64)
    found = histogram_distances(a, b, threads=2)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.abs(p[:, None] - q).sum(axis=2), rtol=1e-14)
    with pytest.raises(ValueError, match="signatures: expected n_classes=20 like queries, got 21"):
        histogram_distances(a, made_signatures(2, n_classes=21))


def test_batches_and_queries_that_do_not_belong():
    images = made_signatures(4)
    with pytest.raises(ValueError, match="signatures: expected at least one Signatures, got none"):
        Searcher([])
    with pytest.raises(TypeError, match="signatures: expected a Signatures or several, got 'x'"):
        Searcher([images, "x"])
    with pytest.raises(ValueError, match="signatures: expected each id once over all batches"):
        Searcher([images, images])
    with pytest.raises(ValueError, match="signatures: expected n_classes=20 and dim=8, got 20 and 9"):
        Searcher([images, made_signatures(2, dim=9)])
    with pytest.raises(ValueError, match="queries: expected n_classes=20 and dim=8, got 21 and 8"):
        Searcher(images).search(made_signatures(1, n_classes=21))
    with pytest.raises(TypeError, match="queries: expected a Signatures, got array"):
        Searcher(images).search(images.dense())


def test_recipes_must_agree_where_both_are_known():
    recipe = Recipe({"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}, (KAZE(),), 512)
    images = Signatures(**{**vars(made_signatures(4)), "recipe": recipe})
    other = Signatures(**{**vars(images), "recipe": replace(recipe, long_side=99)})
    renamed = Signatures(**{**vars(images), "recipe": replace(recipe, model={**recipe.model, "name": "n"})})
    searcher = Searcher(images)
    assert searcher.search(images).ids[0, 0] == images.ids[0]
    assert searcher.search(renamed).ids[0, 0] == images.ids[0]
    assert searcher.search(made_signatures(1)).ids.shape == (1, 20)
    with pytest.raises(RecipeMismatchError, match="long_side: 512 / 99"):
        searcher.search(other)
    with pytest.raises(RecipeMismatchError):
        Searcher([images, Signatures(**{**vars(other), "ids": images.ids + 100})])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected an integer from 1"),
        ({"k": 2**31}, ValueError, "k: expected an integer from 1"),
        ({"k": "5"}, TypeError, "k: expected an integer .*, got '5'"),
        ({"epsilon": -1}, ValueError, "epsilon: expected a number of 0 or more"),
        ({"epsilon": float("nan")}, ValueError, "epsilon: expected a number of 0 or more"),
        ({"epsilon": [1]}, TypeError, "epsilon: expected a number"),
        ({"penalized": None}, ValueError, "penalized: expected 'last' or 'drop', got None"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
        ({"threads": 2000}, ValueError, "threads: expected an integer from 1 to 1024, got 2000"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    images = made_signatures(4)
    with pytest.raises(error, match=message):
        Searcher(images).search(images, **arguments)


def test_memory_maps_are_searched_where_they_are(tmp_path: Path):
    images = made_signatures(50, dim=64)
    np.save(tmp_path / "centroids.npy", images.centroids)
    file = np.load(tmp_path / "centroids.npy", mmap_mode="r")
    mapped = Signatures(**{**vars(images), "centroids": file})
    assert np.shares_memory(mapped.centroids, file)
    assert np.shares_memory(mapped[10:20].centroids, mapped.centroids)
    found, expected = Searcher(mapped).search(mapped), Searcher(images).search(images)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_epsilon_is_by_default_that_of_the_feature():
    images = made_signatures(40)
    searcher = Searcher(images)
    expected = Reference(columns(images), columns(images), 20).search(5, 0.9, False)
    assert_equal(searcher.search(images, 5), expected)
    assert_equal(searcher.search(images, 5, "auto"), expected)
    assert (expected[3] < 40).any()
