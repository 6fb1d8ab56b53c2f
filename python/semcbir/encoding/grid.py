# SPDX-License-Identifier: MIT
"""Grid: a photo's vectors, one for each cell of a grid over it, and which cell each pixel is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._columns import as_array, as_column, frozen
from semcbir._validate import check_integer, check_many, shown
from semcbir.inference.canvas import Placement

MAX_SIDE = 2**20
"""The most pixels of a photo's side for which cells are worked out."""


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """The vectors of the cells of a grid over a photo of H x W pixels, as an Encoder gives them.

    - ``cells``: float32 (h, w, D), finite: the vectors of the cells
    - ``rows``, ``columns``: int32 (H,) and (W,): for each of the photo's rows (or columns) of pixels, the row
      (or column) of the grid that its cells are in, from 0 to h - 1 (or w - 1)

    ``Grid.over`` works rows and columns out for vectors that lie evenly over the whole photo. An Encoder
    gives, for each row of pixels, the cell that contains their centres, on a canvas that the cells divide
    evenly; a centre on a border between two cells is in the second. No pixel is in a cell that lies wholly in
    the padding.

    The arrays are read-only; what can be written to is copied, and other numbers become float32 and int32.
    Raises TypeError for an array of the wrong kind, ValueError for one of the wrong shape or content.
    """

    cells: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        cells = _cells(self.cells)
        object.__setattr__(self, "cells", cells)
        for name, count in zip(("rows", "columns"), cells.shape, strict=False):
            object.__setattr__(self, name, _lines(name, getattr(self, name), count))

    @classmethod
    def _unchecked(
        cls, cells: npt.NDArray[np.float32], rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32]
    ) -> Grid:
        """Wrap read-only arrays that are known to be sound: an encoder's own."""
        grid = object.__new__(cls)
        for name, value in (("cells", cells), ("rows", rows), ("columns", columns)):
            object.__setattr__(grid, name, value)
        return grid

    @classmethod
    def over(cls, cells: npt.ArrayLike, size: tuple[SupportsIndex, SupportsIndex]) -> Grid:
        """Return the grid of vectors ``cells`` (h, w, D) that divide a photo of ``size`` (H, W) evenly.

        Pixel i of H lies in row floor((2 i + 1) h / (2 H)): where its centre is, and in the second of two
        cells if that is on their border. An Encoder whose card says ``squash`` gives the same. ``size`` is
        (height, width), as ``label_map.shape`` has it. Errors as above.
        """
        sides = tuple(check_many("size", size, "(height, width)"))
        if len(sides) != 2:
            raise ValueError(f"size: expected (height, width), got {shown(size)}")
        photo = tuple(check_integer("size", side, 1, MAX_SIDE) for side in sides)
        vectors = _cells(cells)
        rows, columns = Placement((photo[0], photo[1]), (1, 1), (1, 1)).cells(vectors.shape[:2])
        return cls(vectors, rows, columns)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a grid that was pickled or copied; NumPy gives arrays that are writable."""
        for name, value in state.items():
            object.__setattr__(self, name, frozen(value))

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return int(self.cells.shape[2])

    def __repr__(self) -> str:
        height, width, dim = self.cells.shape
        return f"Grid({height} x {width} cells, dim={dim}, photo {len(self.rows)} x {len(self.columns)})"


def _cells(value: object) -> npt.NDArray[np.float32]:
    name = "cells"
    array = as_array(name, value, "fiu", "an array of real numbers (h, w, D)")
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"{name}: expected shape (h, w, D) with at least one cell, got {array.shape}")
    column: npt.NDArray[np.float32] = as_column(name, array, np.float32, 3)
    if not np.isfinite(column).all():
        at = np.argwhere(~np.isfinite(column))[0]
        found = f"{column[tuple(at)]} in row {at[0]}, column {at[1]}"
        raise ValueError(f"{name}: expected finite numbers, got {found}")
    return column


def _lines(name: str, value: object, cells: int) -> npt.NDArray[np.int32]:
    """Return which of ``cells`` lines of cells each line of the photo's pixels is in, checked."""
    array = as_array(name, value, "iu", "an array of integers, a cell for each line of pixels")
    if array.ndim != 1 or array.size == 0:
        side = "H" if name == "rows" else "W"
        raise ValueError(f"{name}: expected shape ({side},) with at least one pixel, got {array.shape}")
    if array.min() < 0 or array.max() >= cells:
        came = f"{array.min()} to {array.max()}"
        raise ValueError(f"{name}: expected numbers from 0 to {cells - 1}, got {came}")
    return as_column(name, array, np.int32, 1)
