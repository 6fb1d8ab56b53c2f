# SPDX-License-Identifier: MIT
"""Encoders' cards; what they share with those of segmentation models is tested in test_cards.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from semcbir import EncoderCard, ModelCard
from semcbir.errors import ModelError
from semcbir.networks.card_file import Card
from semcbir.networks.specs import IMAGENET_COLOUR
from tiny_models import card_of, encoder_card, tiny_encoder


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """The card of the tiny encoder, as JSON values."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"any")
    return encoder_card(path)


def test_a_card_survives_saving_and_loading(plain: dict[str, Any], tmp_path: Path) -> None:
    card = EncoderCard.from_dict(
        plain | {"name": "größe", "notes": "two\nlines", "measured": {"ap": [0.5, None]}}
    )
    card.save(tmp_path / "card.json")
    assert EncoderCard.load(tmp_path / "card.json") == card
    assert EncoderCard.from_dict(card.to_dict()) == card
    assert json.loads(card.to_json()) == card.to_dict()
    assert list(card.to_dict())[:2] == ["format", "kind"]


def test_fields_left_out_take_their_documented_values(plain: dict[str, Any]) -> None:
    for name in ("output", "licence", "source"):
        del plain[name]
    card = EncoderCard.from_dict(plain)
    assert (card.output, card.licence, card.source, card.notes, card.measured) == (None, "", "", "", {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dim": 0}, "dim: expected an integer from 1 to 65536, got 0"),
        ({"dim": 65537}, "dim: expected an integer from 1 to 65536, got 65537"),
        ({"dim": 4.0}, "dim: expected an integer"),
        ({"dim": True}, "dim: expected an integer"),
        ({"output": ""}, "output: expected text, got"),
        ({"output": {"kind": "logits"}}, "output: expected text, got"),
        ({"file": "a/b.onnx"}, "file: expected the bare name of an .onnx file"),
        ({"sha256": "0"}, "sha256: expected 64 lower-case"),
        ({"classes": ["sky"]}, "classes: unknown field; expected some of name, file"),
        ({"format": 2}, "format: expected 1"),
        ({"kind": "decoder"}, "kind: expected 'encoder', got 'decoder'"),
        ({"kind": ["encoder"]}, "kind: expected 'encoder', got"),
        ({"kind": None}, "kind: expected 'encoder', got None"),
        (
            {"kind": "segmentation"},
            "kind: expected the card of an encoder, this is that of a segmentation model",
        ),
        ({"size": {"rule": "fit", "length": 9}}, "size.rule: expected 'long_side' or 'squash', got 'fit'"),
        (
            {"size": {"rule": "squash", "length": 9, "multiple": 3}},
            "the rule 'squash' pads nothing, expected 1 and 0",
        ),
        ({"size": {"rule": "squash", "length": 8000}}, "size: a canvas: expected at most 16777216 pixels"),
    ],
)
def test_what_is_wrong_is_named(plain: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError) as caught:
        EncoderCard.from_dict(plain | changes)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["name", "file", "sha256", "input", "size", "dim"])
def test_what_is_needed_is_named(plain: dict[str, Any], name: str) -> None:
    del plain[name]
    with pytest.raises(ModelError, match=f"{name}: missing"):
        EncoderCard.from_dict(plain)


def test_a_card_without_a_kind_is_a_segmentation_models(plain: dict[str, Any], tmp_path: Path) -> None:
    of_model = card_of(tmp_path / "tiny.onnx", "logits")
    assert ModelCard.from_dict(of_model | {"kind": "segmentation"}) == ModelCard.from_dict(of_model)
    assert "kind" not in ModelCard.from_dict(of_model).to_dict()
    del plain["kind"]
    with pytest.raises(ModelError, match="this is that of a segmentation model"):
        EncoderCard.from_dict(plain)


def test_what_decides_the_numbers(plain: dict[str, Any]) -> None:
    card = EncoderCard.from_dict(plain)
    decisive = card.preprocessing_dict()
    assert set(decisive) == {"kind", "name", "sha256", "input", "size", "output", "dim"}
    texts = {"licence": "x", "source": "y", "notes": "z", "measured": {"ap": 1}}
    assert EncoderCard.from_dict(plain | texts).preprocessing_dict() == decisive
    other = EncoderCard.from_dict(plain | {"size": {"rule": "squash", "length": 49}})
    assert other.preprocessing_dict() != decisive


def test_the_colour_of_padding_that_never_is_does_not_count(plain: dict[str, Any]) -> None:
    size = plain["size"]
    cards = [EncoderCard.from_dict(plain | {"size": size | pad}) for pad in ({}, {"pad": [1, 2, 3]})]
    assert cards[0] == cards[1]
    assert cards[0].size.pad == IMAGENET_COLOUR


def test_a_card_belongs_to_its_file(tmp_path: Path) -> None:
    model = tiny_encoder(tmp_path / "m.onnx")
    card: Card = EncoderCard.load(model.with_suffix(".json"))
    card.check_file(model)
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the file that its card 'tiny-encoder' describes"):
        card.check_file(model)
