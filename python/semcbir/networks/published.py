# SPDX-License-Identifier: MIT
"""Models that others trained and published: what each is, where to download it, and how it takes photos.

The facts are in ``published.json``. They come from HRNet/HRNet-Semantic-Segmentation (branch HRNet-OCR,
0bbb288), mseg-dataset/mseg-semantic (ac92617) and open-mmlab/mmsegmentation (configs/hrnet); those about
encoders from facebookresearch/dinov2 (b8931f7) and torchvision's page of ResNet-50. semcbir does not
redistribute weights: ``semcbir models fetch`` downloads a checkpoint from its publisher and exports it.

There are traps, and each has a field: the ``*_torch04.pth`` files were trained with InPlaceABN, whose gain is
|gamma| + eps; HRNet pads with black, MSeg and mmsegmentation with the mean; ``align_corners`` differs between
the families, and in MSeg between the inside of the network and its last upsampling. MSeg's files are large
because they also hold the optimiser's state.

Sizes are for one pass over a whole photo. MSeg: the photo fills the crop that the network was trained on, so
a 4:3 photo has a short side of 355, 445 or 535 pixels (published: 360 to 1080, in windows). Cityscapes: half
of the published 2048 x 1024, which is within the scales used in training and a quarter of the work, in steps
of 256 so that few shapes of canvas occur. Encoders: 224 x 224, on which ResNet-50 was trained and for which
DINOv2's figures are; for DINOv2 that is a grid of 16 x 16 cells, for ResNet-50 one of 7 x 7.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from semcbir.errors import ModelError
from semcbir.networks.card_file import ModelKind
from semcbir.networks.draft import CardDraft, Draft, EncoderDraft
from semcbir.networks.packaged import DEFAULT, PACKAGED
from semcbir.networks.presets import PRESETS
from semcbir.networks.specs import InferenceSpec, SizeSpec
from semcbir.networks.taxonomy import Taxonomy, taxonomy


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The network that a checkpoint fits.

    ``align_corners`` is for the upsampling inside (fuse layers and concatenation); the card's draft has the
    one for the upsampling from scores to canvas. ``head_bias``: whether the first convolution of the simple
    head has a bias.
    """

    family: Literal["hrnet"] = "hrnet"
    width: int = 48
    head: Literal["simple", "ocr"] = "simple"
    n_classes: int
    align_corners: bool
    head_bias: bool = True


@dataclass(frozen=True, kw_only=True)
class ViTSpec:
    """A vision transformer: Dosovitskiy et al., ICLR 2021, with the scales of residuals that DINOv2 has.

    ``width``: length of a token. ``depth``: blocks. ``heads`` divide the width. ``patch``: side of a patch in
    pixels. ``table``: the positions that were learned are those of ``table`` x ``table`` patches.
    """

    width: int
    depth: int
    heads: int
    patch: int
    table: int

    @property
    def dim(self) -> int:
        """The length of a cell's vector."""
        return self.width

    @property
    def stride(self) -> int:
        """The side of a cell, in pixels."""
        return self.patch


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """A residual network of bottlenecks: He et al., CVPR 2016, the stride on the 3 x 3 convolutions.

    ``blocks`` of its stages, ``width`` of its stem; ``n_classes`` of the classifier that its file holds.
    """

    blocks: tuple[int, ...]
    width: int = 64
    n_classes: int = 1000

    @property
    def dim(self) -> int:
        """The length of a cell's vector: bottlenecks widen by 4, and stages double."""
        return int(self.width * 4 * 2 ** (len(self.blocks) - 1))

    @property
    def stride(self) -> int:
        """The side of a cell, in pixels."""
        return int(2 ** (len(self.blocks) + 1))


EncoderSpec: TypeAlias = ViTSpec | ResNetSpec
FAMILIES: Mapping[str, type[ViTSpec] | type[ResNetSpec]] = {"vit": ViTSpec, "resnet": ResNetSpec}
"""The architectures of encoders, by what ``published.json`` calls them."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A published file of weights: where it is.

    Either ``url`` or ``gdrive_id`` says where it is. ``size`` in bytes, ``sha256`` and ``sha256_prefix`` (its
    first hexadecimal digits) are None if nobody published them; ``about`` is the expected size in bytes.
    """

    url: str | None = None
    gdrive_id: str | None = None
    file: str
    size: int | None = None
    about: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    published_at: str = ""

    @property
    def source(self) -> str:
        """The address of the file."""
        return self.url or f"https://drive.google.com/file/d/{self.gdrive_id}/view"


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Download):
    """A published file of weights, and what is inside.

    ``miou`` maps ways of measuring to the mean IoU, in percent, that the publishers state.
    """

    layout: Literal["hrnet", "mseg", "mmsegmentation"]
    batch_norm: Literal["standard", "inplace_abn"] = "standard"
    miou: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What a published model of any kind has: a draft of its card, and a checkpoint."""

    card: Draft
    checkpoint: Download
    trained_on: str = ""

    @property
    def name(self) -> str:
        """The model's name in semcbir."""
        return self.card.name


