# SPDX-License-Identifier: MIT
"""Building signatures from label maps and local features or grids of descriptors (Sect. 3.1, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._columns import as_array, as_reals
from semcbir._validate import check_flag, check_instance, check_integer, check_many, counted
from semcbir.encoding.grid import Grid
from semcbir.recipe import Recipe
from semcbir.signatures import MAX_CLASSES, Signatures, with_ids
from semcbir.threads import check_threads


def build_signatures(
    label_maps: Iterable[npt.ArrayLike],
    keypoints: Iterable[npt.ArrayLike],
    descriptors: Iterable[npt.ArrayLike],
    *,
    n_classes: int,
    void: int | None = None,
    ids: npt.ArrayLike | None = None,
    recipe: Recipe | None = None,
    threads: int | None = None,
) -> Signatures:
    """Build the signatures of many images from their label maps and local features (Algorithm 1, Fig. 4).

    For each image: a label map, integers (H, W); keypoints, (n, 2) float32 as (x, y) in its pixels;
    descriptors, (n, D) float32. A keypoint belongs to the class at ``[floor(y + 1/2), floor(x + 1/2)]``,
    clamped to the image. ``void`` is a label that does not count. Any ``threads`` gives the same bits.

    Raises TypeError or ValueError, naming the image by its number, for arrays of the wrong kind or shape,
    labels of ``n_classes`` or more, and keypoints or descriptors that are NaN or infinite.
    """
    given = [
        check_many(name, value, "an array for each image")
        for name, value in (
            ("label_maps", label_maps),
            ("keypoints", keypoints),
            ("descriptors", descriptors),
        )
    ]
    n_classes, void = _check_labels(n_classes, void, recipe)
    for name, value in zip(("keypoints", "descriptors"), given[1:], strict=True):
        if len(value) != len(given[0]):
            raise ValueError(f"{name}: expected as many as label_maps, {len(given[0])}, got {len(value)}")
    maps = [_check_label_map(i, label_map) for i, label_map in enumerate(given[0])]
    points = [_check_features(i, "keypoints", value, 2) for i, value in enumerate(given[1])]
    vectors: list[npt.NDArray[np.float32]] = []
    for i, value in enumerate(given[2]):
        vectors.append(_check_features(i, "descriptors", value, vectors[0].shape[1] if vectors else None))
    for i, (point, vector) in enumerate(zip(points, vectors, strict=True)):
        if len(point) != len(vector):
            expected = f"{counted(len(point), 'row')} like keypoints"
            raise ValueError(f"descriptors: image {i}: expected {expected}, got {len(vector)}")
    dim = vectors[0].shape[1] if vectors else 1
    columns = _core.build_signatures(maps, points, vectors, dim, n_classes, void, check_threads(threads))
    return _wrapped(columns, n_classes, ids, recipe)


def build_grid_signatures(
    label_maps: Iterable[npt.ArrayLike],
    grids: Iterable[Grid],
    *,
    n_classes: int,
    void: int | None = None,
    whole: bool = True,
    ids: npt.ArrayLike | None = None,
    recipe: Recipe | None = None,
    threads: int | None = None,
) -> Signatures:
    """Build the signatures of many images from their label maps and grids of descriptors (Algorithm 1).

    For each image: a label map, integers (H, W), and a grid as an Encoder gives it, or ``Grid.over`` for an
    array of vectors: ``Grid.over(vectors, label_map.shape)``. Every labelled pixel is a keypoint whose
    descriptor is that of its cell, so a class's row is the mean of the cells' descriptors, weighted by its
    pixels in each, and its count those pixels; a cell without pixels describes nothing. With ``whole`` each
    image has a whole row, too: the mean of all cells that hold a pixel, and as count all pixels. Sums are in
    double, cells row by row; ``docs/definitions.md`` has the exact order. ``void`` is a label that does not
    count. Any ``threads`` gives the same bits.

    Raises TypeError or ValueError, naming the image by its number, for label maps of the wrong kind or shape,
    labels of ``n_classes`` or more, and grids of another photo's size or with vectors of another length.
    """
    maps = check_many("label_maps", label_maps, "an array for each image")
    many = check_many("grids", grids, "a grid for each image")
    n_classes, void = _check_labels(n_classes, void, recipe, whole)
    if len(many) != len(maps):
        raise ValueError(f"grids: expected as many as label_maps, {len(maps)}, got {len(many)}")
    maps = [_check_label_map(i, label_map) for i, label_map in enumerate(maps)]
    for i, (grid, label_map) in enumerate(zip(many, maps, strict=True)):
        _check_grid(i, grid, label_map.shape, many[0])
    dim = many[0].dim if many else 1
    parts = [(grid.cells, grid.rows, grid.columns) for grid in many]
    columns = _core.build_grid_signatures(maps, parts, dim, n_classes, void, whole, check_threads(threads))
    return _wrapped(columns, n_classes, ids, recipe, whole)


def _check_labels(
    n_classes: int, void: int | None, recipe: Recipe | None, whole: bool = False
) -> tuple[int, int]:
    """Return ``n_classes`` and ``void`` as the core takes them; errors if they or a recipe are wrong."""
    check_flag("whole", whole)
    n_classes = check_integer("n_classes", n_classes, 1, MAX_CLASSES - whole)
    label = -1 if void is None else check_integer("void", void, 0, MAX_CLASSES - 1)
    if recipe is not None:
        check_instance("recipe", recipe, Recipe, "a Recipe or None")
    return n_classes, label


def _wrapped(
    columns: tuple[npt.NDArray[Any], ...],
    n_classes: int,
    ids: npt.ArrayLike | None,
    recipe: Recipe | None,
    whole: bool = False,
) -> Signatures:
    names = ("offsets", "classes", "proportions", "counts", "centroids")
    built = Signatures._unchecked(
        **dict(zip(names, columns, strict=True)),
        n_classes=n_classes,
        ids=np.arange(len(columns[0]) - 1),
        recipe=recipe,
        whole=whole,
    )
    return built if ids is None else with_ids(built, ids)


def _check_label_map(i: int, label_map: object) -> npt.NDArray[Any]:
    """Return a label map of any integers as uint8 or uint16; those of the right type are not copied."""
    name = f"label_maps: image {i}"
    array = as_array(name, label_map, "iu", "a label map of integers")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected shape (H, W) with at least one pixel, got {array.shape}")
    if array.dtype not in (np.uint8, np.uint16):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= MAX_CLASSES:
            raise ValueError(f"{name}: expected labels from 0 to {MAX_CLASSES - 1}, got {low} to {high}")
        array = array.astype(np.uint8 if high < 256 else np.uint16)
    return np.ascontiguousarray(array)


def _check_features(i: int, name: str, value: object, columns: int | None) -> npt.NDArray[np.float32]:
    array = as_reals(f"{name}: image {i}", value)
    if array.ndim != 2 or array.shape[1] == 0 or (columns is not None and array.shape[1] != columns):
        expected = "(n, D)" if columns is None else f"(n, {columns})"
        raise ValueError(f"{name}: image {i}: expected shape {expected}, got {array.shape}")
    return np.ascontiguousarray(array)


def _check_grid(i: int, grid: Grid, photo: tuple[int, ...], first: Grid) -> None:
    """Raise TypeError or ValueError unless ``grid`` is of a photo of that shape, and like the ``first``."""
    check_instance(f"grids: image {i}", grid, Grid, "a Grid (Grid.over makes one of an array)")
    if grid.dim != first.dim:
        raise ValueError(f"grids: image {i}: expected vectors of length {first.dim}, got {grid.dim}")
    if (came := (len(grid.rows), len(grid.columns))) != photo:
        expected = f"a grid over {photo[0]} x {photo[1]} pixels, like its label map"
        raise ValueError(f"grids: image {i}: expected {expected}, got one over {came[0]} x {came[1]}")
