# SPDX-License-Identifier: MIT
"""Flips, scales, windows, other classes: softmax probabilities averaged over all passes, then the argmax.

This follows MSeg's test program (mseg-dataset/mseg-semantic, ``tool/inference_task.py``): each window's
scores are interpolated to its pixels, softmax is taken there, the probabilities are summed if other classes
are wanted, flips and overlapping windows are averaged, the mean is interpolated to the photo's resolution,
and the scales are summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir.images.budget import Budget
from semcbir.inference.canvas import Image, even_positions, lay, pixel_positions
from semcbir.inference.network import Canvas
from semcbir.networks.card import ModelCard
from semcbir.networks.specs import InferenceSpec
from semcbir.segmentation.labelling import Indices, Positions, Scores, upsampled_argmax
from semcbir.segmentation.network import SegmentationNetwork

_BAND = 2**19
"""Numbers processed at a time: few enough to stay in the cache."""

BUDGET = 2**31
"""Bytes that the images in work at the same time may take together; an image alone may take more."""


class Averager:
    """Runs ``network`` as its card's ``inference`` says, one image at a time.

    An image takes memory for the probabilities of one scale, their sum over the scales, and the scores of a
    batch of windows. The sum has the photo's resolution or the largest scale's, whichever is lower, so no
    photo is too large; the labels of a larger photo are those of the interpolated sum. Many classes at a
    large scale take gigabytes, so threads that call at the same time wait if they would exceed ``BUDGET``.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        self._network = network
        self._card = network.card
        self._spec = network.card.inference or InferenceSpec()
        self._masked = list(network.card.masked)
        self._groups = _groups(network.card)
        self._room = Budget(BUDGET)

    def label_map(self, image: Image) -> npt.NDArray[Any]:
        """Label an image (H, W, 3): (H, W) of integers below the card's ``n_classes``.

        Of equal probabilities the lowest label's wins. ModelError if the model fails.
        """
        photo = (image.shape[0], image.shape[1])
        sizes = self._spec.scaled(*photo, self._card.size)
        largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
        grid = (min(photo[0], largest[0]), min(photo[1], largest[1]))
        with self._room.holding(self._bytes(photo, grid, largest)):
            return self._labels(image, sizes, grid)

    def _bytes(self, photo: tuple[int, int], grid: tuple[int, int], largest: tuple[int, int]) -> int:
        """Return roughly the bytes that an image takes: its sum, and what is held beside it."""
        card, canvas = self._card, self._spec.canvas(*largest, self._card.size)
        window = canvas[0] * canvas[1] if self._spec.crop is None else self._spec.crop**2
        scores = len(card.classes) * window * self._network.density
        held = card.n_classes * grid[0] * grid[1]
        scale = card.n_classes * largest[0] * largest[1] + (self._network.batch_size + 1) * scores
        interpolated = 0 if grid == photo else 3 * held + 10 * photo[0] * photo[1]
        return round(4 * (held + max(scale, interpolated)))

    def _labels(self, image: Image, sizes: list[tuple[int, int]], grid: tuple[int, int]) -> npt.NDArray[Any]:
        photo = (image.shape[0], image.shape[1])
        total = np.zeros((self._card.n_classes, *grid), np.float32)
        for size in sizes:
            self._add_scale(total, image, size)
        if total.shape[1:] == photo:
            return np.asarray(total.argmax(axis=0))
        rows, columns = (even_positions(side, points) for side, points in zip(photo, grid, strict=True))
        return upsampled_argmax(total, rows, columns)

    def _add_scale(self, total: Scores, image: Image, size: tuple[int, int]) -> None:
        mean = self._probabilities(image, size)
        rows, columns = (
            even_positions(side, points) for side, points in zip(total.shape[1:], size, strict=True)
        )
        for band, values in _interpolated(mean, rows, columns):
            total[:, band] += values

    def _probabilities(self, image: Image, size: tuple[int, int]) -> Scores:
        """Return the mean over windows and flips of the photo scaled to ``size``: (n_classes, *size)."""
        spec, card = self._spec, self._card
        canvas = spec.canvas(*size, card.size)
        window = canvas if spec.crop is None else (spec.crop, spec.crop)
        top, left = (
            (outer - inner) // 2 if spec.padding == "centre" else 0
            for outer, inner in zip(canvas, size, strict=True)
        )
        whole = lay(image, size, canvas, card.input, card.size.pad, at=(top, left))
        flips = (False, True) if spec.flip else (False,)
        passes = list(product(spec.starts(canvas[0]), spec.starts(canvas[1]), flips))
        total = np.zeros((card.n_classes, *size), np.float32)
        count = np.zeros(size, np.float32)
        many = self._network.batch_size
        for first in range(0, len(passes), many):
            batch = passes[first : first + many]
            views = [self._view(whole, y, x, window, flip) for y, x, flip in batch]
            outputs = self._network.run(views, whole=len(passes) > many)  # calls of one shape: see Network
            for (y, x, flip), output in zip(batch, outputs, strict=True):
                y_here, y_there = _overlap(y - top, window[0], size[0])
                x_here, x_there = _overlap(x - left, window[1], size[1])
                rows, columns = self._positions(output, window, flip)
                part = total[:, y_here, x_here]
                for band, scores in _interpolated(self._checked(output), rows[y_there], columns[x_there]):
                    scores[self._masked] = -np.inf
                    part[:, band] += self._summed(_softmax(scores))
                count[y_here, x_here] += 1
        total /= count
        return total

    def _view(self, whole: Canvas, y: int, x: int, window: tuple[int, int], flip: bool) -> Canvas:
        rows = slice(y, y + window[0])
        columns = slice(x + window[1] - 1, x - 1 if x else None, -1) if flip else slice(x, x + window[1])
        return whole[:, rows, columns] if self._card.input.layout == "NCHW" else whole[rows, columns]

    def _positions(
        self, output: npt.NDArray[Any], window: tuple[int, int], flip: bool
    ) -> tuple[Positions, Positions]:
        """Return where the window's rows and columns lie on the output's lattice."""
        rows, columns = (
            pixel_positions(side, points, align_corners=self._card.output.align_corners)
            for side, points in zip(window, output.shape[1:], strict=True)
        )
        return rows, columns[::-1] if flip else columns

    def _checked(self, output: npt.NDArray[Any]) -> Scores:
        """Return the scores as float32, those of masked channels set to 0."""
        scores = output.astype(np.float32)
        scores[self._masked] = 0
        if not np.isfinite(scores).all():
            raise self._network.failure("gave scores that are not finite")
        return scores

    def _summed(self, probabilities: Scores) -> Scores:
        """Return the sums for the taxonomy's classes, or ``probabilities`` without a taxonomy."""
        if self._groups is None:
            return probabilities
        return np.stack([probabilities[group].sum(axis=0) for group in self._groups])


