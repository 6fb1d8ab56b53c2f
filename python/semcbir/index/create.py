# SPDX-License-Identifier: MIT
"""Creating: an empty index, complete or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from semcbir._files import display_path, reason, sync_folder
from semcbir._lock import PROBE
from semcbir.errors import IndexStorageError
from semcbir.index import catalog
from semcbir.index.database import SEGMENTS, is_index, is_temporary, making
from semcbir.index.files import open_folder
from semcbir.index.model import MODEL_FILE, copy_model, stored_model
from semcbir.index.roots import outermost, stored_place
from semcbir.index.schema import fill
from semcbir.index.snapshot import RECIPE_SHA256, recipe_sha256
from semcbir.networks.card import ModelCard
from semcbir.recipe import Recipe

_OWN_NAMES = {SEGMENTS, Path(MODEL_FILE).parent.name, *catalog.FILES}
"""What an interrupted creation may have left in a folder that is not yet an index."""
BUILDING = "building"
"""The catalogue's ``meta`` key that is there until a first refresh has read all photos."""


def create_index(
    folder: Path,
    roots: Iterable[Path],
    recipe: Recipe,
    model: str | os.PathLike[str],
    model_path: Path,
    card: ModelCard,
) -> None:
    """Make an empty index in ``folder``, which is new or empty; the catalogue comes last.

    ``roots`` are the folders that it will follow; ``model`` is the user's name for the model whose ONNX file
    is ``model_path``. Raises IndexStorageError if the folder holds other things or cannot be written,
    IndexLockedError if another process is making an index there, ModelError if the model file is not the one
    of its card.
    """
    card.check_file(model_path)
    if folder.exists() and not folder.is_dir():
        raise IndexStorageError(
            f"{display_path(folder)} is a file, and an index is a folder; choose another place for the index"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = {name for entry in folder.iterdir() if not _is_own(name := entry.name)}
        if strange:
            raise IndexStorageError(
                f"{display_path(folder)} is neither an index nor empty: it holds "
                f"{display_path(min(strange))}; "
                "choose another place for the index"
            )
        with catalog.writer_lock(folder):
            if is_index(folder):
                return
            with open_folder(folder / SEGMENTS, create=True):
                pass
            copy_model(folder, model_path, card)
            sync_folder(folder)
            sync_folder(folder.parent)
            text = json.dumps(recipe.to_dict())
            meta: dict[str, str | bytes] = {
                "recipe": text,
                RECIPE_SHA256: recipe_sha256(text),
                "model": stored_model(model),
                "uuid": str(uuid4()),
                "made_with": json.dumps(_versions()),
                BUILDING: "1",
            }
            # The roots are in it from the start, so that a run cut off before its first batch can be resumed.
            with making(folder) as connection:
                fill(connection, meta, [stored_place(root, folder) for root in outermost(roots)])
    except OSError as error:
        raise IndexStorageError(f"index {display_path(folder)} cannot be made: {reason(error)}") from error


def is_building(folder: Path) -> bool:
    """Return whether no refresh has read all photos of the index at ``folder`` yet."""
    with catalog.read(folder) as opened:
        return opened.meta(BUILDING) is not None


def finish_building(opened: catalog.Catalog) -> None:
    """Note that a refresh has read all photos."""
    if opened.meta(BUILDING) is not None:
        with opened.changes():
            opened.forget(BUILDING)


def _is_own(name: str) -> bool:
    return name in _OWN_NAMES or is_temporary(name) or name.startswith(PROBE)


def _versions() -> dict[str, str]:
    """Return the versions that made the index: features' last bits may differ between OpenCV versions."""
    names = ("semcbir", "opencv-python-headless", "opencv-contrib-python-headless", "mahotas", "pillow")
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
