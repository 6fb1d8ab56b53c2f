# SPDX-License-Identifier: MIT
"""Bags of visual words and of phrases, by their definitions in plain loops, and what they learn."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from made_features import features_of, made_features
from semcbir.baselines import BoVW, NGrams, Phrases
from semcbir.baselines.bovw import FittedBoVW
from semcbir.baselines.descriptors import sampled
from semcbir.baselines.phrase_book import PhraseBook
from semcbir.baselines.phrases import BagOfPhrases, FittedPhrases, neighbours
from semcbir.baselines.vocabulary import Vocabulary, smallest
from semcbir.features.base import LocalFeatures

TRAINING = made_features((30, 0, 45, 1, 60, 25))
OTHERS = made_features((20, 1, 0, 33), seed=1)
LINE = Vocabulary(np.array([[0.0], [10.0], [20.0]]))
"""Words at 0, 10 and 20."""


def nearest_words(features: LocalFeatures, words: np.ndarray, count: int = 1) -> list[list[int]]:
    """The nearest words of each descriptor, by direct sums."""
    found = []
    for descriptor in features.descriptors.astype(np.float64):
        apart = [math.dist(descriptor, word) for word in words]
        found.append(sorted(range(len(words)), key=lambda word, apart=apart: (apart[word], word))[:count])
    return found


# --- words --------------------------------------------------------------------------------------------------


def bovw_on_the_line(**options: object) -> FittedBoVW:
    weights = np.array([1.0, 2.0, 0.5]) if options.get("tf_idf") else np.ones(3)
    return FittedBoVW(BoVW(3, **options), 1, LINE, weights)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"l2": False}, [0.5, 0.25, 0.25]),
        ({}, np.array([2, 1, 1]) / math.sqrt(6)),
        ({"power": 0.5, "l2": False}, [math.sqrt(0.5), 0.5, 0.5]),
        ({"tf_idf": True, "l2": False}, [0.5, 0.5, 0.125]),
    ],
)
def test_a_histogram_by_hand(options: dict[str, object], expected: list[float]) -> None:
    image = features_of([[1], [-3], [11], [99]])
    found = bovw_on_the_line(**options).vectors([image])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_equally_near_words_count_for_the_first() -> None:
    assert bovw_on_the_line(l2=False).vectors([features_of([[5], [15]])]).tolist() == [[0.5, 0.5, 0]]


@pytest.mark.parametrize("tf_idf", [False, True])
def test_bovw_is_what_plain_loops_give(tf_idf: bool) -> None:
    fitted = BoVW(8, tf_idf=tf_idf, power=0.7).fit(TRAINING)
    words = fitted.vocabulary.words
    holding = Counter(
        word for image in TRAINING for word in {word for (word,) in nearest_words(image, words)}
    )
    for image, found in zip(OTHERS, fitted.vectors(OTHERS), strict=True):
        histogram = np.zeros(8)
        for (word,) in nearest_words(image, words):
            histogram[word] += 1 / len(image)
        if tf_idf:
            histogram *= [math.log(len(TRAINING) / holding[word]) for word in range(8)]
        expected = histogram**0.7
        expected /= np.linalg.norm(expected) or 1
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_words_are_the_means_of_groups_that_are_clear() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([[0, 0], [100, 0], [0, 100]])[np.arange(90) % 3] + rng.normal(size=(90, 2))
    fitted = BoVW(3).fit([features_of(groups[:50]), features_of(groups[50:])])
    expected = sorted(groups[group::3].mean(axis=0).tolist() for group in range(3))
    np.testing.assert_allclose(sorted(fitted.vocabulary.words.tolist()), expected, atol=0.5)


# --- phrases ------------------------------------------------------------------------------------------------


def phrases_on_the_line(kind: type[BagOfPhrases], *phrases: tuple[int, int], n: int = 2) -> FittedPhrases:
    book = PhraseBook.of([np.array(phrases)], 3, n, 100)
    return FittedPhrases(kind(3, n, l2=False), 1, LINE, book)


def test_a_phrase_book_by_hand() -> None:
    images = [np.array([[1, 0], [0, 1], [2, 2]]), np.array([[0, 0], [1, 2]]), np.empty((0, 2), np.int64)]
    assert PhraseBook.of(images, 3, 2, 10).codes.tolist() == [0, 1, 5, 8]
    assert PhraseBook.of(images, 3, 2, 2).codes.tolist() == [0, 1]  # 0 before 5 and 8, as frequent
    book = PhraseBook.of(images, 3, 2, 1)
    assert book.codes.tolist() == [1]
    assert book.histogram(np.array([[1, 0], [2, 2], [0, 1], [0, 0]])).tolist() == [2]


def test_n_grams_by_hand() -> None:
    # On a line at 0, 1, 3, 6: each one's nearest other is the one before it, of the first the second.
    image = features_of([[0], [10], [20], [20]])  # words 0, 1, 2, 2: phrases 01, 01, 12, 22
    fitted = phrases_on_the_line(NGrams, (0, 0), (0, 1), (1, 2), (2, 2))
    assert fitted.vectors([image]).tolist() == [[0, 0.5, 0.25, 0.25]]
    assert phrases_on_the_line(NGrams, (0, 1), (2, 2)).vectors([image]).tolist() == [
        pytest.approx([2 / 3, 1 / 3])
    ]
    assert phrases_on_the_line(NGrams, (0, 2)).vectors([image]).tolist() == [[0]]


def test_phrases_by_hand() -> None:
    fitted = phrases_on_the_line(Phrases, (0, 1), (1, 2), (0, 2))
    assert fitted.vectors([features_of([[2], [7], [13], [18], [99]])]).tolist() == [
        pytest.approx([0.4, 0, 0.6])
    ]
    assert fitted.vectors([features_of([[8]])]).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("method", [NGrams(6, 2, 9), NGrams(4, 3), Phrases(6, 2, 9), Phrases(5, 3)])
def test_phrases_are_what_plain_loops_give(method: BagOfPhrases) -> None:
    fitted = method.fit(TRAINING)
    words = fitted.vocabulary.words  # type: ignore[attr-defined]

    def phrases(image: LocalFeatures) -> list[tuple[int, ...]]:
        if isinstance(method, Phrases):
            return [tuple(sorted(found)) for found in nearest_words(image, words, method.n)]
        own = [word for (word,) in nearest_words(image, words)]
        points = image.keypoints.astype(np.float64)
        found = []
        for number, point in enumerate(points):
            others = [other for other in range(len(points)) if other != number]
            others.sort(key=lambda other, point=point: (math.dist(point, points[other]), other))
            if len(others) >= method.n - 1:
                found.append(tuple(sorted([own[number], *(own[one] for one in others[: method.n - 1])])))
        return found

    counts = Counter(phrase for image in TRAINING for phrase in phrases(image))
    book = sorted(sorted(counts, key=lambda phrase: (-counts[phrase], phrase))[: method.phrases])
    assert fitted.dim == len(book)
    for image, found in zip(OTHERS, fitted.vectors(OTHERS), strict=True):
        expected = np.array([phrases(image).count(phrase) for phrase in book], np.float64)
        np.testing.assert_allclose(found, expected / (np.linalg.norm(expected) or 1), rtol=1e-6)


def test_neighbours_with_ties_and_keypoints_in_one_place() -> None:
    points = np.array([[0, 0], [1, 0], [2, 0], [2, 0], [2, 1]], np.float32)
    assert neighbours(points, 2).tolist() == [[0, 1, 2], [1, 0, 2], [2, 3, 1], [3, 2, 1], [4, 2, 3]]


def test_neighbours_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(0, 9, (23, 2)).astype(np.float32)
    whole = neighbours(points, 3)
    monkeypatch.setattr("semcbir.baselines.phrases._AT_ONCE", 50)
    assert (neighbours(points, 3) == whole).all()


def test_words_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = np.random.default_rng(0).normal(size=(23, 4))
    vocabulary = Vocabulary(descriptors[:7])
    whole = vocabulary.nearest(descriptors, 3)
    assert whole[:7, 0].tolist() == list(range(7))
    monkeypatch.setattr("semcbir.baselines.vocabulary._AT_ONCE", 15)
    assert (vocabulary.nearest(descriptors, 3) == whole).all()
    assert vocabulary.nearest(descriptors[:0]).shape == (0, 1)


def test_smallest_takes_ties_in_order() -> None:
    assert smallest(np.array([[3.0, 1, 1, 2]]), 4).tolist() == [[1, 2, 3, 0]]


# --- what is learnt from ------------------------------------------------------------------------------------


def test_a_sample_is_drawn_without_replacement_in_the_images_order() -> None:
    images = [features_of(np.arange(low, high)[:, None]) for low, high in pairwise([0, 7, 7, 8, 40])]
    assert sampled(images, 40, 0).ravel().tolist() == list(range(40))
    drawn = sampled(images, 15, 0).ravel().tolist()
    assert len(set(drawn)) == 15
    assert drawn == sorted(drawn)
    assert sampled(images, 15, 0).ravel().tolist() == drawn
    assert sampled(images, 15, 1).ravel().tolist() != drawn
    often = Counter(int(x) for seed in range(400) for x in sampled(images, 10, seed).ravel())
    assert set(often) == set(range(40))
    assert max(often.values()) < 160  # 100 each, with a deviation of 9


def test_no_more_than_the_sample_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def learnt(descriptors: np.ndarray, count: int, seed: int) -> Vocabulary:
        given.append(descriptors)
        return Vocabulary(descriptors[:count])

    monkeypatch.setattr(Vocabulary, "learnt", learnt)
    BoVW(5, samples=12, seed=3).fit(TRAINING)
    assert np.array_equal(given[0], sampled(TRAINING, 12, 3))
