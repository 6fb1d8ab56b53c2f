# SPDX-License-Identifier: MIT
"""Checking: verify a whole index, down to checksums and single values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._files import absolute, display_path
from semcbir.errors import IndexStorageError, ModelError
from semcbir.index.catalog import read
from semcbir.index.database import SEGMENTS
from semcbir.index.files import sha256
from semcbir.index.model import deep_of
from semcbir.index.model_place import ENCODER, MODEL, ModelPlace, has_model
from semcbir.index.rows import SegmentFile
from semcbir.index.segments import Segment, map_segment, other_classes
from semcbir.index.snapshot import read_recipe
from semcbir.networks.specs import LARGEST_MODEL
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures


@dataclass(frozen=True, eq=False)
class _Listing:
    """What the catalogue says about one segment: its file, its dead rows, and (row, id) of its images."""

    file: SegmentFile
    dead: set[int]
    rows: npt.NDArray[np.int64]


def check_index(path: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with the index at ``path``, one line per problem; empty if it is sound.

    This works even if the index is too damaged to be opened. Files that the catalogue does not list are no
    problem: the next writer deletes them.
    """
    folder = absolute(path)
    seen: list[str] = []
    while True:
        try:
            damage, recipe, listings = _read(folder)
        except IndexStorageError as error:
            return [str(error)]
        if damage or recipe is None:
            return damage
        names = [listing.file.name for listing in listings]
        missing = [name for name in names if not os.path.lexists(folder / SEGMENTS / name)]
        if missing and names != seen:
            seen = names  # A writer may have merged them in the meantime: look once more.
            continue
        problems = _check_models(folder, recipe)
        for listing in listings:
            problems += _check_segment(folder / SEGMENTS / listing.file.name, recipe, listing)
        return problems


def _read(folder: Path) -> tuple[list[str], Recipe | None, list[_Listing]]:
    """Read everything at once, so that no lock is held while the segments are verified."""
    with read(folder) as catalog:
        if problems := catalog.problems():
            return problems, None, []
        dead = catalog.dead_rows()
        listings = [
            _Listing(
                file,
                set(dead.get(key, ())),
                np.array(catalog.images_in_segment(key), np.int64).reshape(-1, 2),
            )
            for key, file in catalog.segments()
        ]
        return [], read_recipe(catalog), listings


def _check_models(folder: Path, recipe: Recipe) -> list[str]:
    models = {MODEL: recipe.model}
    if deep := deep_of(recipe):
        models[ENCODER] = deep.encoder
    return [line for place, described in models.items() for line in _check_model(folder, place, described)]


def _check_model(folder: Path, place: ModelPlace, described: Mapping[str, Any]) -> list[str]:
    copy, card = folder / place.file, folder / place.card
    try:
        if not has_model(folder, place):
            return []  # It was too large to copy.
        if sha256(copy, LARGEST_MODEL) != described["sha256"]:
            return [f"{place.key} {copy}: its sha256 is not the recipe's"]
        read_card = place.kind.load(card)
        if {**read_card.preprocessing_dict(), "name": None} != {**described, "name": None}:
            return [f"{place.key} card {card}: it does not match the recipe"]
        if read_card.file != copy.name:
            return [f"{place.key} card {card}: it names {display_path(read_card.file)}, expected {copy.name}"]
    except (OSError, ModelError, IndexStorageError) as error:
        return [f"{place.key} {copy}: {error}"]
    return []


def _check_segment(path: Path, recipe: Recipe, listing: _Listing) -> list[str]:
    try:
        if sha256(path, listing.file.size) != listing.file.sha256:
            return [f"segment {path}: its sha256 is not the catalogue's"]
        segment = map_segment(path, recipe, size=listing.file.size)
        _check_values(segment)
    except FileNotFoundError:
        return [f"segment {path}: listed, but not there"]
    except (IndexStorageError, ValueError, OSError) as error:
        return [f"segment {path}: {error}"]
    return _check_rows(path, segment, listing)


def _check_values(segment: Segment) -> None:
    segment.require_whole()
    for signatures in segment.batch.values():
        # An id may be in a segment twice: an image's old row and its newer one. _check_rows checks ids.
        Signatures(**{**vars(signatures), "ids": None})
    if other := other_classes(segment.batch):
        raise ValueError(f"its images have other classes or shares for {other} than for its first feature")


def _check_rows(path: Path, segment: Segment, listing: _Listing) -> list[str]:
    """Compare the rows of a segment with the images that the catalogue lists for it."""
    if len(segment) != listing.file.images:
        return [f"segment {path}: holds {len(segment)} images, the catalogue says {listing.file.images}"]
    rows, ids = listing.rows.T
    if sorted([*rows.tolist(), *listing.dead]) != list(range(len(segment))):
        return [f"segment {path}: the catalogue does not account for each of its rows once"]
    if (segment.ids[rows] != ids).any():
        return [f"segment {path}: holds other ids than the catalogue says"]
    return []
