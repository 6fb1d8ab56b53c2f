# SPDX-License-Identifier: MIT
"""Vectors of locally aggregated descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from semcbir.baselines.aggregator import MOST, Aggregator, Fitted
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.normalising import Doubles, unit
from semcbir.baselines.vocabulary import Vocabulary
from semcbir.features.base import LocalFeatures
from semcbir.features.parameters import flags, integers


@dataclass(frozen=True)
class VLAD(Aggregator):
    """Vectors of locally aggregated descriptors (Jégou, Douze, Schmid, Pérez 2010).

    For each word the sum of (descriptor - word) over the descriptors it is nearest to; all of them one after
    the other, of length 1. The ranking distance is L2, as in the paper. ``intra``: each word's sum gets the
    length 1 first (Arandjelović and Zisserman 2013); ``power=0.5``: signed square roots, as later papers have
    them.
    """

    name: ClassVar[str] = "vlad"
    about: ClassVar[str] = "sums of differences between descriptors and their visual word"

    words: int = 64
    intra: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, words=(2, MOST))
        flags(self, "intra")
        self._check_samples(self.words, "words")

    def _fitted(self, training: Sequence[LocalFeatures]) -> FittedVLAD:
        vocabulary = Vocabulary.learnt(self._sample(training, self.words, "words"), self.words, self.seed)
        return FittedVLAD(self, training[0].descriptors.shape[1], vocabulary)


@dataclass(frozen=True, eq=False)
class FittedVLAD(Fitted):
    """``vocabulary``, the words."""

    parameters: VLAD
    vocabulary: Vocabulary

    @property
    def dim(self) -> int:
        """The number of words times the length of a descriptor."""
        return self.vocabulary.words.size

    def _raw(self, keypoints: Floats, descriptors: Doubles) -> Doubles:
        nearest = self.vocabulary.nearest(descriptors)[:, 0]
        order = np.argsort(nearest, kind="stable")
        words, starts = np.unique(nearest[order], return_index=True)
        sums = np.zeros_like(self.vocabulary.words)
        sums[words] = np.add.reduceat(descriptors[order] - self.vocabulary.words[nearest[order]], starts)
        return (unit(sums) if self.parameters.intra else sums).ravel()
