# SPDX-License-Identifier: MIT
"""Several photos as one query: the weighted mean of their signatures, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from semcbir._validate import as_number, check_many, shown
from semcbir.signatures import Signatures

MAX_PHOTOS = 1000


def check_weights(weights: Sequence[object]) -> list[float]:
    """Return the weights of the photos of a query as floats.

    Raises TypeError or ValueError unless they are finite numbers with a sum above 0: then photos are ranked
    by the weighted sum of their squared distances.
    """
    found = [as_number("query", weight, "weights that are numbers") for weight in weights]
    if wrong := [weight for weight in found if not math.isfinite(weight)]:
        raise ValueError(f"query: expected weights that are finite, got {wrong[0]}")
    if found and not math.fsum(found) > 0:
        raise ValueError(f"query: expected weights with a sum above 0, got {shown(found)}")
    return found


def pairs_of(query: object) -> list[tuple[object, object]] | None:
    """Return the (photo, weight) pairs that are one query; None if ``query`` is something else."""
    if isinstance(query, list | tuple) and query and all(_is_pair(one) for one in query):
        pairs: list[tuple[object, object]] = check_many("query", query, "(photo, weight) pairs")
        if len(pairs) > MAX_PHOTOS:
            raise ValueError(f"query: expected at most {MAX_PHOTOS} photos, got {len(pairs)}")
        return pairs
    return None


def _is_pair(one: object) -> bool:
    return isinstance(one, tuple) and len(one) == 2 and isinstance(one[1], int | float | np.number)


def mean_signature(signatures: Signatures, weights: Sequence[float]) -> Signatures:
    """Return the mean of the images of a batch, weighted, as a batch of one.

    Sum of w_i S_i / sum of w_i, class by class, a class that an image lacks being its null vector, in double
    and rounded once; so sum of w_i ||S_i - x||^2 = (sum of w_i) ||mean - x||^2 + a constant. Proportions are
    averaged likewise, those below 0 are 0, and sum to 1 again. Counts are summed.
    """
    share = np.array(weights, np.float64) / math.fsum(weights)
    of_row = np.repeat(share, np.diff(signatures.offsets))
    classes, at = np.unique(signatures.classes, return_inverse=True)
    centroids = np.zeros((len(classes), signatures.dim))
    np.add.at(centroids, at, of_row[:, None] * signatures.centroids.astype(np.float64))
    proportions = np.maximum(np.bincount(at, of_row * signatures.proportions, len(classes)), 0)
    total = proportions.sum()
    counts = np.bincount(at, signatures.counts, len(classes))
    return Signatures(
        offsets=np.array([0, len(classes)]),
        classes=classes,
        proportions=_floats(proportions / total if total > 0 else proportions),
        counts=np.minimum(counts, 2**32 - 1).astype(np.uint32),
        centroids=_floats(centroids),
        n_classes=signatures.n_classes,
        recipe=signatures.recipe,
        whole=signatures.whole,
    )


def at_length_one(signatures: Signatures) -> Signatures:
    """Return signatures whose rows are weighted by share at length 1, as the weighting makes them.

    The order of images of that length does not change, and distances lie between 0 and 2 again. Signatures
    that are null, or not weighted, stay as they are: these have no length of their own.
    """
    feature = signatures.recipe.feature() if signatures.recipe else None
    if feature is None or feature.weighting == "none":
        return signatures
    image = np.repeat(np.arange(len(signatures)), np.diff(signatures.offsets))
    squares = (signatures.centroids.astype(np.float64) ** 2).sum(axis=1)
    lengths = np.sqrt(np.bincount(image, squares, len(signatures)))
    scale = 1 / np.where(lengths > 0, lengths, 1)
    centroids = _floats(signatures.centroids * scale[image, None])
    return Signatures(**{**vars(signatures), "centroids": centroids})


def _floats(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)
