# SPDX-License-Identifier: MIT
"""What is known about a model before its ONNX file is made: a draft of its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, SizeSpec


@dataclass(frozen=True, kw_only=True)
class CardDraft:
    """A model's card without the fields that depend on the file; ``export.cards.card_of`` adds those.

    The network takes float32 (N, 3, H, W) of any size, RGB, (x / 255 - mean) / std, and gives one tensor of
    scores (N, classes, h, w); ``align_corners`` says how they are upsampled to the canvas. ``classes`` are in
    the order of the channels. ``measured`` holds what has been measured already; the export adds its own
    figures. Raises ValueError if ``std`` is not above 0.
    """

    name: str
    classes: tuple[str, ...]
    size: SizeSpec
    align_corners: bool
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    void: int | None = None
    licence: str = ""
    source: str = ""
    notes: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std}")
