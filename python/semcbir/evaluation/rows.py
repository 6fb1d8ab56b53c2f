# SPDX-License-Identifier: MIT
"""Signatures of which only some rows count, or that have a single one: what that finds by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semcbir.signatures import Signatures


def class_rows(signatures: Signatures) -> Signatures:
    """Return ``signatures`` in which only the rows of classes count, not the whole rows."""
    return only_rows(signatures, signatures.classes != signatures.n_classes)


def whole_rows(signatures: Signatures) -> Signatures:
    """Return ``signatures`` in which only the whole rows count."""
    return only_rows(signatures, signatures.classes == signatures.n_classes)


def rows_of(signatures: Signatures, label: int) -> Signatures:
    """Return ``signatures`` in which only the rows of class ``label`` count."""
    return only_rows(signatures, signatures.classes == label)


def only_rows(signatures: Signatures, chosen: npt.NDArray[np.bool_]) -> Signatures:
    """Return ``signatures`` whose rows are null vectors but for the ``chosen`` ones, bool (rows,).

    A null vector adds nothing to a distance. Proportions stay, so that the semantic filter is the same. Under
    the weighting ``share``, dropping the whole rows gives the ranking of class rows with b = 1: all distances
    are b times theirs.
    """
    centroids = np.where(chosen[:, None], signatures.centroids, np.float32(0))
    return Signatures(**{**vars(signatures), "centroids": centroids})


def one_row(vectors: npt.NDArray[np.float32]) -> Signatures:
    """Return vectors, float32 (n, D), as signatures of one class each, so that searches rank them by L2."""
    n = len(vectors)
    return Signatures(
        offsets=np.arange(n + 1),
        classes=np.zeros(n, np.uint16),
        proportions=np.ones(n, np.float32),
        counts=np.ones(n, np.uint32),
        centroids=np.ascontiguousarray(vectors, np.float32),
        n_classes=1,
    )
