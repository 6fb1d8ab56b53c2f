# SPDX-License-Identifier: MIT
"""Signatures from grids of descriptors: Algorithm 1 with every labelled pixel as a keypoint."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_signatures import assert_same
from semcbir import HOG, Encoder, Grid, Recipe, Signatures, build_grid_signatures, build_signatures
from tiny_models import tiny_encoder

Row = tuple[int, np.float32, int, npt.NDArray[np.float32]]


def lines(pixels: int, cells: int, padding: int = 0) -> npt.NDArray[np.int32]:
    """Which of ``cells`` lines each line of pixels lies in, if the last ``padding`` of them are empty."""
    return ((2 * np.arange(pixels) + 1) * (cells - padding) // (2 * pixels)).astype(np.int32)


def reference(label_map: Any, grid: Any, n_classes: int, void: int | None, whole: bool) -> list[Row]:
    """Rows (class, proportion, count, centroid) in float64, as docs/definitions.md has them."""
    cell_rows, cell_columns, dim = grid.cells.shape
    labelled = int(np.count_nonzero(label_map != (-1 if void is None else void)))
    cell_of = grid.rows[:, None] * cell_columns + grid.columns[None, :]
    cells = grid.cells.reshape(-1, dim).astype(np.float64)
    found: list[Row] = []
    for c in range(n_classes):
        mask = label_map == c
        if c == void or not mask.any():
            continue
        pixels = np.bincount(cell_of[mask], minlength=cell_rows * cell_columns)
        total = np.zeros(dim)
        for cell, n in enumerate(pixels):
            if n:
                total += n * cells[cell]
        count = int(pixels.sum())
        found.append((c, np.float32(count / labelled), count, (total / count).astype(np.float32)))
    if whole:
        total, used = np.zeros(dim), np.unique(cell_of)
        for cell in used:
            total += cells[cell]
        mean = (total / len(used)).astype(np.float32)
        found.append((n_classes, np.float32(0), label_map.size, mean))
    return found


def check(built: Signatures, maps: Any, grids: Any, n_classes: int, void: int | None, whole: bool) -> None:
    assert (len(built), built.n_classes, built.whole) == (len(maps), n_classes, whole)
    for i, (label_map, grid) in enumerate(zip(maps, grids, strict=True)):
        rows = reference(label_map, grid, n_classes, void, whole)
        one = built[i]
        assert one.classes.tolist() == [row[0] for row in rows]
        assert one.proportions.tolist() == [row[1] for row in rows]
        assert one.counts.tolist() == [row[2] for row in rows]
        expected = np.array([row[3] for row in rows], np.float32).reshape(-1, built.dim)
        np.testing.assert_array_equal(one.centroids, expected)
    Signatures(**vars(built))  # every check of the constructor


def made(
    seed: int,
    n: int,
    dim: int,
    n_classes: int,
    void: int | None = None,
    dtype: Any = np.uint8,
    max_side: int = 40,
    ordered: bool = True,
) -> tuple[list[Any], list[Grid]]:
    """Label maps, partly smooth, and grids with more or fewer lines than the photo, some of them padding."""
    rng = np.random.default_rng(seed)
    allowed = np.array([*range(n_classes), *([void] if void is not None and void >= n_classes else [])])
    maps, grids = [], []
    for _ in range(n):
        height, width = rng.integers(1, max_side, 2)
        scale = int(rng.integers(1, 9))
        small = rng.choice(allowed, (height // scale + 1, width // scale + 1))
        label_map = np.kron(small, np.ones((scale, scale), int))[:height, :width]
        h, w = (int(side) for side in rng.integers(1, 12, 2))
        rows = lines(height, h, int(rng.integers(0, h)))
        columns = lines(width, w, int(rng.integers(0, w)))
        if not ordered:
            rows, columns = rng.permutation(rows), rng.permutation(columns)
        cells = rng.standard_normal((h, w, dim)) * 2.0 ** rng.integers(-20, 20, (h, w, 1))
        maps.append(np.ascontiguousarray(label_map, dtype))
        grids.append(Grid(cells.astype(np.float32), rows, columns))
    return maps, grids


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("dim", [1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 128, 129])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_dimension_and_level(dim: int, dtype: Any) -> None:
    maps, grids = made(dim, 5, dim, 9, dtype=dtype)
    check(build_grid_signatures(maps, grids, n_classes=9), maps, grids, 9, None, True)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 5),
    dim=st.integers(1, 20),
    n_classes=st.integers(1, 30),
    void=st.none() | st.integers(0, 255),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int64]),
    whole=st.booleans(),
    ordered=st.booleans(),
    threads=st.sampled_from([1, 2, 7]),
)
def test_equals_the_definition(
    seed: int, n: int, dim: int, n_classes: int, void: int | None, dtype: Any, whole: bool, ordered: bool,
    threads: int,
) -> None:  # fmt: skip
    maps, grids = made(seed, n, dim, n_classes, void, dtype, max_side=20, ordered=ordered)
    built = build_grid_signatures(maps, grids, n_classes=n_classes, void=void, whole=whole, threads=threads)
    check(built, maps, grids, n_classes, void, whole)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), void=st.sampled_from([None, 0, 3, 255]))
def test_is_algorithm_1_with_every_pixel_as_a_keypoint(seed: int, void: int | None) -> None:
    """The same counts and proportions; the means differ by the order of their sums alone."""
    maps, grids = made(seed, 3, 4, 6, void)
    points, vectors = [], []
    for label_map, grid in zip(maps, grids, strict=True):
        y, x = np.indices(label_map.shape)
        points.append(np.stack([x.ravel(), y.ravel()], 1).astype(np.float32))
        vectors.append(grid.cells[grid.rows[y.ravel()], grid.columns[x.ravel()]])
    expected = build_signatures(maps, points, vectors, n_classes=6, void=void)
    built = build_grid_signatures(maps, grids, n_classes=6, void=void, whole=False)
    largest = max(float(np.abs(vector).max()) for vector in vectors)
    np.testing.assert_allclose(built.centroids, expected.centroids, rtol=1e-6, atol=1e-6 * largest)
    assert_same(Signatures(**{**vars(built), "centroids": expected.centroids}), expected)


@pytest.mark.parametrize("threads", [2, 7])
def test_threads_change_nothing(threads: int) -> None:
    maps, grids = made(5, 50, 36, 20, 19)
    one = build_grid_signatures(maps, grids, n_classes=20, void=19, threads=1)
    assert_same(build_grid_signatures(maps, grids, n_classes=20, void=19, threads=threads), one)


def test_a_batch_changes_nothing() -> None:
    maps, grids = made(6, 9, 5, 7)
    alone = [build_grid_signatures([m], [g], n_classes=7) for m, g in zip(maps, grids, strict=True)]
    together = build_grid_signatures(maps, grids, n_classes=7)
    assert_same(Signatures.concatenate(alone, ids=range(9)), together)


def test_a_photo_of_one_pixel() -> None:
    cells = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    built = build_grid_signatures([[[4]]], [Grid(cells, [1], [2])], n_classes=5)
    assert built.dense().tolist() == [[[0, 0]] * 4 + [[10, 11], [10, 11]]]
    assert (built.counts.tolist(), built.proportions.tolist()) == ([1, 1], [1, 0])


def test_a_photo_that_is_all_void_has_its_whole_row_alone() -> None:
    grid = Grid(np.array([[[1.0], [3.0], [99.0]]]), [0, 0], [0, 1, 1])
    label_map = np.full((2, 3), 255)
    built = build_grid_signatures([label_map], [grid], n_classes=5, void=255)
    columns = [getattr(built, name).tolist() for name in ("offsets", "classes", "counts", "centroids")]
    assert columns == [[0, 1], [5], [6], [[2.0]]]  # the mean of the cells, not of the pixels
    assert built.histograms().sum() == 0
    assert len(build_grid_signatures([label_map], [grid], n_classes=5, void=255, whole=False).classes) == 0


def test_padding_describes_nothing() -> None:
    """Cells without pixels change no bit, as long as they are finite."""
    maps, grids = made(8, 20, 6, 5)
    changed = []
    for grid in grids:
        cells = grid.cells.copy()
        unused = np.ones(cells.shape[:2], bool)
        unused[np.ix_(np.unique(grid.rows), np.unique(grid.columns))] = False
        cells[unused] = 3e38
        changed.append(replace(grid, cells=cells))
    assert any((a.cells != b.cells).any() for a, b in zip(grids, changed, strict=True))
    assert_same(
        build_grid_signatures(maps, changed, n_classes=5), build_grid_signatures(maps, grids, n_classes=5)
    )


def test_sums_are_in_double() -> None:
    grid = Grid(np.array([[[1e8], [1.0], [-1e8], [1.0]]]), [0], [0, 1, 2, 3])
    built = build_grid_signatures([np.zeros((1, 4), int)], [grid], n_classes=1)
    assert built.centroids.tolist() == [[0.5], [0.5]]
    largest = np.finfo(np.float32).max
    grid = Grid(np.full((2, 2, 1), largest), [0, 1], [0, 1])
    built = build_grid_signatures([np.zeros((2, 2), int)], [grid], n_classes=1)
    assert (built.centroids == largest).all()


def test_labels_of_a_large_taxonomy_and_many_cells_need_little_memory() -> None:
    label_map = np.arange(65536).reshape(256, 256) % 65535
    cells = np.ones((4000, 4000, 1), np.float32)
    rows = np.arange(256) * 15
    built = build_grid_signatures([label_map], [Grid(cells, rows, rows)], n_classes=65535)
    assert len(built.classes) == 65536
    assert (built.classes[-1], built.counts[-1]) == (65535, 65536)


def test_ids_and_recipe_are_kept() -> None:
    maps, grids = made(1, 3, 4, 6)
    recipe = Recipe({"name": "m", "sha256": "0", "classes": list("abcdef")}, (HOG(),), 512)
    built = build_grid_signatures(iter(maps), iter(grids), n_classes=6, ids=[7, 5, 9], recipe=recipe)
    assert built.ids.tolist() == [7, 5, 9]
    assert built.recipe is recipe
    none = build_grid_signatures([], [], n_classes=6)
    assert (len(none), none.whole, none.dense().shape) == (0, True, (0, 7, 1))


GOOD = Grid(np.ones((2, 3, 4), np.float32), np.zeros(5, np.int32), np.full(6, 2, np.int32))
OTHER = Grid.over(np.ones((2, 3, 5)), (5, 6))
TURNED = Grid.over(np.ones((3, 2, 4)), (6, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_cells_that_are_not_finite_are_refused_even_in_the_padding(value: float) -> None:
    cells = GOOD.cells.astype(np.float64)
    cells[1, 0, 3] = value
    for make in (lambda: replace(GOOD, cells=cells), lambda: Grid.over(cells, (5, 6))):
        with pytest.raises(ValueError, match="^cells: .* finite numbers, got .* row 1, column 0"):
            make()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cells": np.ones((2, 3))}, ValueError, r"cells: expected shape \(h, w, D\) .* got \(2, 3\)"),
        ({"cells": np.ones((0, 3, 4))}, ValueError, r"cells: expected shape .* got \(0, 3, 4\)"),
        ({"cells": np.ones((2, 3, 0))}, ValueError, r"cells: expected shape .* got \(2, 3, 0\)"),
        ({"cells": np.ones((2, 3, 4), complex)}, TypeError, "cells: expected .* real numbers .* complex128"),
        ({"cells": np.ones((2, 3, 4), bool)}, TypeError, "cells: expected .* real numbers .* got bool"),
        ({"cells": None}, TypeError, "cells: expected an array of real numbers .* got None"),
        ({"rows": np.zeros((5, 1), int)}, ValueError, r"rows: expected shape \(H,\) .* got \(5, 1\)"),
        ({"columns": []}, ValueError, r"columns: expected shape \(W,\) with at least one .* got \(0,\)"),
        ({"rows": np.zeros(5)}, TypeError, "rows: expected an array of integers, .* got float64"),
        ({"rows": [0, 0, 0, 0, 2]}, ValueError, "rows: expected numbers from 0 to 1, got 0 to 2"),
        ({"rows": [0, 0, 0, 0, -1]}, ValueError, "rows: expected numbers from 0 to 1, got -1 to 0"),
        ({"rows": [0, 0, 0, 0, 2**40]}, ValueError, "rows: .* from 0 to 1, got 0 to 1099511627776"),
        ({"columns": [3] * 6}, ValueError, "columns: expected numbers from 0 to 2, got 3 to 3"),
    ],
)  # fmt: skip
def test_other_grids_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(GOOD, **change)


def test_other_numbers_become_those_of_a_grid_and_nothing_writes_to_them() -> None:
    given = np.arange(24.0).reshape(2, 3, 4), np.array([0, 0, 1, 1, 1]), [0, 1, 1, 2, 2, 2]
    grid = Grid(*given)
    arrays = {name: getattr(grid, name) for name in ("cells", "rows", "columns")}
    assert [array.dtype for array in arrays.values()] == [np.float32, np.int32, np.int32]
    for one in (grid, pickle.loads(pickle.dumps(grid)), copy.deepcopy(grid)):
        for name, array in arrays.items():
            assert getattr(one, name).tolist() == array.tolist()
            assert not getattr(one, name).flags.writeable
    cells = np.ones((2, 3, 4), np.float32)
    rows = np.zeros(5, np.int32)
    grid = Grid(cells, rows, np.zeros(6, np.int32))
    cells[:], rows[:] = np.nan, 99
    assert (grid.cells == 1).all()
    assert not grid.rows.any()


def test_a_grid_is_shown_short() -> None:
    assert repr(GOOD) == "Grid(2 x 3 cells, dim=4, photo 5 x 6)"


@settings(deadline=None, max_examples=100)
@given(height=st.integers(1, 300), width=st.integers(1, 300), h=st.integers(1, 40), w=st.integers(1, 40))
def test_vectors_lie_evenly_over_the_photo(height: int, width: int, h: int, w: int) -> None:
    """Also where there are more cells than pixels: a cell is then that of the pixel's centre."""
    cells = np.arange(h * w, dtype=np.float64).reshape(h, w, 1)
    grid = Grid.over(cells, (height, width))
    for side, count, found in ((height, h, grid.rows), (width, w, grid.columns)):
        assert found.tolist() == [math.floor(Fraction(2 * i + 1, 2) * count / side) for i in range(side)]
    assert grid.cells.tolist() == cells.tolist()


