# SPDX-License-Identifier: MIT
"""Normalisations of vectors and descriptors, in double. Null vectors stay null."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Doubles: TypeAlias = NDArray[np.float64]


def powered(vectors: Doubles, power: float) -> Doubles:
    """Return sign(x) |x|^``power`` of every number."""
    if power == 1:
        return vectors
    raised: Doubles = np.sign(vectors) * np.abs(vectors) ** power
    return raised


def unit(vectors: Doubles) -> Doubles:
    """Return ``vectors`` (..., D) of L2 length 1."""
    return _divided(vectors, np.linalg.norm(vectors, axis=-1, keepdims=True))


def shares(vectors: Doubles) -> Doubles:
    """Return ``vectors`` (..., D) of L1 length 1."""
    return _divided(vectors, np.abs(vectors).sum(axis=-1, keepdims=True))


def rooted(descriptors: NDArray[Any]) -> Doubles:
    """Return descriptors (n, D) as RootSIFT has them (Arandjelović and Zisserman 2012): sqrt(x / sum of |x|).

    L2 between them is the Hellinger distance. Descriptors with negative numbers, such as KAZE's and SURF's,
    are no histograms; of those the root is signed, sign(x) sqrt(|x| / sum of |x|), of length 1 as well.
    """
    return powered(shares(np.asarray(descriptors, np.float64)), 0.5)


def _divided(vectors: Doubles, lengths: Doubles) -> Doubles:
    divided: Doubles = vectors / np.where(lengths == 0, 1.0, lengths)
    return divided