def _groups(card: ModelCard) -> list[Indices] | None:
    """Return the channels of each class of the taxonomy, or None without one."""
    taxonomy = card.inference.taxonomy if card.inference else None
    if taxonomy is None:
        return None
    label_of = {part: label for label, parts in enumerate(taxonomy.values()) for part in parts}
    channels: list[list[int]] = [[] for _ in taxonomy]
    for channel, name in enumerate(card.classes):
        if name in label_of:
            channels[label_of[name]].append(channel)
    return [np.array(of_label, np.intp) for of_label in channels]


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Return the overlap of 0..``size`` and a window of ``length`` at ``start``, as a slice of each."""
    low, high = max(0, start), min(size, start + length)
    return slice(low, high), slice(low - start, high - start)


def _interpolated(values: Scores, rows: Positions, columns: Positions) -> Iterator[tuple[slice, Scores]]:
    """Interpolate (C, h, w) bilinearly at positions (H,) and (W,); yield bands of rows, each (C, rows, W)."""
    above, down = _neighbours(rows, values.shape[1])
    before, across = _neighbours(columns, values.shape[2])
    after = np.minimum(before + 1, values.shape[2] - 1)
    height = max(1, _BAND // (len(values) * len(columns)))
    for start in range(0, len(rows), height):
        band = slice(start, min(start + height, len(rows)))
        below = np.minimum(above[band] + 1, values.shape[1] - 1)
        lines = _between(values[:, above[band]], values[:, below], down[band, None])
        yield band, _between(lines[:, :, before], lines[:, :, after], across)


def _between(low: Scores, high: Scores, fraction: Scores) -> Scores:
    return low * (1 - fraction) + high * fraction  # exact at 0


def _neighbours(positions: Positions, points: int) -> tuple[Indices, Scores]:
    """Return the point at or before each position, and how far the position lies beyond it, 0 <= f < 1."""
    before = np.minimum(positions.astype(np.intp), points - 1)
    return before, (positions - before).astype(np.float32)


def _softmax(scores: Scores) -> Scores:
    """Softmax over the first axis, in place."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
