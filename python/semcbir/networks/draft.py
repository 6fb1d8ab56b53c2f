# SPDX-License-Identifier: MIT
"""What is known about a model before its ONNX file is made: drafts of cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, SizeSpec


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the drafts of all kinds of card share.

    The network takes float32 (N, 3, H, W), RGB, (x / 255 - mean) / std. ``measured`` holds what has been
    measured already; the export adds its own figures. Raises ValueError if ``std`` is not above 0.
    """

    name: str
    size: SizeSpec
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    licence: str = ""
    source: str = ""
    notes: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std}")


@dataclass(frozen=True, kw_only=True)
class CardDraft(Draft):
    """A model's card without the fields that depend on the file; ``export.cards.card_of`` adds those.

    The network takes images of any size and gives one tensor of scores (N, classes, h, w); ``align_corners``
    says how they are upsampled to the canvas. ``classes`` are in the order of the channels.
    """

    classes: tuple[str, ...]
    align_corners: bool
    void: int | None = None


@dataclass(frozen=True, kw_only=True)
class EncoderDraft(Draft):
    """An encoder's card without the fields that depend on the file; ``export.encoders`` adds those.

    The network takes squares of ``size.length`` pixels a side and gives one grid of vectors (N, ``dim``, h,
    w). Raises ValueError if ``size`` has another rule than "squash", too.
    """

    dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size.rule != "squash":
            raise ValueError(f"size.rule: expected 'squash' for an encoder, got {self.size.rule!r}")
