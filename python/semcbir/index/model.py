# SPDX-License-Identifier: MIT
"""The model that an index was made with: where it is, and extractors that use it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from semcbir._files import PathLike, absolute, display_path, sync_file, sync_folder
from semcbir.errors import ModelError, RecipeMismatchError
from semcbir.extractor import Extractor
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.catalog import Catalog
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
    """Copy the model, if it is small enough, into the index at ``folder``; OSError if that fails."""
    if model_path.stat().st_size > LARGEST_MODEL:
        return
    copy = folder / MODEL_FILE
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(model_path, copy)
    dataclasses.replace(card, file=copy.name).save(folder / MODEL_CARD)
    for path in (copy, folder / MODEL_CARD):
        sync_file(path)
    sync_folder(copy.parent)


def stored_model(model: PathLike) -> bytes:
    """Return a model as the catalogue stores it: a registered name as it is, a file by its absolute path."""
    return os.fsencode(model if is_name(model) else absolute(model))


def find_model(catalog: Catalog, recipe: Recipe) -> Path:
    """Return the index's copy of its model, or else the user's name for it. ModelError if it is gone."""
    copy = catalog.folder / MODEL_CARD
    if copy.is_file():
        return copy
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
    try:
        require_same(recipe, extractor.recipe, what)
    except RecipeMismatchError as error:
        raise _mismatch(index, str(error)) from None


def _mismatch(index: Path, what: str) -> RecipeMismatchError:
    return RecipeMismatchError(
        f"index {display_path(index)}: {what}; use the model and features it was made with, "
        "or make another index"
    )
