# SPDX-License-Identifier: MIT
"""The default model's classes: ADE20K's 150, and seven more from Pascal VOC.

ADE20K (SceneParse150) is good at stuff: sky, grass, water, buildings, roads; for animals it has only
"animal". Pascal VOC's 20 foreground classes tell animals apart. Seven of them, which ADE20K does not have,
come after ADE20K's; the others are ADE20K classes under another name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ADDED = ("bird", "cat", "cow", "dog", "horse", "sheep", "train")
"""VOC classes that become classes of their own."""

SAME = {
    "aeroplane": "airplane",
    "bicycle": "bicycle",
    "boat": "boat",
    "bottle": "bottle",
    "bus": "bus",
    "car": "car",
    "chair": "chair",
    "diningtable": "table",
    "motorbike": "minibike",
    "person": "person",
    "pottedplant": "plant",
    "sofa": "sofa",
    "tvmonitor": "television",
}
"""VOC classes by the ADE20K class that they are."""


def merged_classes(ade: Sequence[str]) -> list[str]:
    """Names of the merged classes: ADE20K's without its channel 0, then the added ones."""
    return [*ade[1:], *ADDED]


def voc_to_merged(ade: Sequence[str], voc: Sequence[str]) -> np.ndarray:
    """For each VOC foreground class its merged label: int (20,)."""
    classes = merged_classes(ade)
    return np.array([classes.index(SAME.get(name, name)) for name in voc[1:]])


def merge(ade_shares: np.ndarray, voc_shares: np.ndarray, voc_labels: np.ndarray) -> np.ndarray:
    """Merge softmax outputs (n, 150) and (n, 21) into (n, 157), each row summing to 1.

    VOC's foreground, as far as the network is sure of it, overrides ADE20K.
    """
    merged = np.zeros((len(ade_shares), ade_shares.shape[1] + len(ADDED)), np.float32)
    merged[:, : ade_shares.shape[1]] = ade_shares * voc_shares[:, :1]
    for channel, label in enumerate(voc_labels, 1):
        merged[:, label] += voc_shares[:, channel]
    return merged
