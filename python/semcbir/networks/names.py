# SPDX-License-Identifier: MIT
"""Find the files of the model or encoder that a user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from semcbir._files import expanded, file_kind
from semcbir.errors import ModelError
from semcbir.networks.cache import cache_folder, exported_file, exports, parse_name
from semcbir.networks.card import ModelCard
from semcbir.networks.card_file import Card, ModelKind, a_model, card_kind
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.packaged import DEFAULT, DEFAULT_ENCODER, PACKAGED, PackagedEncoder

if TYPE_CHECKING:
    from semcbir.networks.projection import Projection

_SHIPPED = Path(__file__).with_name("shipped")
_WHAT = {"segmentation": "a model", "encoder": "an encoder"}
_OPTION = {"segmentation": "--model", "encoder": "--encoder"}

_C = TypeVar("_C", bound=Card)


def resolve(model: str | os.PathLike[str] | None = None) -> tuple[Path, ModelCard]:
    """Return the ONNX file of the segmentation model ``model``, and its card.

    - None or "default": the small model that ships with the package
    - a published name (``semcbir models list``), or the name of an export such as ``NAME-int8``: the model
      that ``semcbir models fetch`` put into the user's cache
    - a path: an ``.onnx`` file whose card has the same name with ``.json``, or such a card

    A name has neither a suffix nor a separator. ``ModelCard.check_file`` checks that the file is the one that
    the card describes. Raises ModelError if a file is missing, or ``model`` is an encoder or none of the
    above.
    """
    if model is None:
        return _shipped()
    if at := _at_path(ModelCard, model, "model"):
        return at
    if str(model) == DEFAULT:
        return _shipped()
    if str(model) in PACKAGED:
        raise _wrong_kind(str(model), "encoder")
    return _fetched(ModelCard, str(model))


def resolve_encoder(
    encoder: str | os.PathLike[str] | None = None, *, argument: str = "encoder"
) -> tuple[Path, EncoderCard]:
    """Return the ONNX file of the encoder ``encoder``, and its card.

    - None or "efficientnet-lite0": the default encoder, made from the weights in an installed package
    - the name of another such encoder, or of a published one, as for ``resolve``
    - a path, as for ``resolve``

    ``argument`` is what the caller's argument is called. Raises ModelError if a file or package is missing,
    or ``encoder`` is a segmentation model or none of the above.
    """
    if encoder is None:
        return _packaged(PACKAGED[DEFAULT_ENCODER])
    if at := _at_path(EncoderCard, encoder, argument):
        return at
    if str(encoder) == DEFAULT:
        raise _wrong_kind(DEFAULT, "segmentation")
    if packaged := PACKAGED.get(str(encoder)):
        return _packaged(packaged)
    return _fetched(EncoderCard, str(encoder))


def card_at(model: str) -> ModelCard | EncoderCard | None:
    """Return the card of the model or encoder at the path ``model``, of whatever kind; None if it is a name.

    A path is as for ``resolve``. Raises ModelError if a file is missing, or the card is wrong.
    """
    if is_name(model):
        return None
    path = Path(expanded(model, "model") if model else "")
    is_file = path.suffix.lower() in (".onnx", ".json")  # an empty path, ".", "/" cannot get a suffix
    if is_file and (beside := path.with_suffix(".json")).is_file() and card_kind(beside) == "encoder":
        found: tuple[Path, ModelCard | EncoderCard] | None = _at_path(EncoderCard, model, "model")
    else:
        found = _at_path(ModelCard, model, "model")
    return found[1] if found else None


def cached(kind: type[Card], sha256: str) -> Path | None:
    """Return the file in the user's cache that has a card of ``kind`` with this ``sha256``, or None.

    Of several, it is the first by name; whether its bytes are those of the card is not checked.
    """
    try:
        folders = [cache_folder() / name for name in ("models", "encoders")]
    except RuntimeError:  # users have no home
        return None
    for beside in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            card = kind.load(beside)
        except ModelError:
            continue  # of another kind, or damaged
        if card.sha256 == sha256 and (onnx := beside.parent / card.file).is_file():
            return onnx
    return None


def is_name(model: str | os.PathLike[str]) -> bool:
    """Return whether ``model`` can only be a name, and not a path."""
    text = os.fspath(model)
    return bool(text) and not any(sign in text for sign in "./\\:")


def _at_path(kind: type[_C], model: str | os.PathLike[str], argument: str) -> tuple[Path, _C] | None:
    """Return the file and the card if ``model`` is a path, None if it is a name; ModelError for neither."""
    path = Path(expanded(model, argument) if model != "" else "")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return _existing(path), _card_beside(kind, path)
    if suffix == ".json":
        card = kind.load(path)
        return _existing(path.parent / card.file), card
    if is_name(model):
        return None
    named = repr(str(model)) if str(model) else "an empty name"
    raise ModelError(
        f"{named} is not {_WHAT[kind.kind]}: expected an .onnx file with its card (.json) beside it, "
        "the card, or a name of `semcbir models list`"
    )


def _wrong_kind(name: str, kind: ModelKind) -> ModelError:
    """Return the error for the ``name`` of a model of ``kind`` in the place of one of the other kind."""
    other: ModelKind = "encoder" if kind == "segmentation" else "segmentation"
    return ModelError(
        f"{name} is {a_model(kind)}, expected {a_model(other)}: {_OPTION[kind]} takes it, {_OPTION[other]} "
        f"takes what `semcbir models list` shows as {other}"
    )


def _shipped() -> tuple[Path, ModelCard]:
    onnx = _SHIPPED / f"{DEFAULT}.onnx"
    if not onnx.is_file():
        raise ModelError(
            "this copy of semcbir comes without a model; choose one with --model, or fetch a published one "
            "(`semcbir models list`)"
        )
    return onnx, _card_beside(ModelCard, onnx)


def _packaged(encoder: PackagedEncoder) -> tuple[Path, EncoderCard]:
    """Return the encoder that is made from the weights in an installed package, made once."""
    from semcbir.networks.made_encoders import encoder_file  # it imports NumPy

    return encoder_file(encoder.name, _projection(encoder))


def _projection(encoder: PackagedEncoder) -> Projection | None:
    """Return the projection that ships for an encoder, or None if there is none."""
    from semcbir.networks.projection import Projection

    path = _SHIPPED / f"{encoder.name}.npz"
    return Projection.load(path) if path.is_file() else None


def _fetched(kind: type[_C], name: str) -> tuple[Path, _C]:
    """Return the export called ``name`` in the user's cache."""
    model, full = parse_name(name, kind.kind)
    if model.kind != kind.kind:
        raise _wrong_kind(name, model.kind)
    cache = cache_folder()
    onnx = exported_file(cache, full)
    if onnx.is_file():
        return onnx, _card_beside(kind, onnx)
    there = exports(cache, model.name)
    others = f" ({' and '.join(there)} {'is' if len(there) == 1 else 'are'} there)" if there else ""
    raise ModelError(
        f"the {'encoder' if model.kind == 'encoder' else 'model'} {full} is not on this machine yet{others}: "
        f"`semcbir models fetch {model.name}` downloads and exports it, `semcbir models export {model.name}` "
        "takes a checkpoint that you have"
    )


def _existing(onnx: Path) -> Path:
    if not onnx.is_file():
        there = onnx.exists()
        what = f"is {file_kind(onnx.stat().st_mode)}, not a file" if there else "no such model file"
        raise ModelError(f"{onnx}: {what}")
    return onnx


def _card_beside(kind: type[_C], onnx: Path) -> _C:
    card = onnx.with_suffix(".json")
    if not card.is_file():
        raise ModelError(f"{onnx}: its model card {card.name} is not beside it")
    return kind.load(card)
