# SPDX-License-Identifier: MIT
"""Bags of visual phrases: words of neighbouring keypoints (n-grams), or several words a keypoint (n-BoVW)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from semcbir._validate import shown
from semcbir.baselines.aggregator import MOST, Aggregator, Fitted
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.normalising import Doubles, shares
from semcbir.baselines.phrase_book import MOST_CODES, PhraseBook
from semcbir.baselines.vocabulary import Vocabulary, smallest
from semcbir.features.base import LocalFeatures
from semcbir.features.parameters import integers

_AT_ONCE = 2**22
"""The most distances between keypoints that are held at a time: 32 MiB."""


@dataclass(frozen=True)
class BagOfPhrases(Aggregator):
    """What both kinds of phrases share: a vector is the histogram of the phrases that count, its sum 1.

    The ranking distance is that of cosine, with ``power=0.5`` the Hellinger distance, and with ``l2=False``
    L2 between the histograms themselves. The vocabulary is smaller than for BoVW, as there are far more
    phrases than words.

    - ``words`` of the vocabulary; ``n``, how many are a phrase, in no order
    - ``phrases``: the most frequent ones of the training images that count, at most so many
    """

    words: int = 100
    n: int = 2
    phrases: int = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, words=(2, MOST), n=(2, 8), phrases=(1, MOST))
        if self.words**self.n > MOST_CODES:
            raise ValueError(f"words: expected words ** n below 2 ** 63, got {shown(self.words)} ** {self.n}")
        self._check_samples(self.words, "words")

    def _fitted(self, training: Sequence[LocalFeatures]) -> FittedPhrases:
        vocabulary = Vocabulary.learnt(self._sample(training, self.words, "words"), self.words, self.seed)
        spoken = (
            self.spoken(vocabulary, features.keypoints, self.prepared(features.descriptors))
            for features in training
        )
        book = PhraseBook.of(spoken, self.words, self.n, self.phrases)
        return FittedPhrases(self, training[0].descriptors.shape[1], vocabulary, book)

    @abstractmethod
    def spoken(self, vocabulary: Vocabulary, keypoints: Floats, descriptors: Doubles) -> NDArray[np.int64]:
        """Return the phrases of an image: words int64 (m, n)."""


@dataclass(frozen=True)
class NGrams(BagOfPhrases):
    """Visual phrases as n-grams (Pedrosa and Traina 2013): words of keypoints that are near each other.

    Read so: every keypoint and its ``n`` - 1 nearest in the image plane, by L2, are a phrase, and the words
    of a phrase have no order; of equally near keypoints the earlier one. An image of fewer than ``n``
    keypoints has no phrase and the null vector. Distances as for BagOfPhrases. The paper's details were not
    at hand: it may form phrases, order words, choose those that count or compare them otherwise.
    """

    name: ClassVar[str] = "ngrams"
    about: ClassVar[str] = "histogram of visual phrases: words of keypoints that are neighbours in the image"

    def spoken(self, vocabulary: Vocabulary, keypoints: Floats, descriptors: Doubles) -> NDArray[np.int64]:
        """See BagOfPhrases."""
        if len(keypoints) < self.n:
            return np.empty((0, self.n), np.int64)
        words = vocabulary.nearest(descriptors)[:, 0]
        return words[neighbours(keypoints, self.n - 1)]


@dataclass(frozen=True)
class Phrases(BagOfPhrases):
    """n-BoVW (Ouni, Urruty, Visani 2018), between words and phrases: the ``n`` nearest words of a keypoint.

    Read so: the set of a keypoint's ``n`` nearest words is a phrase, whatever their order. Distances as for
    BagOfPhrases. The paper's details were not at hand: by its abstract it has three such methods, combined
    with BoVW, and compresses phrases; here is one method, alone and not compressed.
    """

    name: ClassVar[str] = "phrases"
    about: ClassVar[str] = "histogram of visual phrases (n-BoVW): the nearest words of each keypoint"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n > self.words:
            raise ValueError(f"n: expected at most {self.words}, the words there are, got {self.n}")

    def spoken(self, vocabulary: Vocabulary, keypoints: Floats, descriptors: Doubles) -> NDArray[np.int64]:
        """See BagOfPhrases."""
        return vocabulary.nearest(descriptors, self.n)


@dataclass(frozen=True, eq=False)
class FittedPhrases(Fitted):
    """``vocabulary``; ``book``, the phrases that count."""

    parameters: BagOfPhrases
    vocabulary: Vocabulary
    book: PhraseBook

    @property
    def dim(self) -> int:
        """How many phrases count: fewer than were asked for if the training images have no more."""
        return len(self.book)

    def _raw(self, keypoints: Floats, descriptors: Doubles) -> Doubles:
        return shares(self.book.histogram(self.parameters.spoken(self.vocabulary, keypoints, descriptors)))


def neighbours(keypoints: Floats, count: int) -> NDArray[np.int64]:
    """Return each keypoint (n, 2) and its ``count`` < n nearest others: int64 (n, 1 + count), nearest first.

    By L2 in double; of equally near keypoints the earlier one.
    """
    points = keypoints.astype(np.float64)
    own = np.arange(len(points))
    found = np.empty((len(points), 1 + count), np.int64)
    found[:, 0] = own
    rows = max(1, _AT_ONCE // len(points))
    for start in range(0, len(points), rows):
        part = own[start : start + rows]
        apart = (points[part, None, 0] - points[:, 0]) ** 2 + (points[part, None, 1] - points[:, 1]) ** 2
        apart[np.arange(len(part)), part] = np.inf
        found[part, 1:] = smallest(apart, count)
    return found
