# SPDX-License-Identifier: MIT
"""The model that an index was made with: where it is, and extractors that use it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from semcbir._files import PathLike, absolute, display_path, read_regular
from semcbir.errors import ModelError, RecipeMismatchError
from semcbir.extractor import Extractor
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.catalog import Catalog
from semcbir.index.files import open_folder
from semcbir.networks.card import ModelCard, with_inference
from semcbir.networks.names import is_name, resolve
from semcbir.networks.presets import inference_of
from semcbir.recipe import Recipe, require_same

MODEL_FILE = "model/model.onnx"
MODEL_CARD = "model/model.json"
"""The index's own copy of its model, if the model is small enough to copy."""

LARGEST_MODEL = 16 * 2**20
"""The most bytes of a model file that is copied into the index, so that the index stands alone."""


def copy_model(folder: Path, model_path: Path, card: ModelCard) -> None:
    """Copy the model, if it is small enough, into the index at ``folder``; OSError if that fails.

    IndexStorageError if something that an index cannot hold is in the copy's place.
    """
    if model_path.stat().st_size > LARGEST_MODEL:
        return
    copy, copied_card = folder / MODEL_FILE, folder / MODEL_CARD
    with open_folder(copy.parent, create=True) as inside:
        for path in (copy, copied_card):
            inside.require_regular(path.name)
        inside.put(copy.name, read_regular(model_path, LARGEST_MODEL))
        inside.put(copied_card.name, dataclasses.replace(card, file=copy.name).to_json().encode())
        inside.sync()


def has_model(folder: Path) -> bool:
    """Return whether the index at ``folder`` holds a copy of its model, or a part of one.

    Raises IndexStorageError if what is in its place is not a regular file in a real folder.
    """
    copy, card = folder / MODEL_FILE, folder / MODEL_CARD
    try:
        with open_folder(copy.parent) as inside:
            return [inside.require_regular(path.name) for path in (copy, card)] != [None, None]
    except FileNotFoundError:
        return False


def stored_model(model: PathLike) -> bytes:
    """Return a model as the catalogue stores it: a registered name as it is, a file by its absolute path."""
    return os.fsencode(model if is_name(model) else absolute(model))


def find_model(catalog: Catalog, recipe: Recipe) -> Path:
    """Return the index's copy of its model, or else the user's name for it.

    Raises ModelError if it is gone, IndexStorageError if the copy is a link, say.
    """
    if has_model(catalog.folder) and (catalog.folder / MODEL_CARD).is_file():
        # Not the card, which might name another file.
        return catalog.folder / MODEL_FILE
    name = catalog.meta("model")
    if not isinstance(name, (bytes, str)) or not name:
        raise ModelError(
            f"index {display_path(catalog.folder)} does not say which model it was made with; "
            f"say where it is (sha256 {recipe.model['sha256']})"
        )
    stored = os.fsdecode(name)
    if Path(stored).is_absolute() and not Path(stored).exists():
        raise ModelError(
            f"the model of index {display_path(catalog.folder)}, {recipe.model['name']}, is not at "
            f"{display_path(stored)} any more; say where it is now (sha256 {recipe.model['sha256']})"
        )
    return Path(stored)


def extractor_like(
    index: Path,
    recipe: Recipe,
    model: PathLike,
    device: str,
    threads: int | None,
    max_pixels: int | None = MAX_PIXELS,
) -> Extractor:
    """Return an Extractor with ``model`` that makes signatures by ``recipe``, that of the index at ``index``.

    Raises ModelError if the model is missing, RecipeMismatchError if it is another model.
    """
    inference = inference_of(recipe.model)
    try:
        with_inference(resolve(model)[1], inference)
    except ValueError as error:
        raise _mismatch(index, f"this model cannot do what the index was made with ({error})") from None
    extractor = Extractor(
        model,
        recipe.features,
        long_side=recipe.long_side,
        device=device,
        threads=threads,
        inference=inference,
        max_pixels=max_pixels,
    )
    require_like(index, recipe, extractor, "this model's signatures")
    return extractor


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
