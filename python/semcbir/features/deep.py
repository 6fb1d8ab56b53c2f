# SPDX-License-Identifier: MIT
"""Deep descriptors: the vectors of an encoder's grid."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from semcbir._validate import shown
from semcbir.errors import ModelError
from semcbir.features.base import WEIGHTINGS, Feature
from semcbir.features.parameters import assign, choice, fractions
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.names import resolve_encoder
from semcbir.networks.packaged import DEFAULT_ENCODER

WHOLE_SHARE = 0.7
"""The share a^2 of the whole row, found on development sets; see docs/results.md."""


@dataclass(frozen=True, init=False)
class Deep(Feature):
    """The vectors that an encoder gives for the cells of a grid over the photo.

    Every labelled pixel is a keypoint whose descriptor is its cell's; the mean of all cells is the *whole
    row*. ``encoder`` is a name of ``semcbir models list``, an ``.onnx`` file with its card beside it, the
    card, or None for the default encoder. ``weighting`` is "share", rows as long as their class's share of
    the photo says (see ``semcbir.weighted``), or "none" for rows as Algorithm 1 gives them; ``whole_share``
    is a^2 in 0..1, what whole rows count for beside class rows, WHOLE_SHARE (0.7) by default.

    Attributes: ``encoder``, what decides its vectors, as its card says; ``source``, how it was named, and
    ``path`` of its ONNX file, both None in a recipe that was read. ModelError if the encoder or its
    card is missing or unusable.
    """

    name: ClassVar[str] = "deep"
    epsilon: ClassVar[float | None] = None

    encoder: Mapping[str, Any] = field(hash=False)
    whole_share: float
    source: str | os.PathLike[str] | None = field(compare=False)
    path: Path | None = field(compare=False)

    def __init__(
        self,
        encoder: str | os.PathLike[str] | None = None,
        *,
        weighting: str = "share",
        whole_share: float = WHOLE_SHARE,
    ) -> None:
        path, card = resolve_encoder(encoder)
        assign(self, "source", DEFAULT_ENCODER if encoder is None else encoder)
        assign(self, "path", path)
        self._set(card, weighting, whole_share)

    def _set(self, card: EncoderCard, weighting: str, whole_share: float) -> None:
        assign(self, "encoder", card.preprocessing_dict())
        self._set_weighting(weighting, whole_share)

    def _set_weighting(self, weighting: str, whole_share: float) -> None:
        assign(self, "weighting", weighting)
        assign(self, "whole_share", whole_share)
        choice(self, "weighting", WEIGHTINGS)
        fractions(self, "whole_share")

    def __repr__(self) -> str:
        encoder = f"{self.encoder['name']!r}, dim={self.dim}"
        return f"Deep({encoder}, weighting={self.weighting!r}, whole_share={self.whole_share:g})"

    def with_encoder(self, encoder: str | os.PathLike[str] | None) -> Deep:
        """Return the same feature with ``encoder``, as in the constructor."""
        return Deep(encoder, weighting=self.weighting, whole_share=self.whole_share)

    def with_weighting(self, weighting: str, whole_share: float | None = None) -> Self:
        """Return the same feature with another ``weighting``, and ``whole_share`` unless it is None."""
        feature = copy.copy(self)  # its encoder is not looked for again
        feature._set_weighting(weighting, self.whole_share if whole_share is None else whole_share)
        return feature

    @property
    def dim(self) -> int:
        """The length of the encoder's vectors."""
        return int(self.encoder["dim"])

    @property
    def whole_row(self) -> bool:
        """Its signatures have whole rows."""
        return True

    def check_available(self) -> None:
        """The encoder is looked for when the feature is made."""

    def to_dict(self) -> dict[str, Any]:
        """See Feature; the path is the computer's own affair."""
        plain = {"name": self.name, "encoder": dict(self.encoder), "whole_share": self.whole_share}
        return plain if self.weighting == "none" else {**plain, "weighting": self.weighting}

    @classmethod
    def _from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """Return the feature that ``to_dict`` described, without a path."""
        if unknown := parameters.keys() - {"encoder", "whole_share", "weighting"}:
            raise ValueError(f"deep: unknown parameters {', '.join(sorted(map(str, unknown)))}")
        encoder = parameters.get("encoder")
        if not isinstance(encoder, Mapping):
            raise TypeError(f"deep: encoder: expected what its card says, got {shown(encoder)}")
        try:
            card = EncoderCard.from_dict({"format": 1, "file": "encoder.onnx", **encoder})
        except ModelError as error:
            raise ValueError(f"deep: encoder: {error}") from None
        feature = object.__new__(cls)
        assign(feature, "source", None)
        assign(feature, "path", None)
        feature._set(card, parameters.get("weighting", "none"), parameters.get("whole_share", WHOLE_SHARE))
        return feature
