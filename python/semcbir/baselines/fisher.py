# SPDX-License-Identifier: MIT
"""Fisher vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from semcbir.baselines.aggregator import MOST, Aggregator, Fitted
from semcbir.baselines.axes import Axes
from semcbir.baselines.descriptors import Floats
from semcbir.baselines.libraries import library, one_thread
from semcbir.baselines.normalising import Doubles
from semcbir.features.base import LocalFeatures
from semcbir.features.parameters import integers

_LEAST_VARIANCE = 1e-6
"""Of a component along an axis, relative to the descriptors' mean variance; it is added to each."""

_LEAST_GAIN = 0.01
"""Of a step of EM in a descriptor's mean log-likelihood; scikit-learn's 0.001 takes three times as long."""


@dataclass(frozen=True)
class Fisher(Aggregator):
    """Fisher vectors (Perronnin and Dance 2007), improved as by Perronnin, Sánchez and Mensink 2010.

    How a mixture of Gaussians with diagonal covariances would have to change to fit the image's descriptors
    better: the gradients of their mean log-likelihood by means and deviations, in the metric of the Fisher
    information; not those by weights. Then signed square roots (``power=0.5``) and length 1, the improvement;
    ``power=1, l2=False`` is without it. The ranking distance is L2, which then ranks like the dot product of
    the paper. Descriptors longer than ``axes`` are first projected to so many principal axes.
    """

    name: ClassVar[str] = "fisher"
    about: ClassVar[str] = "gradients of a Gaussian mixture's fit to the descriptors"
    size: ClassVar[str] = "components"

    components: int = 64
    axes: int = 64
    power: float = field(default=0.5, kw_only=True)
    samples: int = field(default=100_000, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, components=(1, MOST), axes=(1, MOST))
        self._check_samples(max(self.components, 2), "components")

    def _fitted(self, training: Sequence[LocalFeatures]) -> FittedFisher:
        sample = self._sample(training, max(self.components, 2), "components")
        dim = sample.shape[1]
        axes = None
        if dim > self.axes:
            if len(sample) < self.axes:
                raise ValueError(
                    f"training: expected at least {self.axes} descriptors for {self.axes} principal axes, "
                    f"got {len(sample)}"
                )
            axes = Axes.of(sample, self.axes)
            sample = axes.projected(sample)
        return FittedFisher(self, dim, axes, *self._mixture(sample))

    def _mixture(self, sample: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Return weights (K,), means (K, d) and variances (K, d) of a mixture that fits ``sample`` (m, d)."""
        variance = float(sample.var(axis=0).mean())
        with one_thread():
            mixture = library("sklearn.mixture").GaussianMixture(
                self.components,
                covariance_type="diag",
                reg_covar=_LEAST_VARIANCE * variance or _LEAST_VARIANCE,
                tol=_LEAST_GAIN,
                random_state=self.seed,
            )
            mixture.fit(sample)
        return mixture.weights_, mixture.means_, mixture.covariances_


@dataclass(frozen=True, eq=False)
class FittedFisher(Fitted):
    """The mixture: float64 ``weights`` (K,), ``means`` and ``variances`` (K, d).

    ``principal``: the axes that descriptors are projected to first, None if they are not.
    """

    principal: Axes | None
    weights: Doubles
    means: Doubles
    variances: Doubles

    @property
    def dim(self) -> int:
        """Twice the number of components times the length of a descriptor, projected if it is."""
        return 2 * self.means.size

    def _raw(self, keypoints: Floats, descriptors: Doubles) -> Doubles:
        x = descriptors if self.principal is None else self.principal.projected(descriptors)
        shares = self._posteriors(x)
        counts = shares.sum(axis=0)[:, None]
        deviations = np.sqrt(self.variances)
        first, second = shares.T @ x, shares.T @ x**2
        # Sums over the descriptors of (x - mean) / deviation, and of its square less 1, weighted by `shares`.
        by_mean = (first - counts * self.means) / deviations
        by_deviation = (
            second - 2 * self.means * first + counts * (self.means**2 - self.variances)
        ) / self.variances
        scale = len(x) * np.sqrt(self.weights)[:, None]
        return np.concatenate([(by_mean / scale).ravel(), (by_deviation / (scale * np.sqrt(2))).ravel()])

    def _posteriors(self, x: Doubles) -> Doubles:
        """Return how probable each component is for each descriptor (n, d): (n, K), rows sum to 1."""
        precisions = 1 / self.variances
        logs = np.log(self.weights) - 0.5 * (np.log(self.variances) + self.means**2 * precisions).sum(axis=1)
        logs = logs + x @ (self.means * precisions).T - 0.5 * (x**2 @ precisions.T)
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        posteriors: Doubles = shares / shares.sum(axis=1, keepdims=True)
        return posteriors
