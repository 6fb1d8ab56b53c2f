# SPDX-License-Identifier: MIT
"""The argmax of interpolated scores in NumPy, whose bits the core must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def upsampled_argmax(
    logits: Scores, rows: Positions, columns: Positions, masked: Sequence[int] = ()
) -> npt.NDArray[np.uint16]:
    """Return what ``semcbir.segmentation.labelling.upsampled_argmax`` is to return.

    Interpolating every channel at every pixel would cost as much as the network. But inside a cell of the
    lattice an interpolated score stays between the least and the greatest of its corners, so only channels
    whose greatest reaches the largest of all the least can win there: one in most cells, a few in the others.
    """
    rows_at, columns_at = _Axis.of(rows, logits.shape[1]), _Axis.of(columns, logits.shape[2])
    logits = logits[:, : rows_at.cells + 1, : columns_at.cells + 1]
    contest = _Contest.of(np.pad(logits, _missing_points(logits), mode="edge"), masked)
    first = contest.first().reshape(rows_at.cells, columns_at.cells)
    winners = np.repeat(np.repeat(first, columns_at.count, axis=1), rows_at.count, axis=0)
    _settle(contest, rows_at, columns_at, winners)
    return winners


@dataclass(frozen=True)
class _Axis:
    """One axis: the cell of each position, the fraction within it, and the pixels of each cell."""

    cell: Indices
    fraction: npt.NDArray[np.float32]
    start: Indices
    count: Indices

    @classmethod
    def of(cls, positions: Positions, points: int) -> Self:
        cell = np.minimum(positions.astype(np.intp), max(0, points - 2))
        count = np.bincount(cell)
        return cls(cell, (positions - cell).astype(np.float32), np.cumsum(count) - count, count)

    @property
    def cells(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class _Contest:
    """Which channels can win in which cell: pairs sorted by cell, then by channel, CSR by cell."""

    logits: Scores
    channel: Indices
    start: Indices
    count: Indices

    @classmethod
    def of(cls, logits: Scores, masked: Sequence[int]) -> Self:
        least, greatest = _extremes(logits, np.minimum), _extremes(logits, np.maximum)
        least[list(masked)] = greatest[list(masked)] = -np.inf
        bar = least.max(axis=0)
        # One flat search is ten times faster than nonzero over two axes.
        channel, cell = np.divmod(np.flatnonzero(greatest >= bar), bar.size)
        for scores in (bar, least[channel, cell], greatest[channel, cell]):
            if not np.isfinite(scores).all():
                raise ValueError("gave scores that are not finite")
        by_cell = np.argsort(cell, kind="stable")
        count = np.bincount(cell, minlength=bar.size)
        return cls(logits, channel[by_cell], np.cumsum(count) - count, count)

    def first(self) -> npt.NDArray[np.uint16]:
        """Return the lowest candidate of each cell."""
        return self.channel[self.start].astype(np.uint16)

    def coefficients(self, cells: Indices, place: int) -> tuple[npt.NDArray[np.uint16], Scores]:
        """Return candidate number ``place`` of each cell, and its score a + b x + c y + d x y: (4, cells)."""
        channel = self.channel[self.start[cells] + place]
        y, x = np.divmod(cells, self.logits.shape[2] - 1)
        corner = self.logits[channel, y, x]
        right = self.logits[channel, y, x + 1] - corner
        below = self.logits[channel, y + 1, x]
        twist = self.logits[channel, y + 1, x + 1] - below - right
        return channel.astype(np.uint16), np.stack([corner, right, below - corner, twist])


def _missing_points(logits: Scores) -> list[tuple[int, int]]:
    """Return the padding that gives a lattice of a single row or column cells."""
    return [(0, 0), *((0, max(0, 2 - points)) for points in logits.shape[1:])]


def _extremes(logits: Scores, pick: np.ufunc) -> Scores:
    """Return ``pick`` over the four corners of each cell: (C, cells)."""
    upright = pick(logits[:, :-1], logits[:, 1:])
    return np.asarray(pick(upright[:, :, :-1], upright[:, :, 1:])).reshape(len(logits), -1)


def _settle(contest: _Contest, rows: _Axis, columns: _Axis, winners: npt.NDArray[np.uint16]) -> None:
    """Decide the pixels of the cells where several channels can win, in place.

    Cells with more candidates come first, so that the cells that have a candidate number p, and their pixels,
    always form a prefix.
    """
    pixels_in = np.outer(rows.count, columns.count).ravel()
    open_cells = np.flatnonzero((contest.count > 1) & (pixels_in > 0))
    if not len(open_cells):
        return
    candidates = contest.count[open_cells]
    order = np.argsort(-candidates, kind="stable")
    open_cells, candidates = open_cells[order], candidates[order]
    size = pixels_in[open_cells]
    y, x = _pixels(open_cells, size, rows, columns)
    row_fraction, column_fraction = rows.fraction[y], columns.fraction[x]
    product = row_fraction * column_fraction
    best = np.full(len(y), -np.inf, np.float32)
    winner = np.zeros(len(y), np.uint16)
    for place in range(candidates[0]):
        cells = np.searchsorted(-candidates, -place)  # those with more than `place` candidates
        channel, coefficients = contest.coefficients(open_cells[:cells], place)
        a, b, c, d = np.repeat(coefficients, size[:cells], axis=1)
        stop = len(a)
        score = a + b * column_fraction[:stop] + c * row_fraction[:stop] + d * product[:stop]
        better = score > best[:stop]
        np.copyto(best[:stop], score, where=better)
        np.copyto(winner[:stop], np.repeat(channel, size[:cells]), where=better)
    winners[y, x] = winner


def _pixels(cells: Indices, size: Indices, rows: _Axis, columns: _Axis) -> tuple[Indices, Indices]:
    """Return the rows and columns of all pixels of ``cells``, cell by cell; ``size``: pixels per cell."""
    cell_row, cell_column = np.divmod(cells, columns.cells)
    width = np.repeat(columns.count[cell_column], size)
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    y, x = np.divmod(within, width)
    return y + np.repeat(rows.start[cell_row], size), x + np.repeat(columns.start[cell_column], size)
