# SPDX-License-Identifier: MIT
"""What the network is really given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from semcbir.inference.canvas import lay, lay_whole, scale
from semcbir.networks.specs import InputSpec, SizeSpec

SIZE = SizeSpec(rule="long_side", length=8, multiple=4, offset=1, pad=(10, 200, 30))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize(("dtype", "normalised"), [("uint8", False), ("float32", False), ("float32", True)])
def test_a_canvas_by_the_definition(layout: Any, colour: Any, dtype: Any, normalised: bool) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, shape, np.uint8) for shape in ((8, 6, 3), (7, 8, 3))]
    spec = InputSpec(
        layout=layout, dtype=dtype, colour=colour, **({"mean": MEAN, "std": STD} if normalised else {})
    )
    laid = [lay_whole(image, spec, SIZE) for image in images]

    expected = np.empty((2, 9, 9, 3))
    expected[:] = SIZE.pad
    expected[0, :8, :6], expected[1, :7, :8] = images
    if normalised:
        expected = (expected / 255 - MEAN) / STD
    expected = expected[..., ::-1] if colour == "BGR" else expected
    expected = expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected
    for canvas, wanted in zip(laid, expected, strict=True):
        assert canvas.dtype == dtype
        assert canvas.flags.c_contiguous
        np.testing.assert_allclose(canvas, wanted, rtol=1e-6, atol=1e-7)


def test_scaling_averages_what_it_shrinks_and_interpolates_what_it_grows() -> None:
    checks = (np.indices((4, 6)).sum(axis=0) % 2 * 200).astype(np.uint8)
    image = np.repeat(checks[:, :, None], 3, axis=2)
    assert (scale(image, (2, 3)) == 100).all()  # nearest or bilinear off the centres would keep stripes
    ramp = np.repeat(np.array([[0, 100]], np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(scale(ramp, (1, 4))[0, :, 0], [0, 25, 75, 100])
    assert scale(image, (4, 6)) is image


def test_a_photo_may_lie_anywhere_on_its_canvas() -> None:
    image = np.random.default_rng(2).integers(0, 256, (3, 4, 3), np.uint8)
    spec = InputSpec(layout="NHWC", dtype="uint8", colour="BGR")
    laid = lay(image, (3, 4), (7, 6), spec, (10, 200, 30), at=(2, 1))
    expected = np.full((7, 6, 3), (10, 200, 30), np.uint8)
    expected[2:5, 1:5] = image
    np.testing.assert_array_equal(laid, expected[:, :, ::-1])


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (40, 40), (200, 31), (31, 200)])
def test_squashing_fills_a_square_whatever_the_ratio(shape: tuple[int, int]) -> None:
    size = SizeSpec(rule="squash", length=40)
    assert size.scaled(*shape) == size.canvas(*size.scaled(*shape)) == (40, 40)
    assert (size.n_canvases(), size.sides()) == (1, {40})
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    spec = InputSpec(layout="NHWC", dtype="uint8")
    assert np.array_equal(lay_whole(image, spec, size), scale(image, (40, 40)))


def test_a_side_that_shrinks_is_averaged_while_the_other_grows() -> None:
    stripes = np.zeros((1, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    scaled = scale(stripes, (4, 100))
    assert scaled.shape == (4, 100, 3)
    assert (scaled == 100).all()
    assert np.array_equal(scale(stripes.transpose(1, 0, 2), (100, 4)), scaled.transpose(1, 0, 2))
