# SPDX-License-Identifier: MIT
"""Find the files of the model that a user names."""

from __future__ import annotations

import os
from pathlib import Path

from semcbir._files import expanded, file_kind
from semcbir.errors import ModelError
from semcbir.networks.cache import cache_folder, exported_file, exports, parse_name
from semcbir.networks.card import ModelCard
from semcbir.networks.published import DEFAULT

_SHIPPED = Path(__file__).with_name("shipped")


def resolve(model: str | os.PathLike[str] | None = None) -> tuple[Path, ModelCard]:
    """Return the ONNX file of ``model``, and its card.

    - None or "default": the small model that ships with the package
    - a published name (``semcbir models list``), or the name of an export such as ``NAME-int8``: the model
      that ``semcbir models fetch`` put into the user's cache
    - a path: an ``.onnx`` file whose card has the same name with ``.json``, or such a card

    A name has neither a suffix nor a separator. ``ModelCard.check_file`` checks that the file is the one that
    the card describes. Raises ModelError if a file is missing or ``model`` is none of the above.
    """
    if model is None:
        return _shipped()
    path = Path(expanded(model, "model") if model != "" else "")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return _existing(path), _card_beside(path)
    if suffix == ".json":
        card = ModelCard.load(path)
        return _existing(path.parent / card.file), card
    if is_name(model):
        return _shipped() if str(model) == DEFAULT else _fetched(str(model))
    raise ModelError(
        f"{str(model)!r} is not a model: expected an .onnx file with its card (.json) beside it, the card, "
        "or a name of `semcbir models list`"
    )


def is_name(model: str | os.PathLike[str]) -> bool:
    """Return whether ``model`` can only be a name, and not a path."""
    text = os.fspath(model)
    return bool(text) and not any(sign in text for sign in "./\\:")


def _shipped() -> tuple[Path, ModelCard]:
    onnx = _SHIPPED / f"{DEFAULT}.onnx"
    if not onnx.is_file():
        raise ModelError(
            "this copy of semcbir comes without a model; choose one with --model, or fetch a published one "
            "(`semcbir models list`)"
        )
    return onnx, _card_beside(onnx)


def _fetched(name: str) -> tuple[Path, ModelCard]:
    """Return the export called ``name`` in the user's cache."""
    model, full = parse_name(name)
    cache = cache_folder()
    onnx = exported_file(cache, full)
    if onnx.is_file():
        return onnx, _card_beside(onnx)
    there = exports(cache, model.name)
    others = f" ({' and '.join(there)} {'is' if len(there) == 1 else 'are'} there)" if there else ""
    raise ModelError(
        f"the model {full} is not on this machine yet{others}: `semcbir models fetch {model.name}` downloads "
        f"and exports it, `semcbir models export {model.name}` takes a checkpoint that you have"
    )


def _existing(onnx: Path) -> Path:
    if not onnx.is_file():
        there = onnx.exists()
        what = f"is {file_kind(onnx.stat().st_mode)}, not a file" if there else "no such model file"
        raise ModelError(f"{onnx}: {what}")
    return onnx


def _card_beside(onnx: Path) -> ModelCard:
    card = onnx.with_suffix(".json")
    if not card.is_file():
        raise ModelError(f"{onnx}: its model card {card.name} is not beside it")
    return ModelCard.load(card)
