# SPDX-License-Identifier: MIT
"""Groups of classes that a model's card gives: in searches, in contents, in what is said of a model."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import semcbir
from semcbir import Index, IndexStorageError
from semcbir.cli.app import app
from semcbir.errors import ModelError
from semcbir.networks.card import ModelCard
from semcbir.networks.groups import ClassNames, groups, known_groups, plain_name
from tiny_models import BLUE, CLASSES, DARK, RED, card_of, tiny_model

GROUPS = {"warm": ["red"], "Cool colours": ["BLUE", "dark"]}


def photo(*colours: str) -> Image.Image:
    """A photo of stripes of so many colours, each as wide."""
    image = Image.new("RGB", (60, 40))
    for place, colour in enumerate(colours):
        image.paste(colour, (place * 60 // len(colours), 0, (place + 1) * 60 // len(colours), 40))
    return image


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "photos").mkdir()
    colours = {"r": "red", "g": "lime", "b": "blue", "k": "black"}
    for name in ("rb", "gk", "rg", "bk"):
        photo(*(colours[letter] for letter in name)).save(folder / "photos" / f"{name}.png")
    model = tiny_model(folder / "tiny.onnx", groups=GROUPS)
    return Index.build(folder / "photos", folder / "index", model=model, features="hog", device="cpu")


def found(images: semcbir.FoundImages) -> set[str]:
    return {image.path.stem for image in images}


def test_groups_of_the_card_are_asked_for_like_those_that_ship(index: Index) -> None:
    assert index.classes == tuple(CLASSES)
    assert index.classes.groups == {name: tuple(members) for name, members in GROUPS.items()}
    assert found(semcbir.find(index, only="cool_colours")) == {"rb", "gk", "bk"}
    assert found(semcbir.find(index, only=["warm", "cool colours"])) == {"rb"}
    assert semcbir.find(index, only="cool colours")[0].shares == {"cool colours": 1.0}
    query = np.asarray(photo("red", "blue", "black"))
    cool = semcbir.search(query, index, only="cool colours")
    both = semcbir.search(query, index, only=["blue", "dark"])
    assert list(cool) == list(both)
    assert {hit.path.stem for hit in semcbir.search(query, index, without="warm")} == {"gk", "bk"}
    weighted = semcbir.search(query, index, weights={"cool colours": 2})
    assert list(weighted) == list(semcbir.search(query, index, weights={"blue": 2, "dark": 2}))
    names = {row.name: row for row in index.contents().groups}
    assert (names["cool colours"].labels, names["cool colours"].images) == ((BLUE, DARK), 3)
    assert (names["warm"].labels, names["warm"].images) == ((RED,), 2)
    rows = semcbir.explain(query, cool[0], index, only="warm").rows
    assert {row.name: row.weight for row in rows if row.name in CLASSES}["red"] == 1


def test_the_command_knows_them(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> tuple[object, str]:
        with pytest.raises(SystemExit) as stop:
            app([str(argument) for argument in arguments], "semcbir")
        printed = capsys.readouterr()
        return stop.value.code or 0, " ".join((printed.out + printed.err).split())

    status, printed = run("find", index.path, "warm -cool_colours", "--paths")
    assert (status, Path(printed).stem) == (0, "rg")
    status, printed = run("find", index.path, "worm")
    assert status == 1
    assert "did you mean 'warm'?" in printed
    assert "cool colours" in run("info", index.path, "--classes")[1]
    assert "Cool colours: BLUE, dark" in run("models", "show", index.path.parent / "tiny.onnx")[1]


def test_an_index_keeps_the_groups_of_the_day_it_was_made(index: Index, tmp_path: Path) -> None:
    tiny_model(tmp_path / "tiny.onnx", groups={"warm": ["green"]})
    index.refresh(extractor=index.extractor(model=tmp_path / "tiny.onnx"))
    assert Index.open(index.path).classes.groups["warm"] == ("red",)
    tiny_model(tmp_path / "plain.onnx")
    plain = Index.build(index.roots, tmp_path / "index", model=tmp_path / "plain.onnx", features="hog")
    assert plain.classes.groups == {}
    assert plain.recipe == index.recipe, "groups decide no number"


@pytest.mark.parametrize(
    "stored",
    ["", "{", "[]", "3", '{"a": "red"}', '{"a": [1]}', '{"a": null}', "[" * 100_000, b"\xff", 7],
    ids=["empty", "cut", "list", "number", "text", "numbers", "null", "deep", "bytes", "integer"],
)
def test_damaged_groups_of_an_index_are_refused(tmp_path: Path, index: Index, stored: Any) -> None:
    model = tiny_model(tmp_path / "tiny.onnx", groups=GROUPS)
    made = Index.build(index.roots, tmp_path / "index", model=model, features="hog", device="cpu")
    made.close()
    with sqlite3.connect(made.path / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE meta SET value = ? WHERE key = 'groups'", (stored,))
    catalog.close()
    with pytest.raises(IndexStorageError, match=r"the groups of index .* are damaged"):
        Index.open(made.path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"groups: expected an object"),
        ({"": ["red"]}, r"groups: expected text"),
        ({"x" * 201: ["red"]}, r"groups: expected at most 200 characters"),
        ({"warm": "red"}, r"groups\.warm: expected a list"),
        ({"warm": []}, r"groups\.warm: expected at least one class, got none"),
        ({"warm": [3]}, r"groups\.warm: expected text"),
        ({"warm": ["pink"]}, r"groups\.warm: the model has no class 'pink'"),
        (
            {"cool one": ["red"], "Cool_One": ["blue"]},
            r"groups\.Cool_One: expected names of groups that differ",
        ),
        ({str(n): ["red"] for n in range(1025)}, r"groups: expected at most 1024, got 1025"),
        ({"warm": ["r" + "_" * 150 + "ed"]}, r"groups\.warm: the model has no class"),
        ({"warm": ["red"] * 400_000}, r"groups: expected names of at most"),
    ],
)
def test_wrong_groups_of_a_card_are_refused(tmp_path: Path, given: Any, message: str) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"any")
    with pytest.raises(ModelError, match=message):
        ModelCard.from_dict(card_of(path, "labels") | {"groups": given})


def test_groups_survive_saving_and_name_classes_of_a_taxonomy_too(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"any")
    inference = {"taxonomy": {"colour": ["red", "green", "blue"], "rest": ["dark"]}}
    given = {"all": ["colour", "rest"], "some": ["red"]}
    card = ModelCard.from_dict(card_of(path, "logits") | {"groups": given, "inference": inference})
    card.save(tmp_path / "card.json")
    assert ModelCard.load(tmp_path / "card.json") == card
    assert json.loads((tmp_path / "card.json").read_text())["groups"] == given
    assert "groups" not in card.preprocessing_dict()
    assert known_groups(ClassNames(card.labels, card.groups)) == {"all": (0, 1)}


@given(
    st.lists(st.sampled_from(["dog", "Dog", "cow", "sea", "sky", "x y", "x_y", "wall"]), max_size=9),
    st.dictionaries(
        st.sampled_from(["animal", "Water", "mine"]),
        st.lists(st.sampled_from(["dog", "X-Y", "sea"])),
        max_size=3,
    ),
)
def test_groups_are_the_classes_with_the_plain_names_of_their_members(
    classes: list[str], own: dict[str, list[str]]
) -> None:
    """Of a card's groups, and of those that ship where the card has none of that name."""
    expected = {}
    members_of = {name: set(members) for name, members in groups().items()}
    members_of |= {plain_name(name): {plain_name(one) for one in members} for name, members in own.items()}
    for name, members in members_of.items():
        if labels := tuple(i for i, one in enumerate(classes) if plain_name(one) in members):
            expected[name] = labels
    assert known_groups(ClassNames(classes, own)) == expected
