# SPDX-License-Identifier: MIT
"""The models that an index was made with: where they are, and extractors that use them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semcbir._files import PathLike, absolute, display_path, read_regular
from semcbir.errors import ModelError, RecipeMismatchError
from semcbir.extractor import Extractor
from semcbir.features import Deep, Feature, parse_features
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.catalog import Catalog
from semcbir.index.files import open_folder
from semcbir.index.model_place import ENCODER, MODEL, ModelPlace, has_model
from semcbir.networks.card import with_inference
from semcbir.networks.card_file import Card
from semcbir.networks.names import cached, is_name, resolve
from semcbir.networks.presets import inference_of
from semcbir.networks.specs import InferenceSpec
from semcbir.recipe import Recipe, require_same

LARGEST_MODEL = 32 * 2**20
"""The most bytes of a model file that is copied into the index, so that the index stands alone."""


def copy_model(folder: Path, place: ModelPlace, model_path: Path, card: Card) -> None:
    """Copy a model, if it is small enough, into the index at ``folder``; OSError if that fails.

    IndexStorageError if something that an index cannot hold is in the copy's place.
    """
    if model_path.stat().st_size > LARGEST_MODEL:
        return
    copy, copied_card = folder / place.file, folder / place.card
    with open_folder(copy.parent, create=True) as inside:
        for path in (copy, copied_card):
            inside.require_regular(path.name)
        inside.put(copy.name, read_regular(model_path, LARGEST_MODEL))
        beside: Card = dataclasses.replace(card, file=copy.name)  # type: ignore[type-var]
        inside.put(copied_card.name, beside.to_json().encode())
        inside.sync()


def copy_copied(other: Path, folder: Path, place: ModelPlace) -> None:
    """Copy the copy of a model that the index at ``other`` has into ``folder``; errors as above."""
    with open_folder((folder / place.file).parent, create=True) as inside:
        for path in (other / place.file, other / place.card):
            inside.require_regular(path.name)
            inside.put(path.name, read_regular(path, LARGEST_MODEL))
        inside.sync()


def stored_model(model: PathLike) -> bytes:
    """Return a model as the catalogue stores it: a registered name as it is, a file by its absolute path."""
    return os.fsencode(model if is_name(model) else absolute(model))


def find_model(catalog: Catalog, place: ModelPlace, described: Mapping[str, Any]) -> Path:
    """Return the index's copy of a model, or else the user's name for it.

    ``described`` is what the recipe says of it. A file that is gone is looked for in the user's cache, by its
    sha256. Raises ModelError if it is not there either, IndexStorageError if the copy is a link, say.
    """
    if has_model(catalog.folder, place) and (catalog.folder / place.card).is_file():
        # Not the card, which might name another file.
        return catalog.folder / place.file
    name = catalog.meta(place.key)
    stored = os.fsdecode(name) if isinstance(name, (bytes, str)) else ""
    if stored and not (Path(stored).is_absolute() and not Path(stored).exists()):
        return Path(stored)
    if found := cached(place.kind, described["sha256"]):
        return found
    if not stored:
        raise ModelError(
            f"index {display_path(catalog.folder)} does not say which {place.key} it was made with; "
            f"say where it is (sha256 {described['sha256']})"
        )
    raise ModelError(
        f"the {place.key} of index {display_path(catalog.folder)}, {described['name']}, is not at "
        f"{display_path(stored)} any more; say where it is now (sha256 {described['sha256']})"
    )


def deep_of(recipe: Recipe) -> Deep | None:
    """Return the recipe's deep feature, if it has one."""
    return next((feature for feature in recipe.features if isinstance(feature, Deep)), None)


def as_made(
    catalog: Catalog,
    recipe: Recipe,
    model: PathLike | None,
    features: str | Iterable[str | Feature] | None,
    encoder: PathLike | None,
    weighting: str | None,
    inference: InferenceSpec | str | None,
) -> tuple[PathLike, tuple[Feature, ...], InferenceSpec | str | None]:
    """Return a model, features and inference settings; what is not named is as the index was made.

    ``recipe`` is the index's. The settings belong to the model; features are given as to
    ``parse_features``. Raises its errors, and those of ``find_model``.
    """
    if model is None:
        model = find_model(catalog, MODEL, recipe.model)
        inference = inference_of(recipe.model) if inference is None else inference
    parsed = parse_features(features, encoder=encoder, weighting=weighting, held=recipe.features)
    located = (
        feature.with_encoder(find_model(catalog, ENCODER, feature.encoder))
        if isinstance(feature, Deep) and feature.path is None
        else feature
        for feature in parsed
    )
    return model, tuple(located), inference


def extractor_like(
    index: Path,
    recipe: Recipe,
    model: PathLike,
    encoder: PathLike | None,
    device: str,
    threads: int | None,
    max_pixels: int | None = MAX_PIXELS,
) -> Extractor:
    """Return an Extractor that makes signatures by ``recipe``, that of the index at ``index``.

    ``encoder`` is that of its deep feature, if it has one. Raises ModelError if ``model`` or ``encoder`` is
    missing, RecipeMismatchError if it is another one.
    """
    inference = inference_of(recipe.model)
    try:
        with_inference(resolve(model)[1], inference)
    except ValueError as error:
        raise _mismatch(index, f"this model cannot do what the index was made with ({error})") from None
    extractor = Extractor(
        model,
        _features(recipe, encoder),
        long_side=recipe.long_side,
        device=device,
        threads=threads,
        inference=inference,
        max_pixels=max_pixels,
    )
    require_like(index, recipe, extractor, "this model's signatures")
    return extractor


def _features(recipe: Recipe, encoder: PathLike | None) -> list[Feature]:
    """Return the recipe's features, the deep one with its encoder."""
    return [
        feature.with_encoder(encoder) if isinstance(feature, Deep) else feature for feature in recipe.features
    ]


def require_like(index: Path, recipe: Recipe, extractor: Extractor, what: str) -> None:
    """Raise RecipeMismatchError, saying how ``what`` differs, unless ``extractor`` works by ``recipe``."""
    require_recipe(index, recipe, extractor.recipe, what)


def require_recipe(index: Path, recipe: Recipe, came: Recipe | None, what: str) -> None:
    """Raise RecipeMismatchError, saying how ``what`` differs, unless ``came`` is the same recipe."""
    try:
        require_same(recipe, came, what)
    except RecipeMismatchError as error:
        raise _mismatch(index, str(error)) from None


def _mismatch(index: Path, what: str) -> RecipeMismatchError:
    return RecipeMismatchError(
        f"index {display_path(index)}: {what}; use the model and features it was made with, "
        "or make another index"
    )
