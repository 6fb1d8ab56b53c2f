# SPDX-License-Identifier: MIT
"""Models that others trained and published: what each is like, where it is, and how it wants its photos.

``published.json`` has the facts. The weights are never redistributed: ``semcbir models fetch`` downloads a
checkpoint for the user and exports it. Read from HRNet/HRNet-Semantic-Segmentation (branch HRNet-OCR,
0bbb288), mseg-dataset/mseg-semantic (ac92617) and open-mmlab/mmsegmentation (configs/hrnet).

Traps, each of them a field: the ``*_torch04.pth`` files were trained with InPlaceABN, whose gain is
|gamma| + eps; HRNet pads with black, MSeg and mmsegmentation with the mean; ``align_corners`` differs from
family to family, and in MSeg between the inside of the network and its last upsampling. MSeg's files hold the
optimiser's state too, hence their size.

Sizes are for one pass over a whole photo. MSeg: the photo fills the crop that the network was trained on, so
that a 4:3 photo has a short side of 355, 445 or 535 pixels (published: 360 to 1080, in windows). Streets:
half the published 2048 x 1024, which is within the scales of the training and a quarter of the work, in steps
of 256 so that there are few shapes of canvas.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from semcbir.errors import ModelError
from semcbir.networks.draft import CardDraft
from semcbir.networks.presets import PRESETS
from semcbir.networks.specs import InferenceSpec, SizeSpec
from semcbir.networks.taxonomy import Taxonomy, taxonomy

DEFAULT = "default"
"""The name of the model that ships with the package; nobody else published it."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What has to be built before a checkpoint fits.

    ``align_corners`` is that of the upsampling inside (fuse layers and concatenation); the draft of the card
    has that from the scores to the canvas. ``head_bias``: whether the first convolution of the simple head
    has a bias.
    """

    family: Literal["hrnet"] = "hrnet"
    width: int = 48
    head: Literal["simple", "ocr"] = "simple"
    n_classes: int
    align_corners: bool
    head_bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published file of weights: where it is, and what it is like inside.

    Either ``url`` or ``gdrive_id`` says where. ``size`` in bytes, ``sha256`` and ``sha256_prefix`` (its first
    hexadecimal digits) are None where nobody published them; ``about`` is the size to expect, in bytes.
    ``miou`` is the mean IoU in percent that the publishers state, by how it was measured.
    """

    url: str | None = None
    gdrive_id: str | None = None
    file: str
    size: int | None = None
    about: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    layout: Literal["hrnet", "mseg", "mmsegmentation"]
    batch_norm: Literal["standard", "inplace_abn"] = "standard"
    published_at: str = ""
    miou: Mapping[str, float] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the file is, as an address."""
        return self.url or f"https://drive.google.com/file/d/{self.gdrive_id}/view"


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A published model: ``card`` is a draft of its card.

    ``presets`` are the ways of inference that its publishers used, by name; they need logits. ValueError
    where the card does not have one class for each channel.
    """

    card: CardDraft
    architecture: Architecture
    checkpoint: Checkpoint
    presets: Mapping[str, InferenceSpec] = field(default_factory=dict)
    taxonomy: Taxonomy | None = None
    trained_on: str = ""

    def __post_init__(self) -> None:
        if len(self.card.classes) != self.architecture.n_classes:
            raise ValueError(
                f"classes: expected {self.architecture.n_classes} names, got {len(self.card.classes)}"
            )

    @property
    def name(self) -> str:
        """What it is called here."""
        return self.card.name


def published(name: str) -> PublishedModel:
    """Return the model called ``name``, or by an alias of it.

    ModelError where there is none, with the names that are near or else all of them.
    """
    canonical = ALIASES.get(name, name)
    if canonical in PUBLISHED:
        return PUBLISHED[canonical]
    known = [DEFAULT, *PUBLISHED, *ALIASES]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {DEFAULT}, {', '.join(PUBLISHED)}"
    raise ModelError(f"there is no model called {name!r}; {hint}")


def _model(facts: Mapping[str, Any]) -> PublishedModel:
    kinds = taxonomy(facts["taxonomy"])
    checkpoint = Checkpoint(**facts["checkpoint"])
    card = facts["card"]
    return PublishedModel(
        card=CardDraft(**card | {"size": SizeSpec(**card["size"]), "classes": kinds.classes}),
        architecture=Architecture(n_classes=len(kinds.classes), **facts["architecture"]),
        checkpoint=checkpoint,
        presets={name: PRESETS[name] for name in facts["presets"]},
        taxonomy=kinds,
        trained_on=facts["trained_on"],
    )


_FACTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

PUBLISHED: Mapping[str, PublishedModel] = {model.name: model for model in map(_model, _FACTS["models"])}
"""Every published model, by name."""

ALIASES: Mapping[str, str] = _FACTS["aliases"]
"""Other names. Of MSeg the 480p: the best of the three on unseen data by its authors' table, and the one
whose crop is nearest to the short side of 360 that they recommend."""
