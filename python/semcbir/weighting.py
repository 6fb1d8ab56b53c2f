# SPDX-License-Identifier: MIT
"""Weighting: rows whose lengths say how much of a photo their class is, so that a speck decides nothing."""

from __future__ import annotations

import math
from dataclasses import replace

from semcbir import _core
from semcbir._validate import as_number, check_instance
from semcbir.features.base import Feature
from semcbir.features.deep import WHOLE_SHARE, Deep
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

    A whole row becomes a S / ||S||, with a^2 = ``whole_share`` and a^2 + b^2 = 1. None: what the feature of
    their recipe has, else 0.7 (WHOLE_SHARE, the default of feature ``deep``). Without whole rows b is 1, and
    the share None or 0. A null vector stays null. The squared distance of two photos with all their rows is
    then a^2 2 (1 - cos of the wholes) + b^2 (sum of P + sum of P' - 2 sum over shared classes of sqrt(P_c
    P'_c) cos), in [0, 4] up to rounding. An index or Extractor with ``KAZE(weighting="share")`` gives such
    signatures at once.

    Only the directions of rows count, not their lengths, so weighting twice does no harm: it is the second
    weighting, but for rounding and for rows that the first made null (of a share of 0 or 1). Smoothing comes
    after weighting: means of rows that are not weighted have other directions, and nothing tells.

    From the stored float32 values, in double, rounded once; ``docs/definitions.md`` has the exact order. The
    result has the given ``recipe``, or else that of ``signatures`` with weighting "share", so that weighted
    signatures are never compared with others; without either it has none, and nothing tells. Everything else
    is shared. Any ``threads`` gives the same bits.

    Raises TypeError or ValueError for a wrong argument.
    """
    check_instance("signatures", signatures, Signatures)
    share = _check_share(whole_share, signatures)
    if recipe is not None:
        check_instance("recipe", recipe, Recipe, "a Recipe or None")
    elif signatures.recipe is not None:
        recipe = _weighted_recipe(signatures.recipe, share)
    centroids = _core.weight_rows(
        signatures.classes,
        signatures.proportions,
        signatures.centroids,
        signatures.n_classes,
        share,
        check_threads(threads),
    )
    return Signatures._unchecked(**{**vars(signatures), "centroids": centroids, "recipe": recipe})


def weighted_as(
    feature: Feature, signatures: Signatures, recipe: Recipe, threads: int | None = None
) -> Signatures:
    """Return ``signatures``, not weighted yet, as ``feature`` weights them; ``recipe`` is the result's."""
    if feature.weighting == "none":
        return Signatures._unchecked(**{**vars(signatures), "recipe": recipe})
    share = feature.whole_share if isinstance(feature, Deep) else None
    return weighted(signatures, share, recipe=recipe, threads=threads)


def _weighted_recipe(recipe: Recipe, share: float) -> Recipe:
    first, *others = recipe.features  # a batch of signatures is of the first
    if isinstance(first, Deep):
        return replace(recipe, features=(first.with_weighting("share", share), *others))
    return replace(recipe, features=(first.with_weighting("share"), *others))


def _check_share(whole_share: float | None, signatures: Signatures) -> float:
    whole, recipe = signatures.whole, signatures.recipe
    if whole_share is None:
        if not whole:
            return 0.0
        feature = recipe.feature() if recipe else None
        return feature.whole_share if isinstance(feature, Deep) else WHOLE_SHARE
    share = as_number("whole_share", whole_share, f"{_SHARES}, or None")
    if math.isnan(share) or not 0 <= share <= 1:
        raise ValueError(f"whole_share: expected {_SHARES}, got {share}")
    if share and not whole:
        raise ValueError(f"whole_share: expected None or 0 for signatures without whole rows, got {share}")
    return share
