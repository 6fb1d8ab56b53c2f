# SPDX-License-Identifier: MIT
"""From scores and labels to label maps: geometry, and the pruned argmax against a plain one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labelling_reference
from semcbir.inference.canvas import Placement
from semcbir.segmentation.labelling import nearest_labels, upsampled_argmax


def upsampled(logits: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear interpolation (C, h, w) -> (C, H, W) in float64, by hat functions: the plain reference."""
    upright, across = (
        np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(points)))
        for positions, points in ((rows, logits.shape[1]), (columns, logits.shape[2]))
    )
    return np.einsum("yh,chw,xw->cyx", upright, logits.astype(np.float64), across, optimize=True)


def assert_winners(
    labels: np.ndarray,
    logits: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    masked: tuple[int, ...] = (),
) -> None:
    """Every label's interpolated score is the greatest, to float32 rounding."""
    scores = upsampled(logits, rows, columns)
    scores[list(masked)] = -np.inf
    reached = np.take_along_axis(scores, labels[None].astype(np.intp), axis=0)[0]
    np.testing.assert_allclose(reached, scores.max(axis=0), rtol=0, atol=4e-6 * np.abs(logits).max())


def placement(photo: tuple[int, int], crop: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    return Placement(photo, crop, canvas)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_pruned_argmax_is_the_plain_one(data: st.DataObject) -> None:
    sides = st.tuples(st.integers(1, 7), st.integers(1, 7))
    (h, w), photo = data.draw(sides), data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    crop = data.draw(sides)
    canvas = (crop[0] + data.draw(st.integers(0, 3)), crop[1] + data.draw(st.integers(0, 3)))
    n_classes = data.draw(st.integers(1, 9))
    masked = tuple(data.draw(st.sets(st.integers(0, n_classes - 1), max_size=n_classes - 1)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(n_classes, h, w)).astype(np.float32)
    if data.draw(st.booleans()):
        logits = np.round(logits)  # ties everywhere
    rows, columns = placement(photo, crop, canvas).positions((h, w), align_corners=data.draw(st.booleans()))
    labels = upsampled_argmax(logits, rows, columns, masked)
    assert labels.shape == photo
    assert not set(masked) & set(labels.ravel().tolist())
    assert_winners(labels, logits, rows, columns, masked)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_core_gives_the_bits_of_numpy(data: st.DataObject) -> None:
    sides = st.tuples(st.integers(1, 7), st.integers(1, 7))
    (h, w), crop = data.draw(sides), data.draw(sides)
    photo = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    canvas = (crop[0] + data.draw(st.integers(0, 3)), crop[1] + data.draw(st.integers(0, 3)))
    n_classes = data.draw(st.integers(1, 9))
    masked = tuple(data.draw(st.sets(st.integers(0, n_classes - 1))))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size = data.draw(st.sampled_from([1e-39, 1.0, 1.5, 1e37]))  # differences overflow, and products vanish
    logits = (rng.normal(size=(n_classes, h, w)) * size).astype(np.float32)
    if size == 1.5:
        logits = np.round(logits)  # ties everywhere
    if data.draw(st.booleans()):
        logits.flat[data.draw(st.integers(0, logits.size - 1))] = data.draw(
            st.sampled_from([np.nan, np.inf, -np.inf])
        )
    rows, columns = placement(photo, crop, canvas).positions((h, w), align_corners=data.draw(st.booleans()))

    def outcome(function: Callable[..., np.ndarray]) -> str | tuple[np.dtype, list[list[int]]]:
        try:
            with np.errstate(all="ignore"):
                labels = function(logits, rows, columns, masked)
        except ValueError as error:
            return str(error)
        return labels.dtype, labels.tolist()

    assert outcome(upsampled_argmax) == outcome(labelling_reference.upsampled_argmax)


def test_many_channels_at_a_photo_s_size() -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(151, 17, 13)).astype(
        np.float32
    )  # any channel may win anywhere: nothing to prune
    rows, columns = placement((256, 190), (65, 49), (65, 49)).positions((17, 13), align_corners=True)
    assert_winners(upsampled_argmax(logits, rows, columns), logits, rows, columns)


def test_of_equal_scores_the_lowest_channel_wins() -> None:
    rng = np.random.default_rng(8)
    once = rng.normal(size=(4, 6, 5)).astype(np.float32)
    rows, columns = placement((40, 30), (24, 20), (24, 20)).positions((6, 5), align_corners=False)
    twice = upsampled_argmax(np.repeat(once, 2, axis=0), rows, columns)
    np.testing.assert_array_equal(twice, 2 * upsampled_argmax(once, rows, columns))
    assert (upsampled_argmax(np.zeros_like(once), rows, columns, masked=(0, 2)) == 1).all()


def test_a_border_lies_where_the_scores_cross() -> None:
    # Two points 100 pixels apart; channel 1 wins from three quarters on: 0.75 = 1 - 0.25.
    logits = np.array([[[0.5, 0.5]], [[-1.0, 1.0]]], np.float32)
    rows, columns = placement((1, 101), (1, 101), (1, 101)).positions((1, 2), align_corners=True)
    assert np.flatnonzero(upsampled_argmax(logits, rows, columns)[0]).tolist() == list(range(76, 101))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    logits = np.zeros((3, 4, 4), np.float32)
    rows, columns = placement((8, 8), (6, 6), (8, 8)).positions((4, 4), align_corners=False)
    logits[1, 2, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        upsampled_argmax(logits, rows, columns)
    # What is masked, or lies in the padding beyond the crop, does not matter.
    assert (upsampled_argmax(logits, rows, columns, masked=(1,)) == 0).all()
    logits[1, 2, 1], logits[:, 3, 3] = 1.0, bad
    upsampled_argmax(logits, *placement((8, 8), (4, 4), (8, 8)).positions((4, 4), align_corners=False))


def test_a_channel_struck_out_by_the_graph_itself_never_wins() -> None:
    logits = np.random.default_rng(9).normal(size=(3, 4, 4)).astype(np.float32)
    logits[0] = -np.inf
    rows, columns = placement((9, 9), (9, 9), (9, 9)).positions((4, 4), align_corners=True)
    expected = upsampled_argmax(logits[1:], rows, columns) + 1
    np.testing.assert_array_equal(upsampled_argmax(logits, rows, columns), expected)


def test_positions_by_hand() -> None:
    photo = placement((4, 8), (2, 4), (5, 5))
    # Pixel i of 4 has its centre at i + 1/2, at half of that on the crop, its index
    # 1/2 lower; clamped to 0..1.
    rows, columns = photo.positions((5, 5), align_corners=True)
    np.testing.assert_allclose(rows, [0, 0.25, 0.75, 1])
    np.testing.assert_allclose(columns, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    # Two points on five pixels: at the first and the last, or in the middle of each half.
    np.testing.assert_allclose(photo.positions((2, 2), align_corners=True)[0], [0, 0.0625, 0.1875, 0.25])
    halves = photo.positions((2, 2), align_corners=False)[1]
    np.testing.assert_allclose(halves, [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 0.9])


@given(st.integers(1, 50), st.integers(2, 50), st.integers(1, 50), st.booleans())
def test_positions_are_symmetric_where_nothing_is_padded(
    photo: int, canvas: int, points: int, align_corners: bool
) -> None:
    rows, _ = placement((photo, 1), (canvas, 1), (canvas, 1)).positions(
        (points, 1), align_corners=align_corners
    )
    np.testing.assert_allclose(rows + rows[::-1], points - 1, atol=1e-9)
    assert (np.diff(rows) >= 0).all()
    assert rows[0] >= 0


def test_labels_are_read_at_the_nearest_point() -> None:
    labels = np.array([[1, 2], [3, 4]], np.uint8)
    rows, columns = placement((4, 6), (2, 2), (2, 2)).positions((2, 2), align_corners=False)
    expected = np.repeat(np.repeat(labels, 2, axis=0), 3, axis=1)
    np.testing.assert_array_equal(nearest_labels(labels, rows, columns), expected)
