# SPDX-License-Identifier: MIT
"""Networks that others trained and published: what each is, where it lies, and how it wants its photos.

Only facts about them are here; the weights are never redistributed: ``semcbir models fetch`` downloads a
checkpoint for the user and exports it. Read from HRNet/HRNet-Semantic-Segmentation (branch HRNet-OCR,
0bbb288), mseg-dataset/mseg-semantic (ac92617) and open-mmlab/mmsegmentation (configs/hrnet).

Traps, all of them said by the fields: the ``*_torch04.pth`` files were trained with InPlaceABN, whose gain is
|gamma| + eps; HRNet pads with black, MSeg and mmsegmentation with the mean; ``align_corners`` differs from
family to family, and in MSeg between the inside of the network and its last upsampling.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from semcbir.errors import ModelError
from semcbir.networks.presets import PRESETS
from semcbir.networks.specs import IMAGENET_COLOUR, IMAGENET_MEAN, IMAGENET_STD, InferenceSpec, SizeSpec
from semcbir.networks.taxonomy import Taxonomy, taxonomy

DEFAULT = "default"
"""The name of the network that ships with the package; nobody else published it."""

BLACK = (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What has to be built before a checkpoint fits.

    ``align_corners`` is that of the upsampling inside (fuse layers and concatenation), and
    ``final_align_corners`` that from the scores at stride 4 to the canvas. ``head_bias``: whether the first
    convolution of the simple head has a bias.
    """

    family: Literal["hrnet"] = "hrnet"
    width: int = 48
    head: Literal["simple", "ocr"] = "simple"
    n_classes: int
    align_corners: bool
    final_align_corners: bool
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
    licence: str = ""
    miou: Mapping[str, float] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the file is, as an address."""
        return self.url or f"https://drive.google.com/file/d/{self.gdrive_id}/view"


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A published network. Its input is RGB, (x / 255 - mean) / std; ``size`` is for one pass over a photo.

    ``classes`` are in the order of the channels. ``presets`` are the ways of inference that its publishers
    used, by name; they need logits. ValueError where there is not one class for each channel.
    """

    name: str
    architecture: Architecture
    checkpoint: Checkpoint
    classes: tuple[str, ...]
    size: SizeSpec
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    presets: Mapping[str, InferenceSpec] = field(default_factory=dict)
    taxonomy: Taxonomy | None = None
    trained_on: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if len(self.classes) != self.architecture.n_classes:
            raise ValueError(
                f"classes: expected {self.architecture.n_classes} names, got {len(self.classes)}"
            )


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


def _presets(*names: str) -> Mapping[str, InferenceSpec]:
    return {name: PRESETS[name] for name in ("single-scale", "flip", *names)}


def _square(length: int, pad: tuple[int, int, int]) -> SizeSpec:
    return SizeSpec(rule="long_side", length=length, multiple=length, pad=pad)


def _street(pad: tuple[int, int, int]) -> SizeSpec:
    # Half the published 2048 x 1024: within the scales of the training, a quarter of the work. Steps of 256
    # so that there are few shapes of canvas.
    return SizeSpec(rule="long_side", length=1024, multiple=256, pad=pad)


_HRNET_LICENCE = "weights: none stated; code: MIT (Microsoft)"
_MSEG_LICENCE = "weights: none stated; code: MIT; MSeg's data: CC BY 4.0"
_MMSEG_LICENCE = "weights: none stated beside the project's Apache-2.0"

_FLOATS = 4  # bytes of a weight


