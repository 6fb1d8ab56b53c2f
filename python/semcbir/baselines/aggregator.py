# SPDX-License-Identifier: MIT
"""What methods offer that make one vector of an image's local features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from semcbir.baselines.descriptors import Floats, checked_features, sampled
from semcbir.baselines.normalising import Doubles, powered, rooted, unit
from semcbir.features.base import LocalFeatures
from semcbir.features.parameters import flags, integers, reals

MOST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Aggregator(ABC):
    """A method that makes one vector of an image's local features; frozen dataclasses of its parameters.

    - ``root``: descriptors are square-rooted first, as RootSIFT's are; see ``normalising.rooted``
    - ``power``: exponent above 0 of the vectors' numbers, signed; 0.5 is the square root, 1 leaves them
    - ``l2``: vectors get the length 1 at the end, so that L2 ranks like cosine
    - ``samples``: how many of the training images' descriptors are learnt from at most, drawn at random
    - ``seed`` of all randomness

    The same training images and seed give the same bits on one computer and one version of the libraries, for
    any number of threads: what is learnt is learnt in one. Other BLAS kernels may round otherwise.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    takes: ClassVar[Literal["local features"]] = "local features"
    size: ClassVar[str] = "words"
    """The parameter that says how large the vocabulary, or what stands for it, is."""

    root: bool = False
    power: float = 1.0
    l2: bool = True
    samples: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        flags(self, "root", "l2")
        reals(self, power=(0.01, 1.0))
        integers(self, samples=(1, MOST), seed=(0, 2**32 - 1))

    def fit(self, training: Sequence[LocalFeatures]) -> Fitted:
        """Learn from the local features of training images.

        Raises:
            TypeError, ValueError: they are not such features, or too few.
            SemcbirError: scikit-learn is not installed.
        """
        images = list(checked_features("training", training))
        if not images:
            raise ValueError("training: expected the LocalFeatures of at least one image, got none")
        return self._fitted(images)

    @abstractmethod
    def _fitted(self, training: Sequence[LocalFeatures]) -> Fitted:
        """Learn from checked training images, at least one."""

    def prepared(self, descriptors: Floats) -> Doubles:
        """Return descriptors (n, D) in double, square-rooted if ``root`` says so."""
        return rooted(descriptors) if self.root else descriptors.astype(np.float64)

    def _sample(self, training: Sequence[LocalFeatures], least: int, of: str) -> Doubles:
        """Return prepared descriptors (m, D) to learn ``least`` words, or what is called ``of``, from."""
        total = sum(map(len, training))
        if total < least:
            raise ValueError(f"training: expected at least {least} descriptors for {least} {of}, got {total}")
        return self.prepared(sampled(training, self.samples, self.seed))

    def _check_samples(self, least: int, of: str) -> None:
        if self.samples < least:
            raise ValueError(f"samples: expected at least {least} for {least} {of}, got {self.samples}")


@dataclass(frozen=True, eq=False)
class Fitted(ABC):
    """What an aggregator has learnt.

    ``parameters``: the aggregator; ``descriptor_dim``: the length D of the descriptors it takes.
    """

    parameters: Aggregator
    descriptor_dim: int

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of a vector."""

    def vectors(self, images: Iterable[LocalFeatures]) -> Floats:
        """Return the vectors of images from their local features: float32 (n, dim).

        L2 between them is the ranking distance. An image without keypoints has the null vector. Raises
        TypeError or ValueError for anything but float32 features with descriptors of ``descriptor_dim``.
        """
        rows = [self._row(features) for features in checked_features("images", images, self.descriptor_dim)]
        return np.array(rows, np.float32).reshape(len(rows), self.dim)

    def _row(self, features: LocalFeatures) -> Doubles:
        if not len(features):
            return np.zeros(self.dim)
        parameters = self.parameters
        row = powered(
            self._raw(features.keypoints, parameters.prepared(features.descriptors)), parameters.power
        )
        return unit(row) if parameters.l2 else row

    @abstractmethod
    def _raw(self, keypoints: Floats, descriptors: Doubles) -> Doubles:
        """Return an image's vector (dim,) before power and length, of at least one prepared descriptor."""
