# SPDX-License-Identifier: MIT
"""Whitening, and ranking by an SVM: vectors in, vectors or distances out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from semcbir.baselines import SvmRanking, Whitened
from semcbir.baselines.svm import FittedSvm
from semcbir.baselines.vectors import checked_vectors

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 8)) @ RNG.normal(size=(8, 8)) + 5
WIDE = RNG.normal(size=(12, 40))


def clouds(per_class: int, *centres: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about ``centres``, and their labels: 10, 20, 30..."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(centres)), per_class)
    return np.array(centres)[labels] + 0.1 * rng.normal(size=(len(labels), len(centres[0]))), 10 * (
        labels + 1
    )


# --- whitening ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("training", "components"), [(VECTORS, 8), (VECTORS, 3), (WIDE, 11), (WIDE, 4)])
def test_whitening_by_its_definition(training: np.ndarray, components: int) -> None:
    fitted = Whitened(components).fit(training)
    assert fitted.dim == components
    others = training[:5] + 0.3
    centred = training - training.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(training))
    along = (others - training.mean(axis=0)) @ axes[:, ::-1][:, :components]
    expected = along / np.sqrt(variances[::-1][:components])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = fitted.vectors(others)
    assert found.dtype == np.float32
    # Axes have a direction but no sign, which cosines and distances do not see.
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


def test_training_vectors_come_out_white() -> None:
    fitted = Whitened(8).fit(VECTORS)
    axes = fitted.axes
    white = axes.projected(VECTORS) / np.sqrt(axes.variances)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(8), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(fitted.vectors(VECTORS), axis=1), 1, rtol=1e-6)


def test_the_mean_becomes_the_null_vector_and_none_stays_none() -> None:
    training = np.array([[1.0, 0], [3, 0], [2, 1], [2, -1]])
    fitted = Whitened(2).fit(training)
    assert fitted.vectors([[2, 0]]).tolist() == [[0, 0]]
    assert fitted.vectors(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("components", "training", "said"),
    [
        (9, VECTORS, "expected at most 8, of 60 training vectors of length 8, got 9"),
        (12, WIDE, "expected at most 11, of 12 training vectors of length 40, got 12"),
        (1, VECTORS[:1], "expected at most 0, of 1 training vectors of length 8, got 1"),
        (3, VECTORS @ np.diag([1, 1, 0, 0, 0, 0, 0, 0]), "expected at most 2, the axes .* vary, got 3"),
        (1, np.ones((9, 3)), "expected at most 0, the axes .* vary, got 1"),
    ],
)
def test_more_components_than_there_are(components: int, training: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=f"^components: {said}$"):
        Whitened(components).fit(training)


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (["a", "b"], TypeError, "expected an array of real numbers, got <U1"),
        (VECTORS[0], ValueError, r"expected shape \(n, (D|8)\), got \(8,\)"),
        (VECTORS + 1j, TypeError, "expected an array of real numbers, got complex128"),
        (np.full((4, 8), np.nan), ValueError, "expected finite numbers, got nan"),
        (np.full((4, 8), -np.inf), ValueError, "expected finite numbers, got -inf"),
    ],
)
def test_what_are_no_vectors(bad: Any, error: type[Exception], said: str) -> None:
    fitted = Whitened(2).fit(VECTORS)
    svm = SvmRanking().fit(VECTORS, np.arange(60) % 2)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("training", lambda: Whitened(2).fit(bad)),
        ("vectors", lambda: fitted.vectors(bad)),
        ("vectors", lambda: SvmRanking().fit(bad, [0, 1, 0, 1])),
        ("vectors", lambda: svm.decisions(bad)),
    ]
    for name, call in calls:
        with pytest.raises(error, match=f"^{name}: {said}$"):
            call()


def test_vectors_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"^vectors: expected shape \(n, 8\), got \(2, 7\)$"):
        Whitened(2).fit(VECTORS).vectors(np.ones((2, 7)))
    with pytest.raises(ValueError, match=r"^vectors: expected shape \(n, 8\), got \(2, 7\)$"):
        SvmRanking().fit(VECTORS, np.arange(60) % 2).distances(VECTORS, np.ones((2, 7)))
    with pytest.raises(ValueError, match=r"expected shape \(n, D\) with at least one number, got \(0, 8\)"):
        checked_vectors("vectors", VECTORS[:0])


# --- an SVM -------------------------------------------------------------------------------------------------


def test_distances_are_by_the_querys_class() -> None:
    fitted = FittedSvm(np.array([3, 7]), np.array([[1.0, 0], [0, 2]]), np.array([0.5, -1]))
    queries, images = np.array([[5.0, 0], [0, 9]]), np.array([[3.0, 4], [0, 1], [0, 0]])
    # Of length 1: queries (1, 0) and (0, 1); images (.6, .8), (0, 1), (0, 0).
    assert fitted.decisions(queries).tolist() == [[1.5, -1], [0.5, 1]]
    assert fitted.predicted(queries).tolist() == [3, 7]
    found = fitted.distances(queries, images)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[-1.1, -0.5, -0.5], [-0.6, -1, 1]])


@pytest.mark.parametrize("centres", [([1, 0, 0], [0, 1, 0]), ([1, 0, 0], [0, 1, 0], [0, 0, 1])])
def test_images_of_the_querys_class_are_nearest(centres: tuple[list[float], ...]) -> None:
    training, labels = clouds(12, *centres)
    fitted = SvmRanking().fit(training, labels)
    assert fitted.classes.tolist() == sorted(set(labels))
    queries, expected = clouds(4, *centres, seed=1)
    assert fitted.predicted(queries).tolist() == expected.tolist()
    order = fitted.distances(queries, training).argsort(axis=1)
    for label, row in zip(expected, labels[order], strict=True):
        assert set(row[:12]) == {label}


def test_decisions_are_those_of_a_linear_svm() -> None:
    from sklearn.svm import LinearSVC

    training, labels = clouds(12, [1, 0.2, 0], [0.2, 1, 0], [0, 0.2, 1])
    unit = training / np.linalg.norm(training, axis=1, keepdims=True)
    svm = LinearSVC(C=0.3, dual=True, max_iter=100_000, random_state=0).fit(unit, labels)
    fitted = SvmRanking(c=0.3).fit(3 * training, labels)
    np.testing.assert_allclose(fitted.decisions(5 * training), svm.decision_function(unit), atol=5e-3)
    two = labels < 25
    svm = LinearSVC(C=0.3, dual=True, max_iter=100_000, random_state=0).fit(unit[two], labels[two])
    one = svm.decision_function(unit)
    found = SvmRanking(c=0.3).fit(training[two], labels[two]).decisions(training)
    np.testing.assert_allclose(found, np.stack([-one, one], axis=1), atol=5e-3)


def test_a_seed_gives_the_same_bits() -> None:
    training, labels = clouds(12, [1, 0.2, 0], [0.2, 1, 0], [0, 0.2, 1])
    first, second = (SvmRanking(seed=4).fit(training, labels) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.bias, second.bias)


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        ([0.5] * 60, TypeError, "labels: expected an array of integers, got float64"),
        ([0, 1], ValueError, r"labels: expected shape \(60,\), one for each vector, got \(2,\)"),
        ([[0, 1]] * 30, ValueError, r"labels: expected shape \(60,\), one for each vector, got \(30, 2\)"),
        ([4] * 60, ValueError, "labels: expected at least two classes, got 1"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{said}$"):
        SvmRanking().fit(VECTORS, labels)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: SvmRanking(0), ValueError, "c: expected a finite number of at least 1e-09, got 0"),
        (lambda: SvmRanking(c="1"), TypeError, "c: expected a finite number .*, got '1'"),
        (lambda: SvmRanking(max_iter=0), ValueError, "max_iter: expected an integer from 1 to .*, got 0"),
        (lambda: SvmRanking(seed=2**32), ValueError, "seed: expected .* to 4294967295, got 4294967296"),
        (lambda: Whitened(0), ValueError, "components: expected an integer from 1 to .*, got 0"),
    ],
)
def test_parameters_out_of_range(make: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{said}$"):
        make()
