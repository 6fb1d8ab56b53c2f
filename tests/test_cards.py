# SPDX-License-Identifier: MIT
"""Model cards, and finding the files of the model that a user names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcbir.errors import ModelError
from semcbir.networks.card import ModelCard
from semcbir.networks.names import resolve
from semcbir.networks.specs import SizeSpec
from tiny_models import card_of, tiny_model

CARDS = Path(__file__).parent / "cards"


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """The card of the tiny logits network, as JSON values."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"any")
    return card_of(path, "logits")


def changed(plain: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """The card with ``field`` ("size.length") replaced, or removed where ``value`` is ``...``."""
    copy = json.loads(json.dumps(plain))
    *parents, last = field.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy


def test_a_card_survives_saving_and_loading(plain: dict[str, Any], tmp_path: Path) -> None:
    plain |= {"name": "größe", "void": 300, "notes": "two\nlines", "measured": {"miou": [0.5, None]}}
    plain["inference"] = {"flip": True, "scales": [1], "taxonomy": {"warm": ["red"], "rest": []}}
    card = ModelCard.from_dict(plain)
    card.save(tmp_path / "card.json")
    assert ModelCard.load(tmp_path / "card.json") == card
    assert ModelCard.from_dict(card.to_dict()) == card
    assert json.loads(json.dumps(card.to_dict())) == card.to_dict()


def test_fields_left_out_take_their_documented_values(plain: dict[str, Any]) -> None:
    for field in ("masked", "void", "licence", "source", "input.colour", "size.offset", "size.multiple"):
        plain = changed(plain, field, ...)
    card = ModelCard.from_dict(plain)
    assert (card.masked, card.void, card.licence, card.notes) == ((), None, "", "")
    assert (card.input.colour, card.size.multiple, card.size.offset) == ("RGB", 1, 0)
    assert card.size.pad == (124, 116, 104)  # the mean colour, 0..255


def test_padding_is_the_mean_colour_of_the_card(plain: dict[str, Any]) -> None:
    plain = changed(plain, "input.mean", [0.5, 0.0, 1.0])
    assert ModelCard.from_dict(plain).size.pad == (128, 0, 255)
    assert ModelCard.from_dict(changed(plain, "size.pad", [0, 1, 2])).size.pad == (0, 1, 2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", 2, "format: expected 1"),
        ("format", ..., "format: expected 1"),
        ("name", "", "name: expected text"),
        ("name", ..., "name: missing"),
        ("file", "../other.onnx", "file: expected the bare name"),
        ("file", "model.pt", "file: expected the bare name"),
        ("sha256", "abc", "sha256: expected 64"),
        ("classes", [], "classes: expected 1 to 65536 names, got 0"),
        ("classes", "wall", "classes: expected a list"),
        ("classes", ["wall", 3], "classes: expected text, got 3"),
        ("masked", [5], "masked: expected an integer from 0 to 4, got 5"),
        ("masked", [-1], "masked: expected an integer"),
        ("masked", [0, 1, 2, 3, 4], "masked: expected at least one class"),
        ("masked", [True], "masked: expected an integer"),
        ("void", 65536, "void: expected an integer"),
        ("void", "none", "void: expected an integer"),
        ("input", [1], "input: expected an object"),
        ("input", ..., "input: missing"),
        ("input.layout", "CHW", "input.layout: expected 'NCHW' or 'NHWC'"),
        ("input.dtype", "uint8", "input.mean: a uint8 input is normalised by the graph"),
        ("input.colour", "rgb", "input.colour: expected 'RGB' or 'BGR'"),
        ("input.mean", None, "expected both or neither"),
        ("input.mean", [0.5, 0.5], "input.mean: expected 3 finite numbers"),
        ("input.mean", [0.5, 0.5, float("nan")], "input.mean: expected 3 finite numbers"),
        ("input.std", [0.5, 0.5, 0], "input.std: expected numbers above 0"),
        ("input.scale", 255, "input.scale: unknown field"),
        ("size.rule", "short_side", "size.rule: expected 'long_side'"),
        ("size.length", 0, "size.length: expected an integer from 1"),
        ("size.length", 257.0, "size.length: expected an integer from 1"),
        ("size.multiple", 0, "size.multiple: expected an integer from 1"),
        ("size.offset", 16, "size.offset: expected an integer from 0 to 15"),
        ("size.pad", [0, 0], "size.pad: expected 3 integers"),
        ("size.pad", [0, 0, 256], "size.pad: expected an integer from 0 to 255"),
        ("output.kind", "scores", "output.kind: expected 'labels' or 'logits'"),
        ("output.kind", "labels", "masked: a model that gives labels"),
        ("output.align_corners", 1, "output.align_corners: expected true or false"),
        ("output.name", "", "output.name: expected text"),
        ("licence", None, "licence: expected text"),
        ("palette", [], "palette: unknown field"),
        ("measured", [1], "measured: expected an object that JSON can hold"),
        ("measured", {"miou": float("nan")}, "measured: expected an object that JSON can hold"),
        ("inference", 3, "inference: expected an object"),
        ("inference", {"crop": 0}, "inference.crop: expected an integer from 1"),
        ("inference", {"window": 9}, "inference.window: unknown field"),
        ("inference", {"taxonomy": {"sky": ["clouds"]}}, "taxonomy.sky: the model has no class 'clouds'"),
    ],
)
def test_a_wrong_field_is_named(
    plain: dict[str, Any], tmp_path: Path, field: str, value: Any, message: str
) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(changed(plain, field, value)), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        ModelCard.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"3", b"null", b"[" * 100_000],
    ids=["empty", "cut", "not UTF-8", "list", "number", "null", "deep"],
)
def test_a_file_that_is_not_a_card_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"card\.json: not a"):
        ModelCard.load(path)


