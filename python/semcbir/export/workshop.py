# SPDX-License-Identifier: MIT
"""The steps of an export: graph, comparison with torch, other precisions, card, both files in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import onnx
from torch import nn

from semcbir._files import file_sha256, sync_file, sync_folder
from semcbir.errors import ModelError
from semcbir.export import cards, verify
from semcbir.export.fp16 import to_fp16
from semcbir.export.graph import LABELS, SCORES, Reference, Wrapping, export_graph, with_outputs
from semcbir.export.int8 import Calibration, to_int8
from semcbir.export.options import ExportOptions
from semcbir.export.photos import Image, pictures
from semcbir.export.verify import Comparison, Expected
from semcbir.networks.card import ModelCard
from semcbir.networks.card_file import Card
from semcbir.networks.draft import CardDraft

_C = TypeVar("_C", bound=Card)


class Workshop:
    """The folder of one export: everything is made there, and moved out once it has been checked."""

    def __init__(self, folder: Path, draft: CardDraft, options: ExportOptions) -> None:
        self.folder, self.draft, self.options = folder, draft, options

    def make(self, network: nn.Module, target: Path) -> ModelCard:
        """Make and measure the graph, and put it and its card in place; see ``export_network``."""
        # Refuse what a card cannot say before the long work.
        cards.card_of(self.draft, self.options.kind, self.draft.measured, target.name)

        photos, precision = self.options.photos, self.options.precision
        chosen = pictures(None if photos is None else Path(photos), self.draft.size)
        model, expected, comparison = self._float32(network, chosen.images)
        measured = cards.conditions(chosen.what, expected.sizes, precision) | cards.figures(comparison)
        if precision != "fp32":
            model, comparison, notes = self._reduced(model, expected)
            measured |= notes | {"labels_identical": cards.rounded(comparison.identical)}
        return self._finished(model, measured, expected, target)

    def _float32(
        self, network: nn.Module, images: Sequence[Image]
    ) -> tuple[onnx.ModelProto, Expected, Comparison]:
        """Export with scores and labels, and compare both with torch."""
        step, draft = self.options.on_step, self.draft
        wrapping = Wrapping(
            mean=draft.mean,
            std=draft.std,
            align_corners=draft.align_corners,
            label_stride=self.options.label_stride,
        )
        network = network.eval()
        step("exporting the model")
        model = export_graph(network, wrapping, len(draft.classes), self.folder)
        step(f"comparing it with torch on {len(images)} pictures")
        expected = verify.Expected.of(Reference(network, wrapping), images, draft.size)
        comparison = verify.compare(verify.open_cpu(model, self.folder), expected)
        verify.check(comparison)
        step(f"{comparison.identical:.2%} of the labels are torch's")
        return model, expected, comparison

    def _reduced(
        self, model: onnx.ModelProto, expected: Expected
    ) -> tuple[onnx.ModelProto, Comparison, dict[str, Any]]:
        """Convert the float32 graph to the other precision, and measure how well its labels agree."""
        step, calibration = self.options.on_step, self.options.calibration
        notes: dict[str, Any] = {}
        if calibration is None:
            step("converting it to half precision")
            half = to_fp16(model)
            notes["fp32_largest_value"] = verify.check_range(model, expected.batches, self.folder)
            model = half
        else:
            step(f"quantising it to 8 bits with the photos in {calibration}")
            photos = Calibration(Path(calibration), self.draft.size)
            model = to_int8(model, photos, self.folder)
            notes["calibration"] = f"{photos.count} photo{'s' if photos.count > 1 else ''}"
        step(f"comparing {self.options.precision} with torch")
        comparison = verify.compare(verify.open_cpu(model, self.folder), expected)
        step(f"{comparison.identical:.2%} of the labels are torch's")
        if warning := verify.check_reduced(comparison, self.options.precision):
            step(f"WARNING: {warning}")
            notes["warning"] = warning
        return model, comparison, notes

    def _finished(
        self, model: onnx.ModelProto, measured: dict[str, Any], expected: Expected, target: Path
    ) -> ModelCard:
        """Keep only the wanted output, add the card, run the finished file, and put both files in place."""
        step, draft, kind = self.options.on_step, self.draft, self.options.kind
        model = with_outputs(model, [LABELS if kind == "labels" else SCORES])
        card = cards.card_of(draft, kind, dict(draft.measured) | {"export": measured}, target.name)
        cards.sign(model, card)
        file = self.folder / "model.onnx"
        file.write_bytes(model.SerializeToString(deterministic=True))
        step("running the finished file")
        final = verify.compare(verify.open_cpu(file, self.folder), expected)
        if abs(final.identical - measured["labels_identical"]) > 1 - verify.MIN_IDENTICAL:
            raise ModelError(
                f"{target}: the finished file gives other labels than its parts; nothing was written"
            )
        step(f"writing {target}")
        return put_in_place(file, replace(card, sha256=file_sha256(file)), target)


def put_in_place(file: Path, card: _C, target: Path) -> _C:
    """Move a finished ``file`` to ``target``, its card beside it, within a file system; return the card."""
    beside = file.with_suffix(".json")
    card.save(beside)
    _put(file, target)
    _put(beside, target.with_suffix(".json"))
    return card


def _put(made: Path, place: Path) -> None:
    sync_file(made)
    made.replace(place)
    sync_folder(place.parent)
