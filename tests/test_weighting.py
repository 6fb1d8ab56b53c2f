# SPDX-License-Identifier: MIT
"""Weighting by share: lengths of rows, and what a distance then is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import LANES
from made_signatures import assert_same, made_signatures, with_whole_rows
from semcbir import HOG, KAZE, SURF, Recipe, RecipeMismatchError, Searcher, Signatures, weighted
from semcbir.features import Deep, Feature
from tiny_models import tiny_encoder

Doubles = npt.NDArray[np.float64]


def norm(row: npt.NDArray[np.float32]) -> np.float64:
    """The root of the sum of squares, entry d in lane d mod 16, lanes added in halves."""
    lanes = np.zeros(LANES)
    for d, value in enumerate(row.astype(np.float64)):
        lanes[d % LANES] += value * value
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return np.sqrt(lanes[0])


def reference(signatures: Signatures, whole_share: float) -> npt.NDArray[np.float32]:
    """Weighted centroids as docs/definitions.md has them."""
    result = np.zeros_like(signatures.centroids)
    for i, row in enumerate(signatures.centroids):
        if signatures.classes[i] == signatures.n_classes:
            length = np.sqrt(np.float64(whole_share))
        else:
            share = np.sqrt(np.float64(signatures.proportions[i]))
            length = np.sqrt(1 - np.float64(whole_share)) * share
        if (size := norm(row)) > 0:
            result[i] = length / size * row.astype(np.float64)
    return result


def made(n: int, dim: int, seed: int, whole: bool) -> Signatures:
    plain = made_signatures(n, dim=dim, seed=seed)
    return with_whole_rows(plain, seed=seed) if whole else plain


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("dim", [1, 3, 15, 16, 17, 31, 32, 33, 64, 128])
def test_every_dimension_level_and_thread(dim: int, threads: int) -> None:
    signatures = made(40, dim, dim, whole=True)
    found = weighted(signatures, 0.7, threads=threads)
    np.testing.assert_array_equal(found.centroids, reference(signatures, 0.7))
    assert_same(Signatures(**{**vars(found), "centroids": signatures.centroids}), signatures)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(1, 40),
    share=st.floats(0, 1),
    exponent=st.integers(-140, 120),
    whole=st.booleans(),
)
def test_equals_the_definition(seed: int, dim: int, share: float, exponent: int, whole: bool) -> None:
    """Also for descriptors so small that float32 has no normal number for them."""
    signatures = made(6, dim, seed, whole)
    scaled = np.ldexp(signatures.centroids.astype(np.float64), exponent).astype(np.float32)
    signatures = Signatures(**{**vars(signatures), "centroids": scaled})
    found = weighted(signatures, share if whole else None)
    np.testing.assert_array_equal(found.centroids, reference(signatures, share if whole else 0.0))
    assert (found.whole, found.recipe) == (whole, None)
    Signatures(**vars(found))  # every check of the constructor


def test_more_rows_than_a_task_has() -> None:
    signatures = made(900, 2, 1, whole=True)
    assert len(signatures.classes) > 2048
    one = weighted(signatures, 0.5, threads=1)
    np.testing.assert_array_equal(one.centroids, reference(signatures, 0.5))
    assert_same(weighted(signatures, 0.5, threads=7), one)
    parts = [weighted(signatures[i : i + 1], 0.5) for i in range(0, 900, 100)]
    assert_same(Signatures.concatenate(parts), one[::100])


def test_lengths_are_the_shares_and_null_stays_null() -> None:
    signatures = Signatures(
        offsets=[0, 4],
        classes=[0, 2, 3, 5],
        proportions=[0.25, 0.5, 0.25, 0],
        counts=[1, 2, 0, 9],
        centroids=[[3, 4], [0, -1e-30], [0, 0], [-1e30, 1e30]],
        n_classes=5,
        whole=True,
    )
    found = weighted(signatures, 0.36)
    np.testing.assert_allclose(
        np.linalg.norm(found.centroids.astype(float), axis=1),
        [0.8 * 0.5, 0.8 * math.sqrt(0.5), 0, 0.6],
        rtol=1e-7,
    )
    np.testing.assert_allclose(found.centroids[0], [0.24, 0.32], rtol=1e-7)
    assert found.centroids[2].tolist() == [0, 0]
    assert weighted(signatures, 0.0).centroids[3].tolist() == [0, 0]
    assert not weighted(signatures, 1.0).centroids[:3].any()
    assert found.counts.tolist() == [1, 2, 0, 9]


def terms(one: Signatures, other: Signatures, whole_share: float) -> float:
    """a^2 2 (1 - cos of the wholes) + b^2 (sum P + sum P' - 2 sum over shared classes sqrt(P P') cos)."""

    def rows(image: Signatures) -> dict[int, tuple[float, Doubles]]:
        columns = zip(image.classes.tolist(), image.proportions, image.centroids, strict=True)
        return {c: (float(p), s.astype(np.float64)) for c, p, s in columns if s.any()}

    def cos(a: Doubles, b: Doubles) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    mine, theirs = rows(one), rows(other)
    c = one.n_classes
    total = whole_share * 2 * (1 - cos(mine[c][1], theirs[c][1]))
    classes = sum(p for p, _ in mine.values()) + sum(p for p, _ in theirs.values())
    for label in (mine.keys() & theirs.keys()) - {c}:
        (p, s), (q, t) = mine[label], theirs[label]
        classes -= 2 * math.sqrt(p * q) * cos(s, t)
    return total + (1 - whole_share) * classes


@pytest.mark.parametrize("whole_share", [0.0, 0.3, 0.7, 1.0])
def test_a_distance_is_the_sum_of_its_terms(whole_share: float) -> None:
    photos, queries = made(25, 32, 1, whole=True), made(6, 32, 2, whole=True)
    weighed, asked = weighted(photos, whole_share), weighted(queries, whole_share)
    dense = weighed.dense().astype(np.float64)
    found = Searcher(weighed).search(asked, k=25, epsilon=None)
    for q, query in enumerate(queries):
        expected = np.array([terms(query, photo, whole_share) for photo in photos])
        squared = ((asked.dense()[q].astype(np.float64) - dense) ** 2).sum(axis=(1, 2))
        np.testing.assert_allclose(squared, expected, atol=1e-6)
        assert (squared <= 4 + 1e-6).all()
        by_id = dict(zip(photos.ids.tolist(), expected, strict=True))
        got = [by_id[key] for key in found.ids[q].tolist()]
        np.testing.assert_allclose(found.distances[q].astype(float) ** 2, got, atol=1e-6)


def test_a_speck_counts_little() -> None:
    """A class of 0.2 % at any distance changes the squared distance by 0.8 % at most."""

    def photo(speck: list[float]) -> Signatures:
        return Signatures(
            offsets=[0, 2], classes=[0, 1], proportions=[0.998, 0.002], counts=[9, 9],
            centroids=[[1.0, 0.0], speck], n_classes=2,
        )  # fmt: skip

    one, other = weighted(photo([90.0, 0.0])), weighted(photo([-90.0, 1.0]))
    assert Searcher(one).search(other, epsilon=None).distances[0, 0] ** 2 <= 0.008 + 1e-7


CLASSES = [str(i) for i in range(20)]


def of_recipe(signatures: Signatures, *features: Feature) -> Signatures:
    recipe = Recipe({"name": "m", "sha256": "0", "classes": CLASSES}, features, 512)
    return Signatures(**{**vars(signatures), "recipe": recipe})


def test_the_recipe_says_that_they_are_weighted_or_is_the_given_one() -> None:
    signatures = of_recipe(made_signatures(3), HOG(n_bins=8))
    recipe = of_recipe(made_signatures(3), KAZE()).recipe
    assert weighted(signatures, recipe=recipe).recipe is recipe
    assert weighted(made_signatures(3)).recipe is None
    expected = of_recipe(made_signatures(3), HOG(n_bins=8, weighting="share")).recipe
    assert weighted(signatures).recipe == expected
    assert weighted(weighted(signatures)).recipe == expected
    assert signatures.recipe == of_recipe(made_signatures(3), HOG(n_bins=8)).recipe
    two = of_recipe(made_signatures(3), SURF(), HOG())
    assert weighted(two).recipe == of_recipe(two, SURF(weighting="share"), HOG()).recipe


def test_weighted_signatures_are_not_compared_with_others() -> None:
    signatures = of_recipe(made_signatures(3), KAZE())
    found = weighted(signatures)
    assert Searcher(found).search(found, k=1).ids[:, 0].tolist() == found.ids.tolist()
    for one, other in ((signatures, found), (found, signatures)):
        with pytest.raises(RecipeMismatchError, match="features.kaze.weighting"):
            Searcher(one).search(other)
    with pytest.raises(ValueError, match="the same recipe"):
        Signatures.concatenate([signatures, found], ids=range(6))


@pytest.fixture
def deep(tmp_path: Path) -> Deep:
    return Deep(tiny_encoder(tmp_path / "encoder.onnx"), weighting="none", whole_share=0.25)


def test_the_share_is_the_features_or_the_default(deep: Deep) -> None:
    plain = made(5, 4, 3, whole=True)
    assert_same(weighted(plain), weighted(plain, 0.7))
    assert_same(
        Signatures(**{**vars(weighted(of_recipe(plain, deep))), "recipe": None}), weighted(plain, 0.25)
    )


def test_the_recipe_of_deep_has_the_share(deep: Deep) -> None:
    plain = of_recipe(made(5, 4, 3, whole=True), deep)
    assert weighted(plain).recipe == of_recipe(plain, Deep(deep.path, whole_share=0.25)).recipe
    assert weighted(plain, 0.5).recipe == of_recipe(plain, Deep(deep.path, whole_share=0.5)).recipe
    assert (deep.weighting, deep.whole_share) == ("none", 0.25)
    with pytest.raises(RecipeMismatchError, match="whole_share"):
        Searcher(weighted(plain, 0.5)).search(weighted(plain, 0.25))


@pytest.mark.parametrize("whole", [True, False])
def test_weighting_twice_is_the_second_weighting(whole: bool) -> None:
    """Only directions count; what is null stays null."""
    plain = made(30, 16, 4, whole)
    first, second = (0.2, 0.7) if whole else (0, 0)
    np.testing.assert_allclose(
        weighted(weighted(plain, first), second).centroids, weighted(plain, second).centroids, atol=2e-7
    )


def test_empty_batches() -> None:
    for whole in (True, False):
        none = Signatures.empty(5, 3, whole=whole)
        assert_same(weighted(none, 0.5 if whole else 0), none)


@pytest.mark.parametrize(
    ("whole", "arguments", "error", "message"),
    [
        (False, {"whole_share": 0.5}, ValueError, "whole_share: expected None or 0 .* without .* got 0.5"),
        (True, {"whole_share": 1.5}, ValueError, "whole_share: expected a number from 0 to 1, got 1.5"),
        (True, {"whole_share": -0.5}, ValueError, "whole_share: expected a number from 0 to 1, got -0.5"),
        (True, {"whole_share": math.nan}, ValueError, "whole_share: expected .* got nan"),
        (True, {"whole_share": "1"}, TypeError, "whole_share: expected .* got '1'"),
        (True, {"whole_share": True}, TypeError, "whole_share: expected .* got True"),
        (True, {"whole_share": 0.5, "threads": 0}, ValueError, "threads: expected"),
        (True, {"whole_share": 0.5, "recipe": 3}, TypeError, "recipe: expected a Recipe or None, got 3"),
    ],
)
def test_other_arguments_are_refused(
    whole: bool, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        weighted(made(3, 4, 0, whole), **arguments)
    with pytest.raises(TypeError, match="signatures: expected a Signatures, got None"):
        weighted(None)  # type: ignore[arg-type]
