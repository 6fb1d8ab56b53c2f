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
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcbir._files import file_sha256, sync_file, sync_folder
from semcbir._validate import check_choice
from semcbir.errors import ModelError
from semcbir.export import cards
from semcbir.export.cards import NetworkSpec
from semcbir.networks.card import ModelCard
from semcbir.networks.specs import KINDS, PRECISIONS, Kind, Precision

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from semcbir.export.verify import Comparison, Expected
    from semcbir.networks.published import PublishedModel

OnStep = Callable[[str], None]

_WORKSHOP = ".semcbir-export-"
_STALE = 24 * 3600.0  # seconds

__all__ = ["NetworkSpec", "check_packages", "export_model", "export_network"]


def export_model(
    model: PublishedModel,
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    precision: Precision = "fp32",
    kind: Kind = "labels",
    photos: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> ModelCard:
    """Write the network of a published checkpoint as ``output`` (.onnx), its card beside it; return the card.

    The other parameters are those of ``export_network``. ModelError where the checkpoint is not this model's
    (see ``checkpoints.load_weights``), and as ``export_network``.
    """
    target = _checked(output, precision, kind, calibration)
    from semcbir.export.checkpoints import load_checkpoint

    step = on_step or _silent
    step(f"reading {os.fspath(checkpoint)}")
    network, report = load_checkpoint(checkpoint, model)
    for note in report.notes:
        step(note)
    return export_network(
        network,
        cards.spec_of(model, report),
        target,
        precision=precision,
        kind=kind,
        photos=photos,
        calibration=calibration,
        on_step=on_step,
    )


def export_network(
    network: nn.Module,
    spec: NetworkSpec,
    output: str | os.PathLike[str],
    *,
    precision: Precision = "fp32",
    kind: Kind = "labels",
    photos: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> ModelCard:
    """Write a torch network on the CPU as ``output`` (.onnx), its card beside it (.json); return the card.

    The graph takes ``image``, uint8 (N, H, W, 3) RGB of any N, H and W, and normalises itself. ``kind``
    "labels": it gives ``labels``, uint8 or, of more than 256 classes, uint16 (N, H, W), or by
    ``spec.label_stride`` coarser. "logits": ``scores``, float32 (N, C, h, w), as the network gives them.
    ``precision``: "fp16" is for CUDA, "int8" for the CPU; int8 needs ``calibration``, a folder of photos.

    The float32 graph is compared with torch, on at most 16 photos of the folder ``photos`` or on generated
    pictures: labels must agree on 99.99 % of the pixels, and scores to 1e-3 of the largest one in the batch,
    or of 1 where that is less. The card's ``measured["export"]`` says what was measured and on what; for the
    other precisions, how far their labels agree with torch's in float32. Below 90 % fp16 is refused, as where
    values inside the network come near the end of half precision, and int8 is written with a "warning".

    The card travels in the file too, under ``semcbir.card`` of its metadata, less ``file``, ``sha256`` and
    ``measured``. The same network and calibration give the same bytes, whatever it is compared on, with the
    same torch, onnx and onnxruntime.

    ``on_step`` is called with a sentence before every step. ValueError for wrong arguments; ModelError where
    something cannot be read or done, or the graph is not the network: then nothing is written.
    """
    target = _checked(output, precision, kind, calibration)
    cards.card_of(spec, kind, spec.measured, target.name)  # refuses before the long work
    from semcbir.export.photos import pictures

    step = on_step or _silent
    # Beside the output, so that what is made there can be renamed into place.
    try:
        _sweep(target.parent)
        with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=target.parent) as folder:
            workshop = Path(folder)
            chosen = pictures(None if photos is None else Path(photos), spec.size)
            model, expected, comparison = _float32(network, spec, chosen.images, workshop, step)
            measured = cards.conditions(chosen.what, expected, precision) | cards.figures(comparison)
            if precision != "fp32":
                model, comparison, notes = _reduced(
                    model,
                    spec,
                    expected,
                    precision,
                    None if calibration is None else Path(calibration),
                    workshop,
                    step,
                )
                measured |= notes | {"labels_identical": cards.rounded(comparison.identical)}
            return _finished(model, spec, kind, measured, expected, target, workshop, step)
    except OSError as error:
        raise ModelError(f"{target}: cannot write the model: {error.strerror or error}") from error


def _checked(output: str | os.PathLike[str], precision: str, kind: str, calibration: Any) -> Path:
    """Refuse, before the long work, what can be refused; return ``output`` as a path."""
    check_choice("precision", precision, PRECISIONS)
    check_choice("kind", kind, KINDS)
    target = Path(output)
    if target.suffix.lower() != ".onnx":
        raise ModelError(f"{target}: expected the name of an .onnx file to write")
    if target.is_dir():
        raise ModelError(f"{target}: this is a folder, expected the name of an .onnx file to write")
    if not target.parent.is_dir():
        raise ModelError(f"{target}: there is no folder {target.parent} to write into")
    if (precision == "int8") != (calibration is not None):
        needs = (
            "needs a folder of photos to calibrate with" if calibration is None else "takes no calibration"
        )
        raise ModelError(f"precision {precision} {needs}")
    check_packages()
    return target


def check_packages() -> None:
    """Raise a ModelError where a package of the extra ``export`` is not installed."""
    if missing := [name for name in ("torch", "onnx") if find_spec(name) is None]:
        raise ModelError(
            f"exporting needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'semcbir[export]'"
        )


def _float32(
    network: nn.Module, spec: NetworkSpec, images: Any, workshop: Path, step: OnStep
) -> tuple[onnx.ModelProto, Expected, Comparison]:
    """Export with scores and labels, and compare both with torch."""
    from semcbir.export import verify
    from semcbir.export.graph import Reference, Wrapping, export_graph

    wrapping = Wrapping(
        mean=spec.mean,
        std=spec.std,
        final_align_corners=spec.final_align_corners,
        label_stride=spec.label_stride,
    )
    network = network.eval()
    step("exporting the network")
    model = export_graph(network, wrapping, len(spec.classes), workshop)
    step(f"comparing it with torch on {len(images)} pictures")
    expected = verify.Expected.of(Reference(network, wrapping), images, spec.size)
    comparison = verify.compare(verify.open_cpu(model, workshop), expected)
    verify.check(comparison)
    step(f"{comparison.identical:.2%} of the labels are torch's")
    return model, expected, comparison


def _reduced(
    model: onnx.ModelProto,
    spec: NetworkSpec,
    expected: Expected,
    precision: Precision,
    calibration: Path | None,
    workshop: Path,
    step: OnStep,
) -> tuple[onnx.ModelProto, Comparison, dict[str, Any]]:
    """Make the float32 graph one of another precision, and measure how its labels agree."""
    from semcbir.export import verify
    from semcbir.export.fp16 import to_fp16
    from semcbir.export.int8 import Calibration, to_int8

    notes: dict[str, Any] = {}
    if precision == "fp16" or calibration is None:
        step("converting it to half precision")
        half = to_fp16(model)
        notes["fp32_largest_value"] = verify.check_range(model, expected, workshop)
        model = half
    else:
        step(f"quantising it to 8 bits with the photos in {calibration}")
        photos = Calibration(calibration, spec.size)
        model = to_int8(model, photos, workshop)
        notes["calibration"] = f"{photos.count} photo{'s' if photos.count > 1 else ''}"
    step(f"comparing {precision} with torch")
    comparison = verify.compare(verify.open_cpu(model, workshop), expected)
    step(f"{comparison.identical:.2%} of the labels are torch's")
    if warning := verify.check_reduced(comparison, precision):
        step(f"WARNING: {warning}")
        notes["warning"] = warning
    return model, comparison, notes


def _finished(
    model: onnx.ModelProto,
    spec: NetworkSpec,
    kind: Kind,
    measured: dict[str, Any],
    expected: Expected,
    target: Path,
    workshop: Path,
    step: OnStep,
) -> ModelCard:
    """Keep the output asked for, add the card, run the very file once, and put both files in place."""
    from semcbir.export import verify
    from semcbir.export.graph import LABELS, SCORES, with_outputs

    model = with_outputs(model, [LABELS if kind == "labels" else SCORES])
    card = cards.card_of(spec, kind, dict(spec.measured) | {"export": measured}, target.name)
    cards.sign(model, card)
    file = workshop / "model.onnx"
    file.write_bytes(model.SerializeToString(deterministic=True))
    step("running the finished file")
    final = verify.compare(verify.open_cpu(file, workshop), expected)
    if abs(final.identical - measured["labels_identical"]) > 1 - verify.MIN_IDENTICAL:
        raise ModelError(
            f"{target}: the finished file gives other labels than its parts; nothing was written"
        )
    card = replace(card, sha256=file_sha256(file))
    card.save(workshop / "card.json")
    step(f"writing {target}")
    _put(file, target)
    _put(workshop / "card.json", target.with_suffix(".json"))
    return card


def _sweep(folder: Path) -> None:
    """Remove the workshops of exports that were killed: those not written to for a day."""
    for left in folder.glob(f"{_WORKSHOP}*"):
        try:
            stale = left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > _STALE
        except OSError:
            continue  # another export has removed it
        if stale:
            shutil.rmtree(left, ignore_errors=True)


def _put(made: Path, place: Path) -> None:
    sync_file(made)
    made.replace(place)
    sync_folder(place.parent)


def _silent(_: str) -> None:
    pass
