# SPDX-License-Identifier: MIT
"""Measure a model: agreement with the teachers on held-out photos, and accuracy on real labels.

Usage: python training/evaluate.py CARD PHOTOS CACHE [--real LABELS] [--teachers ADE-CARD VOC-CARD]

The agreement is that of the model's label in the middle of every 4 x 4 cell of the photo, its long side at
256, with the label that the two teachers together find most likely there. LABELS holds COCO panoptic labels
(NAME.png for the photo coco256/NAME.jpg, ids in classes.json); real_labels.py says which answers are right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from confusion import accuracy_and_mean_iou
from data import STRIDE, Photos
from label import Teacher
from real_labels import ANIMALS, accepted
from semcbir.images.decode import load_image
from semcbir.segmentation.segmenter import Segmenter
from taxonomy import merge, merged_classes, voc_to_merged

Labeller = Callable[[np.ndarray], np.ndarray]


def agreement(label: Labeller, photos: Photos, folder: Path) -> dict[str, float]:
    """Return pixel accuracy and mean IoU (of the classes that the teachers see) on the held-out photos."""
    count = len(photos.classes)
    table = np.zeros((count, count), np.int64)
    _, held_out = photos.split()
    for i in held_out.tolist():
        height, width = (int(side) for side in photos.sizes[i])
        found = label(load_image(folder / photos.names[i], None))
        truth = photos.labels[i, : -(-height // STRIDE), : -(-width // STRIDE), 0]
        rows, columns = (
            np.minimum(((np.arange(cells) + 0.5) * STRIDE / side * pixels).astype(int), pixels - 1)
            for cells, side, pixels in zip(truth.shape, (height, width), found.shape, strict=True)
        )
        sampled = found[np.ix_(rows, columns)].astype(int)
        np.add.at(table, (truth.astype(int).ravel(), sampled.ravel()), 1)
    accuracy, mean_iou = accuracy_and_mean_iou(table)
    return {"photos": len(held_out), "pixel_accuracy": round(accuracy, 4), "mean_iou": round(mean_iou, 4)}


def real_accuracy(label: Labeller, classes: list[str], folder: Path, labels: Path) -> dict[str, float]:
    """Return the share of labelled pixels whose label is one of the right ones.

    Of animals alone too, and of them the share that is some animal: of elephants and bears and the like VOC
    makes the animals that it knows.
    """
    coco = json.loads((labels / "classes.json").read_text())
    right = accepted(coco, classes)
    animals = [int(i) for i, name in coco.items() if right[int(i), classes.index("animal")]]
    some = np.isin(classes, ("animal", *ANIMALS))
    hits, pixels, found_some = np.zeros(256), np.zeros(256), np.zeros(256)
    for path in sorted((labels / "coco256").glob("*.png")):
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        found = label(load_image(folder / "coco256" / f"{path.stem}.jpg", None))
        if found.shape != truth.shape:
            found = cv2.resize(found, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
        counts = right[truth].any(2)
        pixels += np.bincount(truth[counts], minlength=256)
        hits += np.bincount(truth[counts & right[truth, found]], minlength=256)
        found_some += np.bincount(truth[counts & some[found]], minlength=256)
    return {
        "real_pixel_accuracy": round(float(hits.sum() / pixels.sum()), 4),
        "real_animal_accuracy": round(float(hits[animals].sum() / pixels[animals].sum()), 4),
        "real_animals_as_some_animal": round(float(found_some[animals].sum() / pixels[animals].sum()), 4),
    }


def labellers(options: argparse.Namespace) -> Iterator[tuple[str, Labeller, list[str]]]:
    """Yield the model and, if given, the teachers alone and together."""
    network = Segmenter(options.card, device="cpu")
    yield network.card.name, lambda photo: network.segment([photo])[0], list(network.card.classes)
    if not options.teachers:
        return
    ade, voc = (Teacher(card, device="cpu") for card in options.teachers)
    classes = merged_classes(ade.card.classes)
    voc_labels = voc_to_merged(ade.card.classes, voc.card.classes)
    yield "ADE20K teacher", lambda photo: ade.segment([photo])[0] - 1, classes

    def together(photo: np.ndarray) -> np.ndarray:
        shape = photo.shape[:2]
        merged = merge(ade.shares(photo, shape), voc.shares(photo, shape), voc_labels)
        grid = tuple(-(-side // STRIDE) for side in shape)
        best = merged.argmax(1).reshape(grid).astype(np.uint8)
        return best.repeat(STRIDE, 0).repeat(STRIDE, 1)[: shape[0], : shape[1]]

    yield "both teachers", together, classes


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("card", type=Path, help="the model's card")
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("cache", type=Path, help="folder that label.py wrote")
    parser.add_argument("--real", type=Path, metavar="LABELS", help="folder of real labels")
    parser.add_argument("--teachers", type=Path, nargs=2, metavar=("ADE", "VOC"), help="the teachers' cards")
    options = parser.parse_args()
    photos = Photos.load(options.cache)
    for name, label, classes in labellers(options):
        found = agreement(label, photos, options.photos)
        if options.real:
            found |= real_accuracy(label, classes, options.photos, options.real)
        print(json.dumps({"network": name} | found), flush=True)


if __name__ == "__main__":
    main()
