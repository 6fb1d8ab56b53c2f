# SPDX-License-Identifier: MIT
"""A part of a query photo: the class at a pixel, or what lies in a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semcbir._validate import as_integer, check_many
from semcbir.encoding.grid import Grid
from semcbir.features import LocalFeatures
from semcbir.images.given import ImageSource, read_image
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures

if TYPE_CHECKING:
    from semcbir.extractor import Analysis, Extractor

Region = Sequence[int]
"""(x, y): the class at that pixel. (x0, y0, x1, y1): the box from x0 to x1 - 1 and from y0 to y1 - 1."""


@dataclass(frozen=True)
class Point:
    """A pixel of a photo, x to the right and y down from its upper left corner, from 0."""

    x: int
    y: int


@dataclass(frozen=True)
class Box:
    """The pixels of a photo from x0 to x1 - 1 and from y0 to y1 - 1."""

    x0: int
    y0: int
    x1: int
    y1: int


def check_region(region: Region) -> Point | Box:
    """Return ``region`` as a Point or a Box; TypeError or ValueError for anything else."""
    what = "(x, y) or (x0, y0, x1, y1), whole numbers of pixels"
    numbers = [as_integer("region", one, what) for one in check_many("region", region, what)]
    if len(numbers) not in (2, 4) or min(numbers) < 0:
        raise ValueError(f"region: expected {what} of 0 or more, got {tuple(numbers)}")
    if len(numbers) == 2:
        return Point(*numbers)
    box = Box(*numbers)
    if not (box.x0 < box.x1 and box.y0 < box.y1):
        raise ValueError(f"region: expected a box with x0 < x1 and y0 < y1, got {tuple(numbers)}")
    return box


def signatures_of_part(
    extractor: Extractor, photo: ImageSource, part: Point | Box, feature: str | None = None
) -> tuple[Signatures, str | None]:
    """Return the signature of a box of a photo; or of the whole photo, and the class at a point.

    Raises ImageError if the photo cannot be read, ValueError for a region that lies outside it, or for a
    pixel without a class.
    """
    recipe = extractor.recipe.for_feature(feature)
    analysis, name = part_of(extractor.analyse(photo), photo, part, recipe, extractor.max_pixels)
    return extractor.signatures_of(analysis)[recipe.feature().name], name


def part_of(
    analysis: Analysis, photo: ImageSource, part: Point | Box, recipe: Recipe, max_pixels: int | None
) -> tuple[Analysis, str | None]:
    """Return the analysis of a box of an analysed photo; or that of the photo, and the class at a point."""
    place = _scaled(part, photo, analysis, max_pixels)
    if isinstance(place, Point):
        return analysis, class_at(analysis, place, recipe.classes, recipe.void)
    return cropped(analysis, place), None


def _scaled(
    region: Point | Box, photo: ImageSource, analysis: Analysis, max_pixels: int | None
) -> Point | Box:
    """Return a region of a photo's own pixels in those of its analysis, which may be smaller.

    Raises ValueError for one that lies outside the photo.
    """
    height, width = read_image(photo, None, max_pixels).shape[:2]
    small_height, small_width = analysis.label_map.shape
    if isinstance(region, Point):
        if not (region.x < width and region.y < height):
            raise _outside(width, height, (region.x, region.y))
        return Point(region.x * small_width // width, region.y * small_height // height)
    if not (region.x1 <= width and region.y1 <= height):
        raise _outside(width, height, (region.x0, region.y0, region.x1, region.y1))
    x0, y0 = region.x0 * small_width // width, region.y0 * small_height // height
    # Rounded outwards, so that a box is never empty.
    return Box(x0, y0, -(-region.x1 * small_width // width), -(-region.y1 * small_height // height))


def _outside(width: int, height: int, numbers: tuple[int, ...]) -> ValueError:
    return ValueError(f"region: expected it within the photo of {width} x {height} pixels, got {numbers}")


def class_at(analysis: Analysis, point: Point, classes: Sequence[str], void: int | None) -> str:
    """Return the name of the class at a pixel of an analysed photo. Raises ValueError where it has none."""
    label = int(analysis.label_map[point.y, point.x])
    if label == void:
        raise ValueError(
            f"region: expected a pixel of a class, got one that the network leaves without; the photo has "
            f"{', '.join(_present(analysis, classes, void)) or 'none'}"
        )
    return classes[label]


def _present(analysis: Analysis, classes: Sequence[str], void: int | None) -> list[str]:
    counts = np.bincount(analysis.label_map.ravel(), minlength=len(classes))
    return [classes[label] for label in np.argsort(-counts, kind="stable") if counts[label] and label != void]


def cropped(analysis: Analysis, box: Box) -> Analysis:
    """Return what an analysis says of a box: its pixels' labels, the keypoints and the cells within.

    The photo was segmented, and its features found, as a whole: at the border they know what lies beyond.
    """
    rows, columns = slice(box.y0, box.y1), slice(box.x0, box.x1)
    return replace(
        analysis,
        image=analysis.image[rows, columns],
        label_map=analysis.label_map[rows, columns],
        features={name: _cropped(found, box) for name, found in analysis.features.items()},
    )


def _cropped(found: LocalFeatures | Grid, box: Box) -> LocalFeatures | Grid:
    if isinstance(found, Grid):
        return Grid(found.cells, found.rows[box.y0 : box.y1], found.columns[box.x0 : box.x1])
    # A keypoint is of the pixel that it is nearest to, as in Algorithm 1.
    nearest = np.floor(found.keypoints.astype(np.float64) + 0.5)
    x, y = nearest[:, 0], nearest[:, 1]
    inside = (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    keypoints = found.keypoints[inside] - np.array([box.x0, box.y0], np.float32)
    return LocalFeatures(keypoints, found.descriptors[inside])
