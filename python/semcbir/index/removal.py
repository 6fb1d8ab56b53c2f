# SPDX-License-Identifier: MIT
"""Removal: what the user names, images by id or path and folders, as rows of the catalogue."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import SupportsIndex

from semcbir._files import PathLike, absolute, display_path
from semcbir._validate import shown
from semcbir.index.catalog import Catalog
from semcbir.index.merge import tidy
from semcbir.index.roots import Roots, read_roots
from semcbir.recipe import Recipe


def remove(
    catalog: Catalog,
    recipe: Recipe,
    chosen: Iterable[SupportsIndex | PathLike],
    is_known: Callable[[int], bool],
) -> int:
    """Take out what ``chosen`` means (see ``plan_removal``), in one commit; return how many images."""
    removal = plan_removal(catalog, chosen, is_known)
    with catalog.changes():
        for root in removal.roots:
            catalog.set_root_state(root, "forgotten")
        count = catalog.take_out(removal.images, "removed")
    tidy(catalog, recipe)
    return count


@dataclass
class Removal:
    """What to take out: roots to follow no longer, and the ids of images."""

    roots: set[int] = field(default_factory=set)
    images: set[int] = field(default_factory=set)


def plan_removal(
    catalog: Catalog, chosen: Iterable[SupportsIndex | PathLike], is_known: Callable[[int], bool]
) -> Removal:
    """Return what ``chosen`` means: ids (``is_known`` says whether they can be found), image files, folders.

    A folder means all images below it, and the roots that it is or that are in it. Raises ValueError for
    what is not in the index.
    """
    removal = Removal()
    roots = Roots(read_roots(catalog))
    for one in chosen:
        if isinstance(one, (str, os.PathLike)):
            if not _choose_path(catalog, roots, absolute(one), removal):
                raise ValueError(f"{display_path(one)} is not in index {display_path(catalog.folder)}")
        elif is_known(key := operator.index(one)):
            removal.images.add(key)
        else:
            raise ValueError(f"id {shown(key)} is not in index {display_path(catalog.folder)}")
    return removal


def _choose_path(catalog: Catalog, roots: Roots, path: Path, removal: Removal) -> bool:
    """Add what ``path`` means to ``removal``; return whether it is in the index."""
    place = roots.place(path)
    if place and (row := catalog.image_at(place[0].id, place[0].relative(place[1]))):
        if row.state == "indexed":
            removal.images.add(row.id)
        return row.state == "indexed"
    inside = roots.inside(path)
    for root in inside:
        removal.roots.add(root.id)
        removal.images.update(_settled(catalog, root.id))
    if inside or not place:
        return bool(inside)
    below = _settled(catalog, place[0].id, place[0].relative(place[1]))
    removal.images.update(below)
    return bool(below)


def _settled(catalog: Catalog, root: int, folder: bytes = b"") -> list[int]:
    """Return the ids of the images of a root, or of a folder in it, that a refresh would look after."""
    rows = catalog.images_below(root, folder).values()
    return [row.id for row in rows if row.state in ("indexed", "skipped")]
