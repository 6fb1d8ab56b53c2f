# SPDX-License-Identifier: MIT
"""From what a user calls a model to its files."""

from __future__ import annotations

import os
from pathlib import Path

from semcbir.errors import ModelError
from semcbir.models.card import ModelCard


def resolve(model: str | os.PathLike[str]) -> tuple[Path, ModelCard]:
    """The ONNX file of ``model`` and its card.

    ``model`` is an ``.onnx`` file with its card beside it under the same name with ``.json``, or a card.
    Whether the file is the one that the card describes is left to ``ModelCard.check_file``. ModelError
    where a file is missing or ``model`` is neither.
    """
    path = Path(model)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return _existing(path), _card_beside(path)
    if suffix == ".json":
        card = ModelCard.load(path)
        return _existing(path.parent / card.file), card
    raise ModelError(
        f"{str(model)!r} is not a model: expected an .onnx file with its card (.json) beside it, or the card"
    )


def _existing(onnx: Path) -> Path:
    if not onnx.is_file():
        raise ModelError(f"{onnx}: no such model file")
    return onnx


def _card_beside(onnx: Path) -> ModelCard:
    card = onnx.with_suffix(".json")
    if not card.is_file():
        raise ModelError(f"{onnx}: its model card {card.name} is not beside it")
    return ModelCard.load(card)
