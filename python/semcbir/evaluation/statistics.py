# SPDX-License-Identifier: MIT
"""How sure a figure is: intervals over queries, and whether two ways of ranking differ at all.

Queries are taken for a sample of those that could be asked. Those of one data set are not independent (each
is in the others' database), so that intervals are rather too narrow than too wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semcbir.evaluation.rankings import Floats

SAMPLES = 10_000
CONFIDENCE = 0.95
_SEED = 20200
_Counts: TypeAlias = npt.NDArray[np.uint16]
_AT_ONCE = 1_000_000
"""Numbers of samples, or of signs, that are drawn at a time."""
_KEPT = 100_000_000
"""The most numbers of samples that are kept for the next call, in two bytes each."""


def intervals(values: Floats, samples: int = SAMPLES, confidence: float = CONFIDENCE) -> Floats:
    """Return the lower and upper ends of confidence intervals of means: (2, m) for ``values`` (q, m).

    Percentile bootstrap over queries (Efron 1979): the middle ``confidence`` of the means of ``samples``
    samples of q queries with replacement, drawn from a fixed seed, the same for all m columns.
    """
    blocks = _samples(len(values), samples)
    means = np.concatenate([counts.astype(np.float64) @ values / len(values) for counts in blocks])
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(means, [tail, 1 - tail], axis=0), np.float64)


def _samples(q: int, samples: int) -> Iterable[_Counts]:
    """Return how often each of ``q`` queries is in each of the samples, (some samples, q) at a time."""
    return _few(q, samples) if q * samples <= _KEPT else _drawn(q, samples)


@lru_cache(maxsize=1)
def _few(q: int, samples: int) -> list[_Counts]:
    return list(_drawn(q, samples))


def _drawn(q: int, samples: int) -> Iterator[_Counts]:
    rng = np.random.default_rng(_SEED)
    at_once = max(1, _AT_ONCE // q)
    for start in range(0, samples, at_once):
        some = min(at_once, samples - start)
        yield rng.multinomial(q, np.full(q, 1 / q), size=some).astype(np.uint16)


def difference(ours: Floats, theirs: Floats, samples: int = SAMPLES) -> tuple[float, float, float, float]:
    """Compare two ways of ranking by the values, (q,) each, that the same queries have.

    Returns the mean of ``ours`` - ``theirs``, the ends of its confidence interval (as above), and the
    two-sided p of a paired randomisation test: how often the mean is as far from 0 or farther when each
    query's difference has a random sign (Smucker, Allan and Carterette 2007), the case at hand counted once.
    """
    differences = ours - theirs
    low, high = intervals(differences[:, None], samples)[:, 0]
    mean = differences.mean()
    rng = np.random.default_rng(_SEED)
    as_far, at_once = 1, max(1, _AT_ONCE // len(differences))
    for start in range(0, samples, at_once):
        signs = rng.integers(0, 2, (min(at_once, samples - start), len(differences)), np.int8) * 2 - 1
        # A tie in exact numbers is one here, too: sums in another order differ by less than this.
        as_far += int(np.count_nonzero(np.abs(signs @ differences) / len(ours) >= abs(mean) - 1e-12))
    return float(mean), float(low), float(high), as_far / (samples + 1)
