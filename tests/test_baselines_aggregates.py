# SPDX-License-Identifier: MIT
"""VLAD and Fisher vectors by their formulas in float64, and principal axes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from made_features import features_of, made_features
from semcbir.baselines import VLAD, Fisher
from semcbir.baselines.axes import Axes
from semcbir.baselines.fisher import FittedFisher
from semcbir.baselines.vlad import FittedVLAD
from semcbir.baselines.vocabulary import Vocabulary
from semcbir.features.base import LocalFeatures

TRAINING = made_features((50, 0, 45, 1, 60, 80))
OTHERS = made_features((20, 1, 0, 33), seed=1)


def finished(vector: np.ndarray, power: float = 1, l2: bool = True) -> np.ndarray:
    vector = np.sign(vector) * np.abs(vector) ** power
    return vector / (np.linalg.norm(vector) or 1) if l2 else vector


# --- VLAD ---------------------------------------------------------------------------------------------------

PLANE = Vocabulary(np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]))
IMAGE = features_of([[1, 2], [2, -1], [0, 13], [0, 11]])
"""Two descriptors near the first word, none near the second, two near the third: sums (3, 1), 0, (0, 4)."""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"l2": False}, [3, 1, 0, 0, 0, 4]),
        ({}, np.array([3, 1, 0, 0, 0, 4]) / math.sqrt(26)),
        ({"power": 0.5, "l2": False}, [math.sqrt(3), 1, 0, 0, 0, 2]),
        ({"intra": True, "l2": False}, [3 / math.sqrt(10), 1 / math.sqrt(10), 0, 0, 0, 1]),
    ],
)
def test_vlad_by_hand(options: dict[str, object], expected: list[float]) -> None:
    found = FittedVLAD(VLAD(3, **options), 2, PLANE).vectors([IMAGE])  # type: ignore[arg-type]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("intra", [False, True])
def test_vlad_is_what_plain_loops_give(intra: bool) -> None:
    fitted = VLAD(5, intra=intra, power=0.6).fit(TRAINING)
    words = fitted.vocabulary.words  # type: ignore[attr-defined]
    assert fitted.dim == 5 * 6
    for image, found in zip(OTHERS, fitted.vectors(OTHERS), strict=True):
        sums = np.zeros((5, 6))
        for descriptor in image.descriptors.astype(np.float64):
            word = min(range(5), key=lambda word, d=descriptor: math.dist(d, words[word]))
            sums[word] += descriptor - words[word]
        if intra:
            sums = np.stack([finished(row) for row in sums])
        np.testing.assert_allclose(found, finished(sums.ravel(), 0.6), rtol=1e-5, atol=1e-6)


# --- Fisher vectors -----------------------------------------------------------------------------------------


def log_likelihood(x: np.ndarray, weights: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> float:
    """The mean log-likelihood of descriptors (n, d) under the mixture."""
    total = 0.0
    for row in x:
        parts = [
            math.log(weight)
            - 0.5 * sum(((row - mean) / deviation) ** 2)
            - sum(np.log(deviation))
            - 0.5 * len(row) * math.log(2 * math.pi)
            for weight, mean, deviation in zip(weights, means, deviations, strict=True)
        ]
        top = max(parts)
        total += top + math.log(sum(math.exp(part - top) for part in parts))
    return total / len(x)


def fisher_by_differences(image: LocalFeatures, fitted: FittedFisher) -> np.ndarray:
    """The definition: derivatives of the log-likelihood, measured, times 1 / sqrt(Fisher information)."""
    x = image.descriptors.astype(np.float64)
    mixture = fitted.weights, fitted.means, np.sqrt(fitted.variances)
    halves = []
    for moved, information in ((1, 1.0), (2, 2.0)):
        slopes = np.empty_like(fitted.means)
        for place in np.ndindex(*slopes.shape):
            step = 1e-5 * mixture[2][place]
            ends = []
            for sign in (1, -1):
                changed = [array.copy() for array in mixture]
                changed[moved][place] += sign * step
                ends.append(log_likelihood(x, *changed))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        # The information is w / deviation^2 for a mean, 2 w / deviation^2 for a deviation.
        halves.append(slopes * mixture[2] / np.sqrt(information * fitted.weights)[:, None])
    return np.concatenate([half.ravel() for half in halves])


def test_fisher_vectors_are_the_scaled_gradients_of_the_likelihood() -> None:
    training = made_features((50, 60), dim=3)
    fitted = Fisher(4, power=1, l2=False).fit(training)
    assert isinstance(fitted, FittedFisher)
    assert fitted.dim == 2 * 4 * 3
    assert (fitted.vectors(made_features((9, 1), dim=3, seed=2))[0] != 0).all()
    for image in made_features((9, 1), dim=3, seed=2):
        (found,) = fitted.vectors([image])
        expected = fisher_by_differences(image, fitted)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_fisher_vector_by_hand() -> None:
    # One Gaussian of mean 1 and deviation 2: 3 and 7 are 1 and 3 deviations above it.
    one = np.array([[1.0]]), np.array([[4.0]])
    fitted = FittedFisher(Fisher(1, power=1, l2=False), 1, None, np.ones(1), *one)
    expected = [2, (0 + 8) / 2 / math.sqrt(2)]
    np.testing.assert_allclose(fitted.vectors([features_of([[3], [7]])]), [expected], rtol=1e-6)
    improved = FittedFisher(Fisher(1), 1, None, np.ones(1), *one)
    roots = np.sqrt(expected)
    np.testing.assert_allclose(
        improved.vectors([features_of([[3], [7]])]), [roots / np.linalg.norm(roots)], rtol=1e-6
    )


def test_descriptors_far_from_every_component_give_finite_vectors() -> None:
    fitted = Fisher(4).fit(TRAINING)
    assert np.isfinite(fitted.vectors([features_of(np.full((2, 6), 1e6))])).all()


def test_a_mixture_finds_groups_that_are_clear() -> None:
    rng = np.random.default_rng(0)
    groups = np.where(np.arange(400)[:, None] < 100, [50, 0], [0, 0]) + rng.normal(size=(400, 2)) * [1, 3]
    fitted = Fisher(2).fit([features_of(groups)])
    assert isinstance(fitted, FittedFisher)
    order = np.argsort(fitted.weights)
    np.testing.assert_allclose(fitted.weights[order], [0.25, 0.75], atol=0.01)
    np.testing.assert_allclose(fitted.means[order], [[50, 0], [0, 0]], atol=0.7)
    np.testing.assert_allclose(fitted.variances[order], [[1, 9], [1, 9]], rtol=0.3)


def test_the_scale_of_descriptors_does_not_matter() -> None:
    vectors = Fisher(3).fit(TRAINING).vectors(OTHERS)
    scaled = [[LocalFeatures(f.keypoints, f.descriptors / 1024) for f in fs] for fs in (TRAINING, OTHERS)]
    np.testing.assert_allclose(Fisher(3).fit(scaled[0]).vectors(scaled[1]), vectors, atol=1e-3)


def test_longer_descriptors_go_through_their_principal_axes() -> None:
    fitted = Fisher(3, axes=4).fit(TRAINING)
    assert isinstance(fitted, FittedFisher)
    assert fitted.principal is not None
    assert fitted.dim == 2 * 3 * 4
    short = [
        [features_of(fitted.principal.projected(f.descriptors.astype(np.float64)), f.keypoints) for f in fs]
        for fs in (TRAINING, OTHERS)
    ]
    by_hand = Fisher(3, axes=4).fit(short[0])
    assert by_hand.principal is None  # type: ignore[attr-defined]
    np.testing.assert_allclose(by_hand.vectors(short[1]), fitted.vectors(OTHERS), atol=1e-3)


def test_descriptors_that_are_all_alike_give_no_nan() -> None:
    training = [features_of(np.zeros((30, 3)))]
    for method in (Fisher(1), VLAD(2)):
        vectors = method.fit(training).vectors([*training, features_of(np.ones((2, 3)))])
        assert np.isfinite(vectors).all()


# --- principal axes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 5), (5, 200), (7, 7)])
def test_principal_axes(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=shape) * np.geomspace(1, 100, shape[1]) + 3
    axes = Axes.of(vectors, 3)
    assert axes.directions.shape == (3, shape[1])
    np.testing.assert_allclose(axes.directions @ axes.directions.T, np.eye(3), atol=1e-9)
    largest = axes.directions[np.arange(3), np.abs(axes.directions).argmax(axis=1)]
    assert (largest > 0).all()
    along = axes.projected(vectors)
    np.testing.assert_allclose(along.mean(axis=0), 0, atol=1e-9 * np.abs(vectors).max())
    np.testing.assert_allclose(along.var(axis=0), axes.variances)
    covariance = np.cov(vectors.T, bias=True)
    np.testing.assert_allclose(axes.variances, np.linalg.eigvalsh(covariance)[::-1][:3])
    np.testing.assert_allclose(
        covariance @ axes.directions.T, axes.directions.T * axes.variances, atol=1e-9 * axes.variances[0]
    )
