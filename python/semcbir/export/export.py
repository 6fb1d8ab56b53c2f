# SPDX-License-Identifier: MIT
"""From a torch network or a published checkpoint to an ONNX file and its card, checked before they are there.

torch and onnx are imported on use: without the extra ``export`` this module loads, and what needs it raises a
ModelError that says so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._files import PathLike
from semcbir.errors import ModelError
from semcbir.export.options import ExportOptions
from semcbir.networks.card import ModelCard
from semcbir.networks.draft import CardDraft

if TYPE_CHECKING:
    from torch import nn

    from semcbir.networks.published import PublishedModel

_WORKSHOP = ".semcbir-export-"
_STALE = 24 * 3600.0  # seconds


def export_model(
    model: PublishedModel, checkpoint: PathLike, output: PathLike, options: ExportOptions | None = None
) -> ModelCard:
    """Write the network of a published checkpoint as ``output`` (.onnx), its card beside it; return the card.

    ModelError where the checkpoint is not this model's (see ``checkpoints.load_weights``), and as
    ``export_network``.
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
    """Write a torch network on the CPU as ``output`` (.onnx), its card beside it (.json); return the card.

    The graph takes ``image``, uint8 (N, H, W, 3) RGB of any N, H and W, and normalises itself. Of kind
    "labels" it gives ``labels``, uint8 or, of more than 256 classes, uint16 (N, H, W), or by the label stride
    coarser; of kind "logits" ``scores``, float32 (N, C, h, w), as the network gives them.

    The float32 graph is compared with torch, on at most 16 photos or on generated pictures: labels must agree
    on 99.99 % of the pixels, and scores to 1e-3 of the largest one in the batch, or of 1 where that is less.
    The card's ``measured["export"]`` says what was measured and on what; for the other precisions, how far
    their labels agree with torch's in float32. Below 90 % fp16 is refused, as where values inside the network
    come near the end of half precision, and int8 is written with a "warning".

    The card travels in the file too, under ``semcbir.card`` of its metadata, less ``file``, ``sha256`` and
    ``measured``. The same network and calibration give the same bytes, whatever it is compared on, with the
    same torch, onnx and onnxruntime.

    ValueError for wrong arguments; ModelError where something cannot be read or done, or the graph is not the
    network: then nothing is written.
    """
    options = options or ExportOptions()
    target = _checked(output)
    from semcbir.export.workshop import Workshop

    # Beside the output, so that what is made there can be renamed into place.
    try:
        _sweep(target.parent)
        with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=target.parent) as folder:
            return Workshop(Path(folder), draft, options).make(network, target)
    except OSError as error:
        raise ModelError(f"{target}: cannot write the model: {error.strerror or error}") from error


def _checked(output: PathLike) -> Path:
    """Refuse, before the long work, what can be refused; return ``output`` as a path."""
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
    """Raise a ModelError where a package of the extra ``export`` is not installed."""
    if missing := [name for name in ("torch", "onnx") if find_spec(name) is None]:
        raise ModelError(
            f"exporting needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'semcbir[export]'"
        )


def _sweep(folder: Path) -> None:
    """Remove the workshops of exports that were killed: those not written to for a day."""
    for left in folder.glob(f"{_WORKSHOP}*"):
        try:
            stale = left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > _STALE
        except OSError:
            continue  # another export has removed it
        if stale:
            shutil.rmtree(left, ignore_errors=True)