def test_vectors_over_a_photo_are_what_an_encoder_that_squashes_gives(tmp_path: Path) -> None:
    encoder = Encoder(tiny_encoder(tmp_path / "encoder.onnx", size={"rule": "squash", "length": 24}))
    rng = np.random.default_rng(3)
    for height, width in ((24, 24), (31, 17), (1, 1), (7, 500), (101, 5), (23, 240)):
        grid = encoder.encode([rng.integers(0, 256, (height, width, 3), np.uint8)])[0]
        assert len(set(grid.rows.tolist())) == min(height, len(grid.cells))
        over = Grid.over(grid.cells, (height, width))
        for name in ("cells", "rows", "columns"):
            np.testing.assert_array_equal(getattr(over, name), getattr(grid, name))


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ((5,), ValueError, r"size: expected \(height, width\), got \(5,\)"),
        ((5, 6, 3), ValueError, r"size: expected \(height, width\), got \(5, 6, 3\)"),
        (5, TypeError, r"size: expected \(height, width\), got 5"),
        ((5, 0), ValueError, "size: expected an integer from 1 to"),
        ((5, 2**40), ValueError, "size: expected an integer from 1 to"),
        ((5.0, 6), TypeError, "size: expected an integer from 1 to .* got 5.0"),
    ],
)
def test_other_sizes_are_refused(size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Grid.over(GOOD.cells, size)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"grids": [GOOD]}, ValueError, "grids: expected as many as label_maps, 2, got 1"),
        ({"grids": [GOOD, None]}, TypeError, "grids: image 1: expected a Grid .* got None"),
        ({"grids": [GOOD, np.ones((2, 3, 4))]}, TypeError, "grids: image 1: expected a Grid .* got array"),
        ({"grids": [GOOD, GOOD.cells]}, TypeError, r"Grid.over makes one of an array\), got array"),
        ({"grids": [GOOD, OTHER]}, ValueError, "grids: image 1: expected vectors of length 4, got 5"),
        ({"grids": [GOOD, TURNED]}, ValueError, "image 1: .* over 5 x 6 pixels, .* got one over 6 x 5"),
        ({"whole": 1}, TypeError, "whole: expected True or False, got 1"),
        ({"n_classes": 65536}, ValueError, "n_classes: expected an integer from 1 to 65535, got 65536"),
        ({"n_classes": 1}, ValueError, "image 1: label map: expected labels below n_classes = 1, got 1"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"recipe": "deep"}, TypeError, "recipe: expected a Recipe or None, got 'deep'"),
    ],
)
def test_other_arguments_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "label_maps": [np.zeros((5, 6), int), np.ones((5, 6), int)],
        "grids": [GOOD, GOOD],
        "n_classes": 2,
    }
    assert len(build_grid_signatures(**arguments)) == 2
    with pytest.raises(error, match=message):
        build_grid_signatures(**{**arguments, **change})
