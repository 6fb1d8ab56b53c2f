# SPDX-License-Identifier: MIT
"""Weighting: rows whose lengths say how much of a photo their class is, so that a speck decides nothing."""

from __future__ import annotations

import math

from semcbir import _core
from semcbir._validate import as_number, check_instance
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures
from semcbir.threads import check_threads

_SHARES = "a number from 0 to 1"


def weighted(
    signatures: Signatures,
    whole_share: float | None = None,
    *,
    recipe: Recipe | None = None,
    threads: int | None = None,
) -> Signatures:
    """Return ``signatures`` weighted by ``share``: a class's row as b sqrt(P_c) S_c / ||S_c||.

    A whole row becomes a S / ||S||, with a^2 = ``whole_share`` and a^2 + b^2 = 1, so a batch with whole rows
    needs a share for them; without them b is 1 and the share None or 0. A null vector stays null. The
    squared distance of two photos with all their rows is then a^2 2 (1 - cos of the wholes) + b^2 (sum of P +
    sum of P' - 2 sum over shared classes of sqrt(P_c P'_c) cos), in [0, 4] up to rounding.

    From the stored float32 values, in double, rounded once; ``docs/definitions.md`` has the exact order. The
    result has the given ``recipe``, not that of ``signatures``, whose rows are not weighted; everything else
    is shared. Any ``threads`` gives the same bits.

    Raises TypeError or ValueError for a wrong argument.
    """
    check_instance("signatures", signatures, Signatures)
    share = _check_share(whole_share, signatures.whole)
    if recipe is not None:
        check_instance("recipe", recipe, Recipe, "a Recipe or None")
    centroids = _core.weight_rows(
        signatures.classes,
        signatures.proportions,
        signatures.centroids,
        signatures.n_classes,
        share,
        check_threads(threads),
    )
    return Signatures._unchecked(**{**vars(signatures), "centroids": centroids, "recipe": recipe})


def _check_share(whole_share: float | None, whole: bool) -> float:
    if whole_share is None:
        if whole:
            raise ValueError(f"whole_share: expected {_SHARES} for signatures with whole rows, got None")
        return 0.0
    share = as_number("whole_share", whole_share, f"{_SHARES}, or None")
    if math.isnan(share) or not 0 <= share <= 1:
        raise ValueError(f"whole_share: expected {_SHARES}, got {share}")
    if share and not whole:
        raise ValueError(f"whole_share: expected None or 0 for signatures without whole rows, got {share}")
    return share
