# SPDX-License-Identifier: MIT
"""The names of an index's classes, and the groups that the card of its model gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from semcbir.errors import IndexStorageError
from semcbir.index.catalog import Catalog
from semcbir.networks.bounds import MAX_GROUPS
from semcbir.networks.card import ModelCard
from semcbir.networks.groups import ClassNames
from semcbir.recipe import Recipe

GROUPS = "groups"
_LONGEST = 2**24
"""Characters; a card's groups have 2^20 characters of names."""


def stored_groups(card: ModelCard) -> Mapping[str, str]:
    """Return what the catalogue's ``meta`` keeps of a card's groups: nothing if it has none."""
    return {GROUPS: json.dumps(card.groups)} if card.groups else {}


def read_class_names(catalog: Catalog, recipe: Recipe) -> ClassNames:
    """Return the classes of an index with its groups. Raises IndexStorageError if those are malformed."""
    stored = catalog.meta(GROUPS)
    if stored is None:
        return ClassNames(recipe.classes)
    try:
        groups = json.loads(stored) if isinstance(stored, str) and len(stored) <= _LONGEST else None
    except (ValueError, RecursionError):
        groups = None
    if not _are_groups(groups):
        raise IndexStorageError(
            f"the groups of index {catalog.folder} are damaged: expected names of classes"
        )
    return ClassNames(recipe.classes, groups)


def _are_groups(groups: Any) -> bool:
    if not isinstance(groups, dict) or len(groups) > MAX_GROUPS:
        return False
    return all(
        isinstance(some, list) and all(isinstance(one, str) for one in some) for some in groups.values()
    )
