# SPDX-License-Identifier: MIT
"""Creating: an empty index, complete or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from uuid import uuid4

from semcbir._files import PathLike, display_path, reason, sync_folder
from semcbir._lock import PROBE
from semcbir.errors import IndexStorageError
from semcbir.extractor import Extractor
from semcbir.index import catalog
from semcbir.index.class_names import GROUPS, stored_groups
from semcbir.index.database import SEGMENTS, index_around, is_index, is_temporary, making
from semcbir.index.files import open_folder
from semcbir.index.model import copy_copied, copy_model, deep_of, stored_model
from semcbir.index.model_place import ENCODER, MODEL, PLACES, ModelPlace, has_model
from semcbir.index.roots import outermost
from semcbir.index.schema import fill
from semcbir.index.snapshot import RECIPE_SHA256, recipe_sha256
from semcbir.index.whereabouts import stored_place
from semcbir.networks.card_file import Card
from semcbir.networks.names import resolve_encoder

_OWN_NAMES = {SEGMENTS, *(place.key for place in PLACES), *catalog.FILES}
"""What an interrupted creation may have left in a folder that is not yet an index."""
_INHERITED = ("recipe", RECIPE_SHA256, *(place.key for place in PLACES), GROUPS, "made_with")
"""What an index that is like another has of that one's ``meta``."""
BUILDING = "building"
"""The catalogue's ``meta`` key that is there until a first refresh has read all photos."""


def create_index(
    folder: Path,
    roots: Iterable[Path],
    extractor: Extractor,
    more: Mapping[str, str] = {},
) -> None:
    """Make an empty index in ``folder``, which is new or empty; the catalogue comes last.

    ``roots`` are the folders that it will follow; ``extractor`` makes its signatures; ``more`` goes into the
    catalogue's ``meta``. Raises IndexStorageError if the folder holds other things or cannot be written,
    IndexLockedError if another process is making an index there, ModelError if a model file is not the one of
    its card.
    """
    recipe, models = extractor.recipe, _models(extractor)
    for _, path, card in models.values():
        card.check_file(path)
    text = json.dumps(recipe.to_dict())
    meta: dict[str, str | bytes] = {
        "recipe": text,
        RECIPE_SHA256: recipe_sha256(text),
        **{place.key: stored_model(name) for place, (name, _, _) in models.items()},
        **stored_groups(extractor.card),
        "made_with": json.dumps(_versions()),
        **more,
    }

    def copy_models() -> None:
        for place, (_, path, card) in models.items():
            copy_model(folder, place, path, card)

    _create(folder, roots, meta, copy_models)


def create_like(folder: Path, roots: Iterable[Path], other: Path, more: Mapping[str, str]) -> None:
    """Make an empty index like the one at ``other``, whose models need not be here; otherwise the same."""
    with catalog.read(other) as opened:
        meta = {key: value for key in _INHERITED if (value := opened.meta(key)) is not None}

    def copy_models() -> None:
        for place in PLACES:
            if has_model(other, place):
                copy_copied(other, folder, place)

    _create(folder, roots, {**meta, **more}, copy_models)


def _create(
    folder: Path, roots: Iterable[Path], meta: Mapping[str, str | bytes], copy_models: Callable[[], None]
) -> None:
    require_room(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with catalog.writer_lock(folder):
            if is_index(folder):
                return
            with open_folder(folder / SEGMENTS, create=True):
                pass
            copy_models()
            sync_folder(folder)
            sync_folder(folder.parent)
            # The roots are in it from the start, so that a run cut off before its first batch can be resumed.
            places = [stored_place(root, folder) for root in outermost(roots)]
            with making(folder) as connection:
                fill(connection, {**meta, "uuid": str(uuid4()), BUILDING: "1"}, places)
    except OSError as error:
        raise IndexStorageError(f"index {display_path(folder)} cannot be made: {reason(error)}") from error


def require_room(folder: Path) -> None:
    """Raise IndexStorageError unless an index can be made at ``folder``, which is not one yet."""
    other = "choose another place for the index"
    if folder.exists() and not folder.is_dir():
        raise IndexStorageError(f"{display_path(folder)} is a file, and an index is a folder; {other}")
    if around := index_around(folder.parent):
        raise IndexStorageError(f"{display_path(folder)} is inside the index {display_path(around)}; {other}")
    try:
        strange = {name for entry in folder.iterdir() if not _is_own(name := entry.name)}
    except FileNotFoundError:
        return
    except OSError as error:
        raise IndexStorageError(f"index {display_path(folder)} cannot be made: {reason(error)}") from error
    if strange:
        raise IndexStorageError(
            f"{display_path(folder)} is neither an index nor empty: it holds {display_path(min(strange))}; "
            f"{other}"
        )


def _models(extractor: Extractor) -> dict[ModelPlace, tuple[PathLike, Path, Card]]:
    """Return the user's name for each model, its ONNX file and its card."""
    models: dict[ModelPlace, tuple[PathLike, Path, Card]] = {
        MODEL: (extractor.model, extractor.model_path, extractor.card)
    }
    if deep := deep_of(extractor.recipe):
        path, card = resolve_encoder(deep.path)
        models[ENCODER] = (deep.source or path, path, card)
    return models


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
    # Searches import this module too, and this one takes 10 ms.
    from importlib.metadata import PackageNotFoundError, version

    names = ("semcbir", "opencv-python-headless", "opencv-contrib-python-headless", "mahotas", "pillow")
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
