# SPDX-License-Identifier: MIT
"""COCO panoptic classes by the merged classes that they may be called, for measuring on real labels.

The two lists do not match class by class: what COCO calls water is sea, river, lake or pool in ADE20K. A
pixel counts as right where its label is one of those named here; pixels of COCO classes that the merged list
has no name for do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow")
NAMES: dict[str, tuple[str, ...]] = {
    "person": ("person", "apparel"),
    "bicycle": ("bicycle",),
    "car": ("car", "van"),
    "motorcycle": ("minibike",),
    "airplane": ("airplane",),
    "bus": ("bus",),
    "train": ("train",),
    "truck": ("truck", "van"),
    "boat": ("boat", "ship"),
    "traffic light": ("traffic",),
    "stop sign": ("signboard",),
    "bench": ("bench",),
    **{name: (name, "animal") for name in ANIMALS},
    **dict.fromkeys(("elephant", "bear", "zebra", "giraffe"), ("animal",)),
    "handbag": ("bag",),
    "backpack": ("bag",),
    "suitcase": ("bag", "box"),
    "sports ball": ("ball",),
    "bottle": ("bottle",),
    "wine glass": ("glass",),
    "cup": ("glass", "pot"),
    "chair": ("chair", "armchair", "swivel", "seat"),
    "couch": ("sofa",),
    "potted plant": ("plant", "flower", "pot"),
    "bed": ("bed",),
    "dining table": ("table", "desk"),
    "toilet": ("toilet",),
    "tv": ("television", "screen", "monitor", "crt"),
    "laptop": ("computer", "screen", "monitor"),
    "microwave": ("microwave",),
    "oven": ("oven", "stove"),
    "sink": ("sink",),
    "refrigerator": ("refrigerator",),
    "book": ("book",),
    "clock": ("clock",),
    "vase": ("vase",),
    "teddy bear": ("plaything",),
    **dict.fromkeys(("banana", "apple", "sandwich", "orange", "broccoli", "carrot"), ("food",)),
    **dict.fromkeys(("hot dog", "pizza", "donut", "cake", "fruit", "food-other-merged"), ("food",)),
    "blanket": ("blanket", "cushion", "bed"),
    "bridge": ("bridge",),
    "cardboard": ("box",),
    "counter": ("counter", "countertop", "buffet"),
    "curtain": ("curtain",),
    "door-stuff": ("door", "screen"),
    "floor-wood": ("floor",),
    "floor-other-merged": ("floor",),
    "flower": ("flower", "plant"),
    "gravel": ("path", "earth", "dirt"),
    "house": ("house", "building", "hovel"),
    "light": ("light", "lamp", "chandelier", "sconce", "streetlight"),
    "mirror-stuff": ("mirror",),
    "pillow": ("pillow", "cushion"),
    "platform": ("stage", "floor", "sidewalk"),
    "playingfield": ("field", "grass", "earth"),
    "railroad": ("runway", "path", "earth", "road"),
    "river": ("river", "water", "lake"),
    "road": ("road", "runway", "path"),
    "roof": ("building", "house", "awning"),
    "sand": ("sand", "earth", "land"),
    "sea": ("sea", "water", "lake"),
    "shelf": ("shelf", "bookcase"),
    "stairs": ("stairs", "stairway", "step"),
    "tent": ("tent", "canopy"),
    "towel": ("towel",),
    **{f"wall-{kind}": ("wall", "building") for kind in ("brick", "stone", "tile", "wood", "other-merged")},
    "water-other": ("water", "sea", "river", "lake", "pool", "swimming", "waterfall"),
    "window-blind": ("blind", "windowpane"),
    "window-other": ("windowpane",),
    "tree-merged": ("tree", "palm", "plant"),
    "fence-merged": ("fence", "railing"),
    "ceiling-merged": ("ceiling",),
    "sky-other-merged": ("sky",),
    "cabinet-merged": ("cabinet", "wardrobe", "chest"),
    "table-merged": ("table", "desk", "coffee", "counter", "countertop"),
    "pavement-merged": ("sidewalk", "path", "road"),
    "mountain-merged": ("mountain", "hill"),
    "grass-merged": ("grass", "field", "plant"),
    "dirt-merged": ("earth", "dirt", "path", "land", "field", "sand"),
    "building-other-merged": ("building", "house", "skyscraper", "tower", "hovel"),
    "rock-merged": ("rock", "mountain"),
    "rug-merged": ("rug",),
}


def accepted(coco: dict[str, str], classes: Sequence[str]) -> np.ndarray:
    """For each COCO id the labels that are right: bool (256, classes); a row of False does not count."""
    table = np.zeros((256, len(classes)), bool)
    for number, name in coco.items():
        wanted = NAMES.get(name, ())
        table[int(number)] = [label in wanted for label in classes]
    return table