def test_empty_inference_settings_are_not_written(plain: dict[str, Any]) -> None:
    card = ModelCard.from_dict(plain | {"inference": None, "measured": {}})
    assert not {"inference", "measured"} & set(card.to_dict())
    assert hash(card) == hash(ModelCard.from_dict(plain | {"measured": {"miou": 0.5}}))


def test_the_label_type_holds_every_label(plain: dict[str, Any]) -> None:
    def label_dtype(n_classes: int, void: int | None) -> str:
        names = [f"class {i}" for i in range(n_classes)]
        return ModelCard.from_dict(plain | {"classes": names, "void": void}).label_dtype.name

    assert label_dtype(256, None) == label_dtype(5, 255) == "uint8"
    assert label_dtype(257, None) == label_dtype(5, 256) == "uint16"


def test_the_recipe_part_holds_what_decides_labels_and_nothing_else(plain: dict[str, Any]) -> None:
    recipe = ModelCard.from_dict(plain).preprocessing_dict()
    assert json.loads(json.dumps(recipe)) == recipe
    other = {"licence": "other", "notes": "x", "measured": {"miou": 0.5}}
    assert ModelCard.from_dict(plain | other).preprocessing_dict() == recipe
    assert ModelCard.from_dict(plain | {"inference": {"flip": False}}).preprocessing_dict() == recipe
    assert list(recipe) == ["name", "sha256", "classes", "masked", "void", "input", "size", "output"]
    for field, value in [
        ("masked", []),
        ("void", 3),
        ("sha256", "0" * 64),
        ("classes", list("abcde")),
        ("input.colour", "BGR"),
        ("size.pad", [0, 0, 0]),
        ("output.align_corners", False),
        ("inference", {"flip": True}),
        ("inference", {"crop": 9}),
    ]:
        other = ModelCard.from_dict(changed(plain, field, value)).preprocessing_dict()
        assert other != recipe, field