def _hrnet(
    name: str,
    file: str,
    classes: str,
    size: SizeSpec,
    *,
    trained_on: str,
    miou: Mapping[str, float],
    align_corners: bool,
    head: Literal["simple", "ocr"] = "simple",
    notes: str = "",
) -> PublishedModel:
    """Describe one of the checkpoints of the HRNet project's branch HRNet-OCR."""
    kinds = taxonomy(classes)
    return PublishedModel(
        name=name,
        architecture=Architecture(
            head=head,
            n_classes=len(kinds.classes),
            align_corners=align_corners,
            final_align_corners=align_corners,
        ),
        checkpoint=Checkpoint(
            url=f"https://github.com/hsfzxjy/models.storage/releases/download/HRNet-OCR/{file}",
            file=file,
            about=_FLOATS * (66_000_000 if head == "simple" else 70_600_000),
            layout="hrnet",
            batch_norm="inplace_abn" if file.endswith("_torch04.pth") else "standard",
            published_at="https://github.com/HRNet/HRNet-Semantic-Segmentation/tree/HRNet-OCR",
            licence=_HRNET_LICENCE,
            miou=miou,
        ),
        classes=kinds.classes,
        taxonomy=kinds,
        size=size,
        presets=_presets("cityscapes-ms-flip" if classes == "cityscapes_19" else "cocostuff-ms-flip"),
        trained_on=trained_on,
        notes=notes,
    )


def _mseg(
    resolution: str, file: str, gdrive_id: str, crop: int, miou: Mapping[str, float], presets: tuple[str, ...]
) -> PublishedModel:
    """Describe one of the "MSeg (3M)" checkpoints: 528 MB each, the optimiser's state among them."""
    kinds = taxonomy("mseg_194")
    return PublishedModel(
        name=f"hrnet-w48-mseg-{resolution}",
        architecture=Architecture(
            n_classes=len(kinds.classes), align_corners=False, final_align_corners=True
        ),
        checkpoint=Checkpoint(
            gdrive_id=gdrive_id,
            file=file,
            about=528_000_000,
            layout="mseg",
            published_at="https://github.com/mseg-dataset/mseg-semantic",
            licence=_MSEG_LICENCE,
            miou=miou,
        ),
        classes=kinds.classes,
        taxonomy=kinds,
        # One window: the photo fills the crop that the network was trained on, so that a 4:3 photo has a
        # short side of 355, 445 or 535 pixels. Published: short side 360 to 1080, windows of that crop.
        size=_square(crop, IMAGENET_COLOUR),
        presets=_presets(*presets),
        trained_on="MSeg, 3 million crops",
        notes=f"published inference: windows of {crop} at two thirds of it, flipped too, softmax averaged; "
        "its authors find a short side of 360 often best",
    )


def _fcn(
    data: str, folder: str, file: str, classes: str, size: SizeSpec, *, miou: Mapping[str, float], notes: str
) -> PublishedModel:
    """Describe one of mmsegmentation's FCN-HR48; its file names end with the first digits of their sha256."""
    kinds = taxonomy(classes)
    return PublishedModel(
        name=f"fcn-hr48-{data}",
        architecture=Architecture(
            n_classes=len(kinds.classes), align_corners=False, final_align_corners=False, head_bias=False
        ),
        checkpoint=Checkpoint(
            url=f"https://download.openmmlab.com/mmsegmentation/v0.5/hrnet/{folder}/{file}",
            file=file,
            about=_FLOATS * 66_000_000,
            sha256_prefix=file.removesuffix(".pth")[-8:],
            layout="mmsegmentation",
            published_at="https://github.com/open-mmlab/mmsegmentation/tree/main/configs/hrnet",
            licence=_MMSEG_LICENCE,
            miou=miou,
        ),
        classes=kinds.classes,
        taxonomy=kinds,
        size=size,
        presets=_presets(),
        trained_on={"ade20k": "ADE20K", "pascal-context": "Pascal-Context", "cityscapes": "Cityscapes"}[data],
        notes=notes,
    )


_SINGLE, _MULTI = "single scale", "scales and flip"
_HALF = "the published figure is for 2048 x 1024; here photos are 1024 long"

