# SPDX-License-Identifier: MIT
"""Families of classes that people expect a colour of: the sky is blue, plants are green, and so on."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semcbir.networks.groups import groups, plain_name

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Family:
    """Classes of one tone.

    Shades lie between two bounds of ``lightness`` (0 to 1), of ``chroma`` (0 is grey, 0.3 glaring) and of
    ``hue`` (degrees), those of OKLab. ``colours`` are those of classes by plain name, the usual ones first;
    ``group`` names a group of classes that belong here, too, and ``words`` other plain names.
    """

    lightness: tuple[float, float]
    chroma: tuple[float, float]
    hue: tuple[float, float]
    colours: Mapping[str, Colour]
    group: str | None = None
    words: Sequence[str] = ()


FAMILIES: Mapping[str, Family] = {
    "sky": Family(
        (0.74, 0.92), (0.04, 0.15), (215, 262),
        {"sky": (125, 190, 250), "clouds": (185, 225, 250), "fog": (140, 185, 205)},
        group="sky",
        words=("cloud", "mist"),
    ),
    "water": Family(
        (0.34, 0.66), (0.09, 0.22), (220, 276),
        {"water": (40, 120, 220), "sea": (15, 60, 140), "river": (20, 135, 170), "lake": (85, 95, 215)},
        group="water",
        words=("ocean", "pond", "swimming", "waterdrops", "wave", "fountain"),
    ),
    "plant": Family(
        (0.36, 0.88), (0.06, 0.26), (112, 156),
        {"tree": (15, 105, 40), "grass": (145, 215, 75), "plant": (45, 165, 75), "vegetation": (85, 135, 20)},
        group="plant",
        words=("field", "playingfield", "forest", "hedge", "lawn", "meadow", "shrub", "woodland"),
    ),
    "people": Family(
        (0.45, 0.7), (0.18, 0.27), (8, 31),
        {"person": (235, 15, 55)},
        group="people",
        words=("people", "human", "man", "woman", "child", "face", "pedestrian"),
    ),
    "animal": Family(
        (0.66, 0.93), (0.13, 0.22), (56, 108),
        {"animal": (255, 140, 0), "dog": (255, 185, 40), "cat": (240, 220, 40), "horse": (225, 120, 0)},
        group="animal",
        words=("fish", "insect", "pig", "rabbit", "deer", "monkey", "duck", "lion", "tiger"),
    ),
    "earth": Family(
        (0.4, 0.82), (0.04, 0.125), (52, 95),
        {"earth": (160, 100, 20), "mountain": (110, 70, 25), "sand": (220, 185, 120),
         "rock": (180, 145, 110)},
        words=("cliff", "desert", "dirt", "dirt track", "gravel", "ground", "hill", "land", "mud", "soil",
               "stone", "terrain"),
    ),
    "building": Family(
        (0.38, 0.72), (0.07, 0.155), (24, 44),
        {"building": (175, 70, 60), "house": (215, 120, 100)},
        group="building",
        words=("brick", "castle", "church", "grandstand", "hut", "temple", "wall brick"),
    ),
    "road": Family(
        (0.3, 0.82), (0, 0.018), (0, 360),
        {"road": (70, 70, 75), "sidewalk": (190, 190, 195), "pavement": (195, 195, 190)},
        words=("asphalt", "crosswalk", "parking", "platform", "railroad", "path", "runway", "street",
               "track"),
    ),
    "snow": Family(
        (0.93, 0.985), (0, 0.02), (0, 360), {"snow": (235, 240, 246)}, words=("glacier", "ice"),
    ),
}  # fmt: skip
"""Families by name; the colours of the usual classes differ clearly from each other."""

_NOT = frozenset({"hot dog", "teddy bear", "wall stone", "floor stone"})
"""Names that hold a family's word and are something else."""


@functools.cache
def _members() -> dict[str, str]:
    """Return the family of each plain name that belongs to one."""
    found: dict[str, str] = {}
    for name, family in FAMILIES.items():
        of_group = groups()[family.group] if family.group else ()
        found |= dict.fromkeys((*family.colours, *of_group, *map(plain_name, family.words)), name)
    return found


def family_of(name: str) -> tuple[str, Colour | None] | None:
    """Return the family that a class belongs to by its name, and its own colour there; None if in none.

    Of a name that is not known the first or the last word decides: "tree-merged", "concrete road".
    """
    plain, members = plain_name(name), _members()
    if plain in _NOT or (plain not in members and any(plain in known for known in groups().values())):
        return None
    words = plain.split() or [""]
    known = next((one for one in (plain, words[0], words[-1]) if one in members), None)
    return None if known is None else (members[known], FAMILIES[members[known]].colours.get(known))