@pytest.mark.parametrize(
    ("size", "photo", "scaled", "canvas"),
    [
        # 32n + 1 at 257, the ADE20K network
        ((257, 32, 1), (256, 384), (171, 257), (193, 257)),
        ((257, 32, 1), (384, 256), (257, 171), (257, 193)),
        ((257, 32, 1), (257, 193), (257, 193), (257, 193)),
        ((257, 32, 1), (1, 1000), (1, 257), (33, 257)),
        # every photo on one square canvas: COCO-Stuff as published
        ((520, 520, 0), (256, 384), (347, 520), (520, 520)),
        ((520, 520, 0), (3, 1), (520, 173), (520, 520)),
        ((100, 1, 0), (50, 200), (25, 100), (25, 100)),
    ],
)
def test_the_size_rule(
    size: tuple[int, int, int], photo: tuple[int, int], scaled: tuple[int, int], canvas: tuple[int, int]
) -> None:
    length, multiple, offset = size
    rule = SizeSpec(rule="long_side", length=length, multiple=multiple, offset=offset)
    assert rule.scaled(*photo) == scaled
    assert rule.canvas(*scaled) == canvas


@given(st.integers(1, 600), st.integers(1, 64), st.data(), st.integers(1, 2000), st.integers(1, 2000))
def test_a_canvas_is_the_least_that_holds_the_photo(
    length: int, multiple: int, data: st.DataObject, height: int, width: int
) -> None:
    offset = data.draw(st.integers(0, multiple - 1))
    rule = SizeSpec(rule="long_side", length=length, multiple=multiple, offset=offset)
    scaled = rule.scaled(height, width)
    assert max(scaled) == length
    assert min(scaled) >= 1
    for side, canvas in zip(scaled, rule.canvas(*scaled), strict=True):
        assert canvas >= side
        assert canvas % multiple == offset
        assert canvas >= multiple
        assert canvas - multiple < max(side, multiple)


def test_the_cards_of_the_real_networks() -> None:
    ade, voc = (ModelCard.load(CARDS / name) for name in ("ade150.json", "voc21.json"))
    assert (ade.n_classes, ade.masked, ade.size.length, ade.classes[3]) == (151, (0,), 257, "sky")
    assert (voc.n_classes, voc.masked, voc.size.length, voc.classes[0]) == (21, (), 513, "background")


def test_a_model_is_found_by_its_file_and_by_its_card(tmp_path: Path) -> None:
    onnx = tiny_model(tmp_path / "tiny.onnx")
    path, card = resolve(onnx)
    assert (path, card.name) == (onnx, "tiny-labels")
    assert resolve(str(tmp_path / "tiny.json")) == (onnx, card)
    card.check_file(path)


def test_a_card_may_have_another_name_than_its_model(tmp_path: Path) -> None:
    onnx = tiny_model(tmp_path / "tiny.onnx")
    card = (tmp_path / "tiny.json").rename(tmp_path / "card.json")
    assert resolve(card)[0] == onnx
    with pytest.raises(ModelError, match=r"tiny\.json is not beside it"):
        resolve(onnx)


def test_missing_models_are_named(tmp_path: Path) -> None:
    onnx = tiny_model(tmp_path / "tiny.onnx")
    onnx.unlink()
    for model in (onnx, onnx.with_suffix(".json")):
        with pytest.raises(ModelError, match=r"tiny\.onnx: no such model file"):
            resolve(model)
    with pytest.raises(ModelError, match=r"absent\.json: cannot read the model card"):
        resolve(tmp_path / "absent.json")
    for other in (tmp_path, "model.pt"):
        with pytest.raises(ModelError, match=r"is not a model: expected an \.onnx file"):
            resolve(other)


def test_a_changed_model_file_is_noticed(tmp_path: Path) -> None:
    onnx = tiny_model(tmp_path / "tiny.onnx")
    _, card = resolve(onnx)
    data = bytearray(onnx.read_bytes())
    data[-1] ^= 1
    onnx.write_bytes(data)
    with pytest.raises(ModelError, match=r"tiny\.onnx: not the file that its card 'tiny-labels' describes"):
        card.check_file(onnx)
    with pytest.raises(ModelError, match=r"absent\.onnx: cannot read the model"):
        card.check_file(tmp_path / "absent.onnx")
