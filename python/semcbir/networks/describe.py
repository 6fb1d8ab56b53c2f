# SPDX-License-Identifier: MIT
"""Model cards in words: how a model takes photos, what it gives, and what was measured with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semcbir.networks.card import ModelCard
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.specs import InferenceSpec, InputSpec, OutputSpec, SizeSpec

GROUPS, FIGURES = 4, 3
"""How many groups of figures are shown of what was measured, and how many figures of each."""


def card_facts(card: ModelCard | EncoderCard) -> list[tuple[str, str]]:
    """Return what ``card`` says, except its file's name, as (key, words); empty fields are left out.

    A key may occur several times in a row. The card's texts are returned unchanged, with their line breaks.
    """
    facts = [
        ("name", card.name),
        ("kind", card.kind),
        ("input", input_words(card.input)),
        ("photos", size_words(card.size)),
        *(_encoder_facts(card) if isinstance(card, EncoderCard) else _segmentation_facts(card)),
        ("licence", card.licence),
        ("source", card.source),
        ("notes", card.notes),
        ("sha256", card.sha256),
        *(("measured", line) for line in main_figures(card.measured)),
        ("classes", ", ".join(card.labels) if isinstance(card, ModelCard) else ""),
        *(
            ("groups", f"{group}: {', '.join(names)}")
            for group, names in (card.groups.items() if isinstance(card, ModelCard) else ())
        ),
    ]
    return [(key, value) for key, value in facts if value]


def _encoder_facts(card: EncoderCard) -> list[tuple[str, str]]:
    named = "" if card.output is None else f", called {card.output}"
    return [("output", f"a grid of vectors of length {card.dim}{named}")]


def _segmentation_facts(card: ModelCard) -> list[tuple[str, str]]:
    return [
        ("output", output_words(card.output)),
        ("masked", ", ".join(card.classes[channel] for channel in card.masked)),
        ("inference", inference_words(card.inference) if card.inference else ""),
        ("void", _void(card)),
    ]


def input_words(spec: InputSpec) -> str:
    """Describe what the graph takes."""
    if spec.mean is None or spec.std is None:
        values = "0..255"
    else:
        values = f"(x / 255 - mean) / std, mean {_numbers(spec.mean)}, std {_numbers(spec.std)}"
    return f"{spec.layout} {spec.dtype} {spec.colour}, {values}"


def size_words(size: SizeSpec) -> str:
    """Describe how a photo is placed on the canvas."""
    if size.rule == "squash":
        return f"scaled to {size.length} x {size.length}, whatever their ratio"
    colour = "black" if size.pad == (0, 0, 0) else f"the colour {_numbers(size.pad)}"
    if size.multiple == 1:
        return f"long side {size.length}"
    if size.multiple >= size.length and size.offset == 0:
        side = size.multiple
        return f"long side {size.length}, padded with {colour} to {side} x {side}"
    more = f" + {size.offset}" if size.offset else ""
    return f"long side {size.length}, padded with {colour} to multiples of {size.multiple}{more}"


def output_words(spec: OutputSpec) -> str:
    """Describe what the graph gives."""
    named = "" if spec.name is None else f", called {spec.name}"
    return f"{spec.kind}, align_corners {'true' if spec.align_corners else 'false'}{named}"


def inference_words(spec: InferenceSpec) -> str:
    """Describe how a photo goes through a model that gives logits."""
    parts = [f"scales {_numbers(spec.scales)}"]
    if spec.flip:
        parts.append("flipped too")
    if spec.short_side is not None:
        parts.append(f"short side {spec.short_side}")
    if spec.crop is not None:
        parts.append(f"windows of {spec.crop} in steps of {spec.stride:.3g}")
    parts.append(f"padding at the {spec.padding}")
    if spec.taxonomy is not None:
        parts.append(f"a taxonomy of {len(spec.taxonomy)} classes")
    return ", ".join(parts)


def main_figures(measured: Mapping[str, Any]) -> list[str]:
    """Return the main figures of a card's ``measured``: a line for each group, and one if that is not all.

    These are the first FIGURES plain numbers of each of the first GROUPS groups that have any. Texts, lists
    and groups in groups are left to JSON.
    """
    lines: list[str] = []
    more = False
    for name, value in measured.items():
        group = value if isinstance(value, Mapping) else {"": value}
        numbers = [f"{key} {_plain(figure)}".strip() for key, figure in group.items() if _is_number(figure)]
        if numbers and len(lines) < GROUPS:
            lines.append(f"{name}: {', '.join(numbers[:FIGURES])}")
            more = more or len(group) > len(numbers[:FIGURES])
        else:
            more = True
    return [*lines, "more, with what it means: --json"] if more else lines


def _void(card: ModelCard) -> str:
    label = card.void_label
    if label is None:
        return ""
    return card.labels[label] if label < card.n_classes else f"label {label}"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
