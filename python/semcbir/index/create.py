# SPDX-License-Identifier: MIT
"""Creating: an empty index, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from semcbir._files import display_path, sync_folder
from semcbir.errors import IndexStorageError
from semcbir.index import catalog
from semcbir.index.model import MODEL_FILE, copy_model, stored_model
from semcbir.index.roots import outermost, stored_place
from semcbir.index.snapshot import SEGMENTS
from semcbir.networks.card import ModelCard
from semcbir.recipe import Recipe

_OWN_NAMES = {SEGMENTS, Path(MODEL_FILE).parent.name, *catalog.FILES}
"""What a creation that was cut off may have left in a folder that is no index yet."""


def create_index(
    folder: Path,
    roots: Iterable[Path],
    recipe: Recipe,
    model: str | os.PathLike[str],
    model_path: Path,
    card: ModelCard,
) -> None:
    """Make an empty index in ``folder``, which is new or empty; the catalogue comes last.

    ``roots`` are the folders it will follow, ``model`` is how the user named the model whose ONNX file is
    ``model_path``. Raises IndexStorageError where the folder holds other things or cannot be written,
    IndexLockedError where another process is making an index there, ModelError where the model file is
    not its card's.
    """
    card.check_file(model_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = {entry.name for entry in folder.iterdir()} - _OWN_NAMES
        if strange:
            raise IndexStorageError(
                f"{display_path(folder)} is no index and not empty, it holds {display_path(min(strange))}; "
                "choose another place for the index"
            )
        with catalog.writer_lock(folder):
            if catalog.is_index(folder):
                return
            (folder / SEGMENTS).mkdir(exist_ok=True)
            copy_model(folder, model_path, card)
            sync_folder(folder)
            sync_folder(folder.parent)
            meta: dict[str, str | bytes] = {
                "recipe": json.dumps(recipe.to_dict()),
                "model": stored_model(model),
                "uuid": str(uuid4()),
                "made_with": json.dumps(_versions()),
            }
            catalog.create(folder, meta, [stored_place(root, folder) for root in outermost(roots)])
    except OSError as error:
        raise IndexStorageError(f"index {display_path(folder)} cannot be made: {error}") from error


def _versions() -> dict[str, str]:
    """Name what made the index: last bits of features may differ between versions of OpenCV."""
    names = ("semcbir", "opencv-python-headless", "opencv-contrib-python-headless", "mahotas", "pillow")
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