_ALL = (
    _hrnet(
        "hrnet-w48-cocostuff",
        "hrnet_cocostuff_3617_torch04.pth",
        "cocostuff_171",
        _square(520, BLACK),
        trained_on="COCO-Stuff 10K (9,000 photos)",
        miou={_SINGLE: 36.2, _MULTI: 37.9},
        align_corners=True,
        notes="one of the two networks of the ISVC 2020 paper",
    ),
    _hrnet(
        "hrnet-w48-ocr-cocostuff",
        "hrnet_ocr_cocostuff_3965_torch04.pth",
        "cocostuff_171",
        _square(520, BLACK),
        trained_on="COCO-Stuff 10K (9,000 photos)",
        miou={_SINGLE: 39.7, _MULTI: 40.6},
        align_corners=True,
        head="ocr",
    ),
    _mseg(
        "480p",
        "mseg-3m-480p.pth",
        "1BeZt6QXLwVQJhOVd_NTnVTmtAO1zJYZ-",
        473,
        {"harmonic mean over six unseen sets": 61.2, "VOC": 76.4, "Pascal-Context": 45.9},
        ("mseg-360-flip", "mseg-480-flip", "mseg-360-ms-flip"),
    ),
    _mseg(
        "720p",
        "mseg-3m-720p.pth",
        "1Y9rHOn_8e_qLuOnl4NeOeueU-MXRi3Ft",
        593,
        {"harmonic mean over six unseen sets": 59.8, "VOC": 74.7, "Pascal-Context": 44.0},
        ("mseg-720-flip",),
    ),
    _mseg(
        "1080p",
        "mseg-3m.pth",
        "1iobea9IW2cWPF6DtM04OvKtDRVNggSb5",
        713,
        {"harmonic mean over six unseen sets": 59.8, "VOC": 72.0, "Pascal-Context": 44.0},
        ("mseg-1080-flip",),
    ),
    _hrnet(
        "hrnet-w48-ade20k",
        "hrnet_ade20k_4312_torch04.pth",
        "ade20k_150",
        _square(520, BLACK),
        trained_on="ADE20K",
        miou={_SINGLE: 43.1, _MULTI: 44.2},
        align_corners=True,
    ),
    _hrnet(
        "hrnet-w48-pascal-context",
        "hrnet_pascal_ctx_5410_torch11.pth",
        "pascal_context_59",
        _square(520, BLACK),
        trained_on="Pascal-Context",
        miou={_MULTI: 54.1},
        align_corners=False,
    ),
    _hrnet(
        "hrnet-w48-cityscapes",
        "hrnet_cs_8090_torch11.pth",
        "cityscapes_19",
        _street(BLACK),
        trained_on="Cityscapes",
        miou={_SINGLE: 80.9},
        align_corners=False,
        notes=f"for streets only; {_HALF}",
    ),
    _fcn(
        "ade20k",
        "fcn_hr48_512x512_160k_ade20k",
        "fcn_hr48_512x512_160k_ade20k_20200614_214407-a52fc02c.pth",
        "ade20k_150",
        _square(512, IMAGENET_COLOUR),
        miou={_SINGLE: 42.02, _MULTI: 43.86},
        notes="the published figure is for a short side of 512",
    ),
    _fcn(
        "pascal-context",
        "fcn_hr48_480x480_80k_pascal_context_59",
        "fcn_hr48_480x480_80k_pascal_context_59_20210411_003240-3ae7081e.pth",
        "pascal_context_59",
        _square(520, IMAGENET_COLOUR),
        miou={_SINGLE: 51.12, _MULTI: 53.56},
        notes="published inference: long side 520, windows of 480 every 320",
    ),
    _fcn(
        "cityscapes",
        "fcn_hr48_512x1024_160k_cityscapes",
        "fcn_hr48_512x1024_160k_cityscapes_20200602_190946-59b7973e.pth",
        "cityscapes_19",
        _street(IMAGENET_COLOUR),
        miou={_SINGLE: 80.65, _MULTI: 81.92},
        notes=f"for streets only; {_HALF}",
    ),
)

PUBLISHED: Mapping[str, PublishedModel] = {model.name: model for model in _ALL}
"""Every published model, by name."""

ALIASES: Mapping[str, str] = {"hrnet-w48-mseg": "hrnet-w48-mseg-480p"}
"""Other names. Of MSeg the 480p: the best of the three on unseen data by its authors' table, and the one
whose crop is nearest to the short side of 360 that they recommend."""
