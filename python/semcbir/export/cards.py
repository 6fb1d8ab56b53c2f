# SPDX-License-Identifier: MIT
"""The card of an exported model, and its copy inside the ONNX file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx
import onnxruntime
import torch

from semcbir.export.checkpoints import CheckpointReport
from semcbir.export.graph import GRID, INPUT
from semcbir.export.verify import Comparison
from semcbir.networks.card import ModelCard
from semcbir.networks.card_file import Card
from semcbir.networks.draft import CardDraft, EncoderDraft
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.published import Published, PublishedEncoder, PublishedModel
from semcbir.networks.specs import Kind, OutputSpec

METADATA_KEY = "semcbir.card"
NOT_TRAVELLING = ("file", "sha256", "measured")
"""Fields that the copy in the file lacks: a file cannot hold its own hash; for the others see ``sign``."""


def card_of(draft: CardDraft, kind: Kind, measured: Mapping[str, Any], file: str) -> ModelCard:
    """Make the card of a file that is not written yet; its hash is zeros."""
    return ModelCard(
        name=draft.name,
        file=file,
        sha256="0" * 64,
        classes=draft.classes,
        input=INPUT,
        size=draft.size,
        output=OutputSpec(kind=kind, align_corners=draft.align_corners),
        void=draft.void,
        licence=draft.licence,
        source=draft.source,
        notes=draft.notes,
        measured=measured,
    )


def encoder_card_of(draft: EncoderDraft, measured: Mapping[str, Any], file: str) -> EncoderCard:
    """Make the card of an encoder's file that is not written yet; its hash is zeros."""
    return EncoderCard(
        name=draft.name,
        file=file,
        sha256="0" * 64,
        input=INPUT,
        size=draft.size,
        dim=draft.dim,
        output=GRID,
        licence=draft.licence,
        source=draft.source,
        notes=draft.notes,
        measured=measured,
    )


def sign(model: onnx.ModelProto, card: Card) -> None:
    """Name the graph and its producer, and put the card into the metadata.

    An index knows a model by the hash of its file. So nothing is put in that could differ in another export
    of the same network, such as versions and measurements.
    """
    model.producer_name, model.producer_version = "semcbir", ""
    model.graph.name = re.sub(r"[^\w.-]+", "_", card.name)
    travelling = {key: value for key, value in card.to_dict().items() if key not in NOT_TRAVELLING}
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(travelling, ensure_ascii=False)})


def conditions(what: str, sizes: Sequence[str], precision: str) -> dict[str, Any]:
    """Return the conditions of the measurement, as the card records them."""
    return {
        "precision": precision,
        "on": what,
        "sizes": list(sizes),
        "compared_with": f"torch {torch.__version__} in float32",
        "runtime": f"onnxruntime {onnxruntime.__version__} on the CPU",
    }


def figures(comparison: Comparison) -> dict[str, Any]:
    """Return the measurements of the float32 graph, as the card records them."""
    return {
        "pixels": comparison.pixels,
        "labels_identical": rounded(comparison.identical),
        "fp32_labels_identical": rounded(comparison.identical),
        "fp32_scores_difference": float(f"{comparison.difference:.1e}"),
    }


def rounded(share: float) -> float:
    """Round a share to six digits."""
    return round(share, 6)


def draft_of(model: PublishedModel, report: CheckpointReport) -> CardDraft:
    """Draft the card of a published model; ``report`` says what was read from its checkpoint."""
    read = {
        "sha256": report.sha256,
        "batch_norm": report.batch_norm,
        "corrected_scales": report.corrected,
        "dropped_entries": report.dropped,
        "notes": list(report.notes),
    }
    return replace(model.card, source=_source(model), notes=_notes(model), measured={"checkpoint": read})


def encoder_draft_of(encoder: PublishedEncoder, sha256: str) -> EncoderDraft:
    """Draft the card of a published encoder; ``sha256`` is that of its checkpoint."""
    read = {"checkpoint": {"sha256": sha256}}
    return replace(encoder.card, source=_source(encoder), notes=_notes(encoder), measured=read)


def _source(model: Published) -> str:
    checkpoint = model.checkpoint
    return checkpoint.source + (f" ({checkpoint.published_at})" if checkpoint.published_at else "")


def _notes(model: Published) -> str:
    trained = f"trained on {model.trained_on}" if model.trained_on else ""
    return "; ".join(filter(None, [trained, model.card.notes]))
