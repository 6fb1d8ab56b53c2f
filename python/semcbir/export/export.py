# SPDX-License-Identifier: MIT
"""Write a torch network or a published checkpoint as an ONNX file with its card, after checking both.

torch and onnx are imported when they are used: without the extra ``export`` this module can be imported, and
its functions raise a ModelError that says what is missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from semcbir._files import PathLike
from semcbir.errors import ModelError
from semcbir.export.options import ExportOptions
from semcbir.networks.card import ModelCard
from semcbir.networks.card_file import Card
from semcbir.networks.draft import CardDraft, EncoderDraft
from semcbir.networks.encoder_card import EncoderCard

if TYPE_CHECKING:
    from torch import nn

    from semcbir.networks.published import PublishedEncoder, PublishedModel

_C = TypeVar("_C", bound=Card)

_WORKSHOP = ".semcbir-export-"
_STALE = 24 * 3600.0  # seconds


def export_model(
    model: PublishedModel, checkpoint: PathLike, output: PathLike, options: ExportOptions | None = None
) -> ModelCard:
    """Write a published checkpoint as ``output`` (.onnx), with its card beside it; return the card.

    Raises ModelError if the checkpoint is not this model's (see ``checkpoints.load_weights``), and as
    ``export_network`` does.
    """
    options = options or ExportOptions()
    target = _checked(output)
    from semcbir.export.cards import draft_of
    from semcbir.export.checkpoints import load_checkpoint

    options.on_step(f"reading {os.fspath(checkpoint)}")
    network, report = load_checkpoint(checkpoint, model)
    for note in report.notes:
        options.on_step(note)
    return export_network(network, draft_of(model, report), target, options)


def export_network(
    network: nn.Module, draft: CardDraft, output: PathLike, options: ExportOptions | None = None
) -> ModelCard:
    """Write a torch network on the CPU as ``output`` (.onnx), with its card beside it; return the card.

    The graph takes ``image``, uint8 (N, H, W, 3) RGB of any N, H and W, and normalises it. For the kind
    "labels" it gives ``labels`` (N, H, W), coarser by the label stride if there is one: uint8, or uint16 for
    more than 256 classes. For the kind "logits" it gives ``scores``, float32 (N, C, h, w), just as the
    network gives them.

    The float32 graph is compared with torch, on at most 16 photos or on generated pictures: labels must agree
    on 99.99 % of the pixels, and scores to 1e-3 of the largest in the batch (or of 1 if that is larger). The
    card's ``measured["export"]`` records the measurements and what they were made on; for fp16 and int8 also
    how many labels agree with torch's in float32. Below 90 %, fp16 is refused, and int8 is written with a
    "warning". fp16 is also refused if values inside the network come near the limit of half precision.

    A copy of the card, without ``file``, ``sha256`` and ``measured``, is in the file's metadata under
    ``semcbir.card``. With the same versions of torch, onnx and onnxruntime, the same network and calibration
    give the same bytes, whatever the comparison was made on.

    Raises ValueError for wrong arguments, and ModelError if something cannot be read or done, or if the graph
    does not match the network; then nothing is written.
    """
    options = options or ExportOptions()
    target = _checked(output)
    from semcbir.export.workshop import Workshop

    return _made(target, lambda folder: Workshop(folder, draft, options).make(network, target))


def export_published_encoder(
    encoder: PublishedEncoder, checkpoint: PathLike, output: PathLike, options: ExportOptions | None = None
) -> EncoderCard:
    """Write a published checkpoint as ``output`` (.onnx), with its card beside it; return the card.

    Raises ModelError if the checkpoint is not this encoder's (see ``encoder_checkpoints.load_encoder``), and
    as ``export_encoder`` does.
    """
    options = _for_encoders(options)
    target = _checked(output)
    from semcbir.export.cards import encoder_draft_of
    from semcbir.export.encoder_checkpoints import load_encoder

    options.on_step(f"reading {os.fspath(checkpoint)}")
    network, sha256 = load_encoder(checkpoint, encoder)
    return export_encoder(network, encoder_draft_of(encoder, sha256), target, options)


def export_encoder(
    network: nn.Module, draft: EncoderDraft, output: PathLike, options: ExportOptions | None = None
) -> EncoderCard:
    """Write an encoder in torch, on the CPU, as ``output`` (.onnx), with its card beside it; return the card.

    The graph takes ``image``, uint8 (N, side, side, 3) RGB of any N, and normalises it; it gives ``grid``,
    float32 (N, dim, h, w), just as the network does. It is compared with torch as in ``export_network``:
    numbers may differ by 1e-3 of the largest of their photo, and in fp16 by 0.05 of it. fp16 is also refused
    if values inside the network come near the limit of half precision. The card's ``measured["export"]`` says
    by how much they differed.

    Of ``options``, ``photos``, ``on_step`` and the precisions fp32 and fp16 count. Raises ModelError if
    another is not the default, if something cannot be read or done, or if the graph does not match the
    network; then nothing is written.
    """
    options = _for_encoders(options)
    target = _checked(output)
    from semcbir.export.encoders import make_encoder

    return _made(target, lambda folder: make_encoder(network, draft, target, folder, options))


def _for_encoders(options: ExportOptions | None) -> ExportOptions:
    """Return ``options``; ModelError if they ask for what an encoder does not have."""
    options = options or ExportOptions()
    if options.precision == "int8":
        raise ModelError("precision: expected fp32 or fp16 for an encoder, got int8")
    if (options.kind, options.label_stride) != ("labels", 1):
        raise ModelError("an encoder gives a grid of vectors, in full: it has no kind and no label_stride")
    return options


def _made(target: Path, make: Callable[[Path], _C]) -> _C:
    """Call ``make`` with a folder on the file system of ``target``, so that files can be renamed into place.

    Raises ModelError if something cannot be written.
    """
    try:
        _sweep(target.parent)
        with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=target.parent) as folder:
            return make(Path(folder))
    except OSError as error:
        raise ModelError(f"{target}: cannot write the model: {error.strerror or error}") from error


def _checked(output: PathLike) -> Path:
    """Refuse what can be refused before the long work; return ``output`` as a path."""
    target = Path(output)
    if target.suffix.lower() != ".onnx":
        raise ModelError(f"{target}: expected the name of an .onnx file to write")
    if target.is_dir():
        raise ModelError(f"{target}: this is a folder, expected the name of an .onnx file to write")
    if not target.parent.is_dir():
        raise ModelError(f"{target}: there is no folder {target.parent} to write into")
    check_packages()
    return target


def check_packages() -> None:
    """Raise a ModelError if a package of the extra ``export`` is not installed."""
    if missing := [name for name in ("torch", "onnx") if find_spec(name) is None]:
        raise ModelError(
            f"exporting needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'semcbir[export]'"
        )


def _sweep(folder: Path) -> None:
    """Remove what exports that were killed left behind: folders not written to for a day."""
    for left in folder.glob(f"{_WORKSHOP}*"):
        try:
            stale = left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > _STALE
        except OSError:
            continue  # another export has removed it
        if stale:
            shutil.rmtree(left, ignore_errors=True)
