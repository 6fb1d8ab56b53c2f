# SPDX-License-Identifier: MIT
"""Classes have the colours that people expect, and no two of a network have the same."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import semcbir
from semcbir.networks.names import resolve
from semcbir.networks.taxonomy import taxonomy
from semcbir.pictures.colours import NAMED, VOID, class_colours, network_colours, picture_colours
from semcbir.pictures.families import FAMILIES, family_of

TAXONOMIES = sorted(p.stem for p in Path(semcbir.__file__).parent.glob("networks/taxonomies/*.json"))
NETWORKS = {"default": resolve()[1].classes} | {name: taxonomy(name).classes for name in TAXONOMIES}
NETWORK = pytest.mark.parametrize("classes", NETWORKS.values(), ids=NETWORKS)
OUTDOOR = {
    *("sky", "tree", "grass", "plant", "field", "earth", "mountain", "rock", "sand", "hill", "land"),
    *("water", "sea", "river", "road", "sidewalk", "path", "building", "house", "person", "animal"),
}


def colours_of(classes: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    rows = network_colours(classes).tolist()
    return {name: (r, g, b) for name, (r, g, b) in zip(classes, rows, strict=True)}


def nearest_pair(colours: Any) -> float:
    """In CIE L*a*b*, where 2.3 can just be seen."""
    lab = cv2.cvtColor(np.float32([colours]) / 255, cv2.COLOR_RGB2Lab)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return float(apart[~np.eye(len(lab), dtype=bool)].min())


def tone(colour: tuple[int, int, int]) -> str:
    """What people would call a colour, roughly."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
    hue *= 360
    if saturation < 0.12:
        return "white" if value > 0.88 else "grey"
    if value < 0.9 and 8 < hue < 50 and (saturation < 0.63 or value < 0.66):
        return "brown"
    for end, name in ((6, "red"), (24, "brick"), (65, "yellow"), (170, "green"), (265, "blue")):
        if hue < end:
            return name
    return "red" if hue > 330 else "purple"


EXPECTED = {
    "sky": {"blue"},
    "water": {"blue"},
    "plant": {"green", "yellow"},  # yellowish greens
    "people": {"red"},
    "animal": {"yellow", "brick"},
    "earth": {"brown", "yellow"},
    "building": {"red", "brick", "brown"},
    "road": {"grey"},
    "snow": {"white"},
}


@NETWORK
def test_classes_have_the_colours_that_people_expect(classes: tuple[str, ...]) -> None:
    wrong, seen = [], set()
    for name, colour in colours_of(classes).items():
        if known := family_of(name):
            seen.add(known[0])
            if tone(colour) not in EXPECTED[known[0]]:
                wrong.append((name, known[0], colour, tone(colour)))
    assert not wrong
    assert seen >= {"plant", "people", "building", "road", "earth"}


@NETWORK
def test_no_two_classes_of_a_network_have_the_same_colour(classes: tuple[str, ...]) -> None:
    colours = network_colours(classes)
    assert colours.shape == (len(classes), 3)
    assert colours.dtype == np.uint8
    assert nearest_pair([*colours.tolist(), VOID]) > 3


def test_the_usual_classes_have_colours_of_their_own() -> None:
    colours = colours_of(NETWORKS["default"])
    for family in FAMILIES.values():
        for name, colour in family.colours.items():
            assert colours.get(name, colour) == colour
    blues = [colours[name] for name in ("sky", "water", "sea", "river")]
    assert {tone(blue) for blue in blues} == {"blue"}
    assert nearest_pair(blues) > 20
    assert tone(colours["grass"]) == tone(colours["tree"]) == "green"
    assert tone(colours["person"]) == "red"
    assert tone(colours["mountain"]) == tone(colours["sand"]) == "brown"
    assert tone(colours["road"]) == tone(colours["sidewalk"]) == "grey"
    assert tone(colours["building"]) in ("brick", "red")
    assert tone(colours_of(NETWORKS["cocostuff_171"])["snow"]) == "white"


def test_the_same_names_have_the_same_colours_in_every_network() -> None:
    every = [colours_of(classes) for classes in NETWORKS.values()]
    for name in ("sky", "person", "road", "grass", "tree", "mountain", "sea"):
        assert len({colours[name] for colours in every if name in colours}) == 1


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Sky", "sky"),
        ("sky-other-merged", "sky"),
        ("River_Lake", "water"),
        ("tree-merged", "plant"),
        ("wet sand", "earth"),
        ("concrete road", "road"),
        ("house", "building"),
        ("hot dog", None),
        ("teddy_bear", None),
        ("wall-stone", None),
        ("floor-stone", None),
        ("autorickshaw", None),
        ("", None),
        ("\n", None),
    ],
)
def test_the_family_of_a_name(name: str, family: str | None) -> None:
    found = family_of(name)
    assert (found and found[0]) == family


def test_names_that_repeat_or_are_many_have_colours_too() -> None:
    for classes in (("sky",) * 90, ("road",) * 60, ("a",) * NAMED, ()):
        colours = network_colours(classes)
        assert len({tuple(colour) for colour in colours.tolist()}) == len(classes)
    many = tuple(map(str, range(NAMED + 5)))
    assert picture_colours([NAMED + 3], many) == {NAMED + 3: tuple(class_colours()[(NAMED + 3) % 256])}
    assert picture_colours([3, 70], ("sky",))[70] == picture_colours([3, 70])[70]


def test_the_classes_of_one_picture_differ_clearly_and_most_keep_their_colours() -> None:
    classes = NETWORKS["default"]
    own = colours_of(classes)
    rng = np.random.default_rng(5)
    kept = []
    for names in (classes, sorted(OUTDOOR)):
        for _ in range(300):
            chosen = rng.choice(list(names), 9, replace=False).tolist()
            colours = picture_colours([classes.index(name) for name in chosen], classes)
            assert nearest_pair([*colours.values(), VOID]) > 12
            kept += [colours[classes.index(name)] == own[name] for name in chosen]
    assert np.mean(kept) > 0.65


def test_what_gives_way_does_not_look_like_a_family() -> None:
    """A class that is like another one of the picture gets a shade of its family, or no family's colour."""
    classes = NETWORKS["default"]
    names = ("sea", "water", "river", "grass", "sky", "sand", "tree", "mountain", "field", "fence")
    colours = picture_colours([classes.index(name) for name in names], classes)
    tones = {name: tone(colours[classes.index(name)]) for name in names}
    assert {tones[name] for name in ("sea", "water", "river")} == {"blue"}
    assert {tones[name] for name in ("grass", "tree", "field")} == {"green"}
    assert colours[classes.index("fence")] != colours_of(classes)["fence"]
    assert tones["fence"] == "purple"