@dataclass(frozen=True, kw_only=True)
class PublishedModel(_Published):
    """A published segmentation model.

    ``card`` is a draft of its card. ``presets`` are the inference settings that its publishers used, by name;
    they need logits. Raises ValueError if the card does not have one class for each channel.
    """

    kind: ClassVar[ModelKind] = "segmentation"

    card: CardDraft
    architecture: Architecture
    checkpoint: Checkpoint
    presets: Mapping[str, InferenceSpec] = field(default_factory=dict)
    taxonomy: Taxonomy | None = None

    def __post_init__(self) -> None:
        if len(self.card.classes) != self.architecture.n_classes:
            raise ValueError(
                f"classes: expected {self.architecture.n_classes} names, got {len(self.card.classes)}"
            )


@dataclass(frozen=True, kw_only=True)
class PublishedEncoder(_Published):
    """A published encoder.

    ``card`` is a draft of its card, ``accuracy`` the top-1 accuracy on ImageNet, in percent, that its
    publishers state, by way of measuring. Raises ValueError if the architecture does not give vectors of the
    length that the card says, or if its cells do not divide the photo evenly.
    """

    kind: ClassVar[ModelKind] = "encoder"

    card: EncoderDraft
    architecture: EncoderSpec
    accuracy: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dim, stride, side = self.architecture.dim, self.architecture.stride, self.card.size.length
        if self.card.dim != dim:
            raise ValueError(f"dim: expected {dim}, as its architecture gives, got {self.card.dim}")
        if side % stride:
            raise ValueError(f"size.length: expected a multiple of {stride}, the side of a cell, got {side}")


Published: TypeAlias = PublishedModel | PublishedEncoder
"""What has a checkpoint that can be downloaded and exported."""


def published(name: str, kind: ModelKind | None = None) -> Published:
    """Return the model or encoder called ``name``; aliases are understood.

    Raises ModelError if there is none; the message has similar names, or else all of them, of the ``kind``
    that was meant (None: of both). For a model that comes in another way than as a checkpoint it has the
    names of those with one.
    """
    canonical = ALIASES.get(name, name)
    if found := PUBLISHED.get(canonical) or ENCODERS.get(canonical):
        return found
    if name == DEFAULT or name in PACKAGED:
        way = (
            "comes with semcbir" if name == DEFAULT else f"is made from the package {PACKAGED[name].package}"
        )
        having = ", ".join([*PUBLISHED, *ENCODERS])
        raise ModelError(f"{name} {way}, not from a checkpoint; models with a checkpoint are {having}")
    of_kind = {"segmentation": [DEFAULT, *PUBLISHED], "encoder": [*PACKAGED, *ENCODERS]}
    known = of_kind[kind] if kind else [one for names in of_kind.values() for one in names]
    what = "encoder" if kind == "encoder" else "model"
    if not name:
        raise ModelError(f"expected the name of a model, got an empty one; known are {', '.join(known)}")
    aliases = [alias for alias, meant in ALIASES.items() if meant in known]
    near = difflib.get_close_matches(name.lower(), [*known, *aliases], n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise ModelError(f"there is no {what} called {name!r}; {hint}")


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


def _encoder(facts: Mapping[str, Any]) -> PublishedEncoder:
    card, architecture = facts["card"], dict(facts["architecture"])
    family = architecture.pop("family")
    if "blocks" in architecture:
        architecture["blocks"] = tuple(architecture["blocks"])
    return PublishedEncoder(
        card=EncoderDraft(**card | {"size": SizeSpec(**card["size"])}),
        architecture=FAMILIES[family](**architecture),
        checkpoint=Download(**facts["checkpoint"]),
        accuracy=facts["accuracy"],
        trained_on=facts["trained_on"],
    )


def _of_kind(kind: ModelKind) -> list[Mapping[str, Any]]:
    return [facts for facts in _FACTS["models"] if facts["kind"] == kind]


_FACTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

PUBLISHED: Mapping[str, PublishedModel] = {
    model.name: model for model in map(_model, _of_kind("segmentation"))
}
"""Every published segmentation model, by name."""

ENCODERS: Mapping[str, PublishedEncoder] = {
    encoder.name: encoder for encoder in map(_encoder, _of_kind("encoder"))
}
"""Every published encoder, by name."""

ALIASES: Mapping[str, str] = _FACTS["aliases"]
"""Other names. MSeg stands for its 480p model: the best of the three on unseen data in its authors' table,
and the one whose crop is nearest to the short side of 360 that they recommend."""
