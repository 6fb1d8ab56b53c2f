# SPDX-License-Identifier: MIT
"""What an exported network's card says, and how the card gets into the ONNX file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semcbir.networks.card import ModelCard
from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, Kind, OutputSpec, SizeSpec

if TYPE_CHECKING:
    import onnx

    from semcbir.export.checkpoints import CheckpointReport
    from semcbir.export.verify import Comparison, Expected
    from semcbir.networks.published import PublishedModel

METADATA_KEY = "semcbir.card"
NOT_TRAVELLING = ("file", "sha256", "measured")
"""What the card in the file is without: a file cannot hold its own hash; for the others see ``sign``."""


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What a card says of a network, and what is put around it in the graph.

    The network takes float32 (N, 3, H, W), RGB, (x / 255 - mean) / std, of any size, and gives one tensor of
    scores (N, classes, h, w). ``final_align_corners``: how they are upsampled to the canvas.
    ``label_stride``: labels are made at 1 / that of the canvas, rounded up; for kind "labels" only.
    ``measured``: what is known of the network already; the card has it beside what the export measures.
    """

    name: str
    classes: tuple[str, ...]
    size: SizeSpec
    final_align_corners: bool
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    label_stride: int = 1
    void: int | None = None
    licence: str = ""
    source: str = ""
    notes: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stride: object = self.label_stride
        if not isinstance(stride, int) or isinstance(stride, bool) or stride < 1:
            raise ValueError(f"label_stride: expected an integer of at least 1, got {stride!r}")
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std}")


def card_of(spec: NetworkSpec, kind: Kind, measured: Mapping[str, Any], file: str) -> ModelCard:
    """Make the card of a file that is not written yet, with a hash of zeros."""
    from semcbir.export.graph import INPUT  # needs torch, which this module does without

    return ModelCard(
        name=spec.name,
        file=file,
        sha256="0" * 64,
        classes=spec.classes,
        input=INPUT,
        size=spec.size,
        output=OutputSpec(kind=kind, align_corners=spec.final_align_corners),
        void=spec.void,
        licence=spec.licence,
        source=spec.source,
        notes=spec.notes,
        measured=measured,
    )


def sign(model: onnx.ModelProto, card: ModelCard) -> None:
    """Name the graph and its maker, and put the card into the metadata.

    Indexes know a network by the file's hash, so nothing goes in that another export of the same network has
    otherwise: neither versions nor what was measured.
    """
    import onnx

    model.producer_name, model.producer_version = "semcbir", ""
    model.graph.name = re.sub(r"[^\w.-]+", "_", card.name)
    travelling = {key: value for key, value in card.to_dict().items() if key not in NOT_TRAVELLING}
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(travelling, ensure_ascii=False)})


def conditions(what: str, expected: Expected, precision: str) -> dict[str, Any]:
    """Say on what and with what it was measured."""
    import onnxruntime
    import torch

    return {
        "precision": precision,
        "on": what,
        "sizes": expected.sizes,
        "compared_with": f"torch {torch.__version__} in float32",
        "runtime": f"onnxruntime {onnxruntime.__version__} on the CPU",
    }


def figures(comparison: Comparison) -> dict[str, Any]:
    """Say what was measured of the float32 graph."""
    return {
        "pixels": comparison.pixels,
        "labels_identical": rounded(comparison.identical),
        "fp32_labels_identical": rounded(comparison.identical),
        "fp32_scores_difference": float(f"{comparison.difference:.1e}"),
    }


def rounded(share: float) -> float:
    """Cut a share to six digits."""
    return round(share, 6)


def spec_of(model: PublishedModel, report: CheckpointReport) -> NetworkSpec:
    """Describe a published network of which ``report`` tells what was read."""
    checkpoint = model.checkpoint
    source = [checkpoint.source, *([f"({checkpoint.published_at})"] if checkpoint.published_at else [])]
    notes = [*([f"trained on {model.trained_on}"] if model.trained_on else []), *filter(None, [model.notes])]
    return NetworkSpec(
        name=model.name,
        classes=model.classes,
        size=model.size,
        final_align_corners=model.architecture.final_align_corners,
        mean=model.mean,
        std=model.std,
        licence=checkpoint.licence,
        source=" ".join(source),
        notes="; ".join(notes),
        measured={
            "checkpoint": {
                "sha256": report.sha256,
                "batch_norm": report.batch_norm,
                "corrected_scales": report.corrected,
                "dropped_entries": report.dropped,
                "notes": list(report.notes),
            }
        },
    )
