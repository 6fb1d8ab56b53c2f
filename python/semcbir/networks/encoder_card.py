# SPDX-License-Identifier: MIT
"""EncoderCard: what semcbir must know about an encoder, as JSON beside its ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from semcbir.networks.bounds import MAX_DIM
from semcbir.networks.card_file import FORMAT, Card, ModelKind
from semcbir.networks.fields import integer, text
from semcbir.networks.specs import InputSpec, SizeSpec

_DECISIVE = ("kind", "name", "sha256", "input", "size", "output", "dim")


@dataclass(frozen=True, kw_only=True)
class EncoderCard(Card):
    """An encoder's card.

    ``file`` is the bare name of the ONNX file, which is beside the card; ``sha256`` is the hash of its bytes.
    The graph's output called ``output`` (None: its first) is a grid of vectors of length ``dim``: floats
    (N, dim, h, w), whose h x w cells divide the canvas evenly. A projection to fewer numbers is inside the
    graph. ``licence``, ``source`` and ``notes`` are free text; ``measured`` is any JSON object and holds what
    was measured with the encoder.

    Raises ValueError if a field is not as described.
    """

    kind: ClassVar[ModelKind] = "encoder"

    name: str
    file: str
    sha256: str
    input: InputSpec
    size: SizeSpec
    dim: int
    output: str | None = None
    licence: str = ""
    source: str = ""
    notes: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._check_shared()
        integer("dim", self.dim, 1, MAX_DIM)
        if self.output is not None:
            text("output", self.output)

    def __repr__(self) -> str:
        return f"EncoderCard({self.name!r}, dim={self.dim})"

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON values: dicts, lists, text, numbers and None only."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not plain["measured"]:
            del plain["measured"]
        return {"format": FORMAT, "kind": self.kind} | plain

    def preprocessing_dict(self) -> dict[str, Any]:
        """Return what decides a photo's grid, as JSON values: it belongs in an index's recipe."""
        plain = self.to_dict()
        return {key: plain[key] for key in _DECISIVE}
