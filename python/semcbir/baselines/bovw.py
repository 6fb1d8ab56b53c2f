# SPDX-License-Identifier: MIT
"""Bags of visual words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from semcbir.baselines.aggregator import MOST, Aggregator, Fitted
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.normalising import Doubles, shares
from semcbir.baselines.vocabulary import Vocabulary
from semcbir.features.base import LocalFeatures
from semcbir.features.parameters import flags, integers


@dataclass(frozen=True)
class BoVW(Aggregator):
    """Bags of visual words (Csurka, Dance, Fan, Willamowski, Bray 2004): how often each word is nearest.

    A vector is the histogram of the image's words, its sum 1. ``tf_idf``: each share times log(N / n_w), n_w
    of the N training images having the word. The ranking distance is that of cosine, as Sivic and Zisserman
    have it for retrieval (2003; Csurka et al. classify and need none); with ``power=0.5`` it is the Hellinger
    distance, with ``l2=False`` L2 between the histograms themselves.
    """

    name: ClassVar[str] = "bovw"
    about: ClassVar[str] = "histogram of visual words"

    words: int = 1000
    tf_idf: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, words=(2, MOST))
        flags(self, "tf_idf")
        self._check_samples(self.words, "words")

    def _fitted(self, training: Sequence[LocalFeatures]) -> FittedBoVW:
        vocabulary = Vocabulary.learnt(self._sample(training, self.words, "words"), self.words, self.seed)
        weights = np.ones(self.words)
        if self.tf_idf:
            images = np.zeros(self.words)
            for features in training:
                images[np.unique(vocabulary.nearest(self.prepared(features.descriptors)))] += 1
            weights = np.log(len(training) / np.maximum(1, images))
        return FittedBoVW(self, training[0].descriptors.shape[1], vocabulary, weights)


@dataclass(frozen=True, eq=False)
class FittedBoVW(Fitted):
    """``vocabulary``; ``weights``, float64 (words,): 1, or with ``tf_idf`` log(N / n_w)."""

    vocabulary: Vocabulary
    weights: Doubles

    @property
    def dim(self) -> int:
        """The number of words."""
        return len(self.vocabulary)

    def _raw(self, keypoints: Floats, descriptors: Doubles) -> Doubles:
        counts = np.bincount(self.vocabulary.nearest(descriptors)[:, 0], minlength=self.dim)
        return shares(counts.astype(np.float64)) * self.weights
