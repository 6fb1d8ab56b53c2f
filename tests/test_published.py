# SPDX-License-Identifier: MIT
"""The facts about published models, written down here a second time from their publishers' code."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from semcbir.errors import ModelError
from semcbir.networks.cache import parse_name
from semcbir.networks.card import ModelCard
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.packaged import PACKAGED
from semcbir.networks.published import (
    ALIASES,
    ENCODERS,
    PUBLISHED,
    PublishedEncoder,
    PublishedModel,
    ResNetSpec,
    ViTSpec,
    published,
)
from semcbir.networks.specs import InputSpec, OutputSpec

CARDS = Path(__file__).with_name("cards")
every_model = pytest.mark.parametrize("model", PUBLISHED.values(), ids=list(PUBLISHED))

# name: classes, head, align_corners inside and last, bias of the head's first convolution, batch norm
NETWORKS = {
    "hrnet-w48-cocostuff": (171, "simple", True, True, True, "inplace_abn"),
    "hrnet-w48-ocr-cocostuff": (171, "ocr", True, True, True, "inplace_abn"),
    "hrnet-w48-mseg-480p": (194, "simple", False, True, True, "standard"),
    "hrnet-w48-mseg-720p": (194, "simple", False, True, True, "standard"),
    "hrnet-w48-mseg-1080p": (194, "simple", False, True, True, "standard"),
    "hrnet-w48-ade20k": (150, "simple", True, True, True, "inplace_abn"),
    "hrnet-w48-pascal-context": (59, "simple", False, False, True, "standard"),
    "hrnet-w48-cityscapes": (19, "simple", False, False, True, "standard"),
    "fcn-hr48-ade20k": (150, "simple", False, False, False, "standard"),
    "fcn-hr48-pascal-context": (59, "simple", False, False, False, "standard"),
    "fcn-hr48-cityscapes": (19, "simple", False, False, False, "standard"),
}


def test_every_network_is_described_as_its_publishers_build_it() -> None:
    found = {
        name: (
            model.architecture.n_classes,
            model.architecture.head,
            model.architecture.align_corners,
            model.card.align_corners,
            model.architecture.head_bias,
            model.checkpoint.batch_norm,
        )
        for name, model in PUBLISHED.items()
    }
    assert found == NETWORKS
    assert {(m.architecture.family, m.architecture.width) for m in PUBLISHED.values()} == {("hrnet", 48)}


@every_model
def test_a_card_can_be_made_of_it(model: PublishedModel) -> None:
    card = ModelCard(
        name=model.name,
        file=f"{model.name}.onnx",
        sha256="0" * 64,
        classes=model.card.classes,
        input=InputSpec(layout="NCHW", dtype="float32", mean=model.card.mean, std=model.card.std),
        size=model.card.size,
        output=OutputSpec(kind="logits", align_corners=model.card.align_corners),
        licence=model.card.licence,
        source=model.checkpoint.source,
        notes=model.card.notes,
    )
    assert ModelCard.from_dict(card.to_dict()) == card
    assert (card.n_classes, card.input.mean_colour()) == (model.architecture.n_classes, (124, 116, 104))


@every_model
def test_names_can_be_files_and_options(model: PublishedModel) -> None:
    assert model.name == model.name.lower()
    assert not set(model.name) & set("./\\: ")
    assert Path(model.checkpoint.file).name == model.checkpoint.file
    assert model.checkpoint.file.endswith(".pth")


@every_model
def test_it_is_said_where_it_is_and_on_what_terms(model: PublishedModel) -> None:
    checkpoint = model.checkpoint
    assert (checkpoint.url is None) != (checkpoint.gdrive_id is None)
    assert checkpoint.source.startswith("https://")
    assert checkpoint.url is None or checkpoint.url.endswith(f"/{checkpoint.file}")
    assert checkpoint.published_at.startswith("https://github.com/")
    assert model.card.licence.startswith("weights: none stated")
    assert 250e6 < (checkpoint.about or 0) < 550e6
    assert all(10 < value < 100 for value in checkpoint.miou.values())
    assert model.trained_on
    assert model.taxonomy
    assert model.taxonomy.source
    assert model.taxonomy.licence


def test_only_openmmlab_publishes_hashes_and_only_their_beginning() -> None:
    prefixes = {name: model.checkpoint.sha256_prefix for name, model in PUBLISHED.items()}
    assert {name: prefix for name, prefix in prefixes.items() if prefix} == {
        "fcn-hr48-ade20k": "a52fc02c",
        "fcn-hr48-pascal-context": "3ae7081e",
        "fcn-hr48-cityscapes": "59b7973e",
    }
    assert {model.checkpoint.sha256 for model in PUBLISHED.values()} == {None}


def test_hrnet_pads_with_black_and_the_others_with_the_mean() -> None:
    padded = {name: model.card.size.pad for name, model in PUBLISHED.items()}
    black = {name for name, pad in padded.items() if pad == (0, 0, 0)}
    assert black == {name for name in PUBLISHED if name.startswith("hrnet") and "mseg" not in name}
    assert set(padded.values()) == {(0, 0, 0), (124, 116, 104)}


def test_the_canvas_is_that_of_the_training() -> None:
    def canvas(name: str) -> tuple[int, int]:
        size = published(name).card.size
        return size.canvas(*size.scaled(480, 640))

    assert canvas("hrnet-w48-cocostuff") == canvas("hrnet-w48-ade20k") == (520, 520)
    sides = [canvas(f"hrnet-w48-mseg-{resolution}") for resolution in ("480p", "720p", "1080p")]
    assert sides == [(473, 473), (593, 593), (713, 713)]
    assert canvas("fcn-hr48-ade20k") == (512, 512)
    street = published("hrnet-w48-cityscapes").card.size
    assert street.canvas(*street.scaled(1024, 2048)) == (512, 1024)


@pytest.mark.parametrize(
    ("name", "spots"),
    [
        # The paper's ids of COCO-Stuff, 1..182, without those that no picture has: 12, 26, 29, ...
        ("hrnet-w48-cocostuff", {1 - 1: "person", 13 - 2: "stop sign", 14 - 2: "parking meter"}),
        ("hrnet-w48-cocostuff", {90 - 11: "toothbrush", 92 - 12: "banner", 124 - 12: "grass"}),
        ("hrnet-w48-cocostuff", {155 - 12: "sea", 157 - 12: "sky-other", 169 - 12: "tree", 182 - 12: "wood"}),
        ("hrnet-w48-mseg-480p", {0: "backpack", 125: "person", 142: "sky", 174: "vegetation"}),
        ("hrnet-w48-mseg-480p", {175: "bicycle", 191: "wall", 193: "window_blind"}),
        ("hrnet-w48-ade20k", {0: "wall", 2: "sky", 12: "person", 126: "animal", 149: "flag"}),
        ("hrnet-w48-pascal-context", {0: "aeroplane", 1: "bag", 6: "bird", 36: "person", 58: "wood"}),
        ("hrnet-w48-cityscapes", {0: "road", 10: "sky", 11: "person", 13: "car", 18: "bicycle"}),
    ],
)
def test_classes_are_in_the_order_of_the_channels(name: str, spots: dict[int, str]) -> None:
    classes = published(name).card.classes
    assert {channel: classes[channel] for channel in spots} == spots


def test_both_coco_stuff_networks_have_eighty_things_and_no_unlabeled() -> None:
    simple, ocr = published("hrnet-w48-cocostuff"), published("hrnet-w48-ocr-cocostuff")
    assert simple.card.classes == ocr.card.classes
    assert len(set(simple.card.classes)) == 171
    assert "unlabeled" not in simple.card.classes
    # Stuff is in alphabetical order, things are not.
    assert list(simple.card.classes[80:]) == sorted(simple.card.classes[80:])


def test_ade20k_agrees_with_a_network_of_another_maker() -> None:
    # Its card shortens every name to its first word, and has a channel for "other" in front.
    names = json.loads((CARDS / "ade150.json").read_text(encoding="utf-8"))["classes"]
    assert [name.split()[0] for name in published("fcn-hr48-ade20k").card.classes] == names[1:]


def test_pascal_context_is_alphabetical_and_has_no_background() -> None:
    # The order of 59_labels.txt, with the classes of Pascal VOC first, is not that of these networks.
    classes = published("hrnet-w48-pascal-context").card.classes
    assert list(classes) == sorted(classes)
    assert "background" not in classes
    assert published("fcn-hr48-pascal-context").card.classes == classes


def test_presets_fit_the_model() -> None:
    for model in PUBLISHED.values():
        assert {"single-scale", "flip"} <= set(model.presets)
        for preset in model.presets.values():
            assert preset.crop is None or preset.crop == model.card.size.length
    assert "mseg-360-ms-flip" in published("hrnet-w48-mseg").presets


def test_an_alias_is_another_name() -> None:
    assert published("hrnet-w48-mseg") is PUBLISHED["hrnet-w48-mseg-480p"]
    assert not set(ALIASES) & set(PUBLISHED)
    assert set(ALIASES.values()) <= set(PUBLISHED)


@pytest.mark.parametrize("wrong", ["hrnet-w48-cocostuf", "HRNet-W48-CocoStuff", "hrnetw48-cocostuff"])
def test_a_misspelt_name_gets_the_right_one(wrong: str) -> None:
    with pytest.raises(ModelError, match=f"'{wrong}'; did you mean hrnet-w48-cocostuff"):
        published(wrong)


def test_an_unknown_name_gets_all_of_them() -> None:
    with pytest.raises(
        ModelError, match="known are default, hrnet-w48-cocostuff, .*fcn-hr48-cityscapes.*resnet50"
    ):
        published("segformer")


@pytest.mark.parametrize("name", ["default", *PACKAGED])
def test_a_model_without_a_checkpoint_leads_to_those_with_one(name: str) -> None:
    with pytest.raises(ModelError, match=f"^{name} .*, not from a checkpoint; models ") as error:
        published(name)
    _, _, said = str(error.value).partition(" checkpoint are ")
    assert said.split(", ") == [*PUBLISHED, *ENCODERS]


@pytest.mark.parametrize("name", ["default", "efficientnet-lite0", *PUBLISHED, *ENCODERS, *ALIASES])
@pytest.mark.parametrize("ending", ["", "-fp32", "-int8", "-logits", "-logits-fp16", "-labels", "x"])
def test_nobody_is_asked_whether_they_mean_what_they_said(name: str, ending: str) -> None:
    try:
        parse_name(name + ending)
    except ModelError as error:
        _, _, suggested = str(error).partition("did you mean ")
        assert name + ending not in suggested.rstrip("?").split(" or ")


def test_an_empty_name_is_refused_in_plain_words() -> None:
    with pytest.raises(
        ModelError, match=r"expected the name of a model, got an empty one; known are default, "
    ):
        published("")


def test_a_model_with_too_few_classes_cannot_be_made() -> None:
    model = published("hrnet-w48-cityscapes")
    with pytest.raises(ValueError, match="expected 19 names, got 18"):
        dataclasses.replace(model, card=dataclasses.replace(model.card, classes=model.card.classes[:-1]))


# --- encoders -----------------------------------------------------------------------------------------------

every_encoder = pytest.mark.parametrize("encoder", ENCODERS.values(), ids=list(ENCODERS))


def test_every_encoder_is_described_as_its_publishers_build_it() -> None:
    assert {name: encoder.architecture for name, encoder in ENCODERS.items()} == {
        # facebookresearch/dinov2: vit_small and vit_base at 518 pixels, in patches of 14
        "dinov2-vits14": ViTSpec(width=384, depth=12, heads=6, patch=14, table=518 // 14),
        "dinov2-vitb14": ViTSpec(width=768, depth=12, heads=12, patch=14, table=518 // 14),
        "resnet50": ResNetSpec(blocks=(3, 4, 6, 3), width=64, n_classes=1000),
    }
    grids = {
        name: encoder.card.size.length // encoder.architecture.stride for name, encoder in ENCODERS.items()
    }
    assert grids == {"dinov2-vits14": 16, "dinov2-vitb14": 16, "resnet50": 7}
    assert {name: encoder.card.dim for name, encoder in ENCODERS.items()} == {
        "dinov2-vits14": 384,
        "dinov2-vitb14": 768,
        "resnet50": 2048,
    }


def test_where_encoders_are() -> None:
    addresses = {name: encoder.checkpoint.source for name, encoder in ENCODERS.items()}
    meta = "https://dl.fbaipublicfiles.com/dinov2"
    assert addresses == {
        "dinov2-vits14": f"{meta}/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "dinov2-vitb14": f"{meta}/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "resnet50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
    }
    # torchvision's file name has the beginning of its hash; the others' hashes nobody published
    assert {encoder.checkpoint.sha256 for encoder in ENCODERS.values()} == {None}
    assert {encoder.checkpoint.size for encoder in ENCODERS.values()} == {None}
    assert [encoder.checkpoint.sha256_prefix for encoder in ENCODERS.values()] == [None, None, "11ad3fa6"]


@every_encoder
def test_an_encoders_card_can_be_made_of_it(encoder: PublishedEncoder) -> None:
    draft = encoder.card
    assert (draft.mean, draft.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    card = EncoderCard(
        name=encoder.name,
        file=f"{encoder.name}.onnx",
        sha256="0" * 64,
        input=InputSpec(layout="NHWC", dtype="uint8"),
        size=draft.size,
        dim=draft.dim,
        licence=draft.licence,
        source=encoder.checkpoint.source,
        notes=draft.notes,
    )
    assert EncoderCard.from_dict(card.to_dict()) == card
    assert "weights" in draft.licence
    assert encoder.checkpoint.url is not None
    assert encoder.checkpoint.url.endswith(f"/{encoder.checkpoint.file}")
    assert encoder.checkpoint.published_at.startswith("https://github.com/")
    assert published(encoder.name) is encoder
    assert encoder.trained_on


def test_an_encoder_that_contradicts_itself_cannot_be_made() -> None:
    encoder = ENCODERS["dinov2-vits14"]
    with pytest.raises(ValueError, match="dim: expected 384, as its architecture gives, got 385"):
        dataclasses.replace(encoder, card=dataclasses.replace(encoder.card, dim=385))
    uneven = dataclasses.replace(encoder.card.size, length=225)
    with pytest.raises(
        ValueError, match=r"size\.length: expected a multiple of 14, the side of a cell, got 225"
    ):
        dataclasses.replace(encoder, card=dataclasses.replace(encoder.card, size=uneven))
    padded = published("hrnet-w48-cityscapes").card.size
    with pytest.raises(ValueError, match="size.rule: expected 'squash' for an encoder, got 'long_side'"):
        dataclasses.replace(encoder.card, size=padded)
