# SPDX-License-Identifier: MIT
"""Neighbourhood smoothing: against dense NumPy, and how long it takes for many images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from made_signatures import made_signatures, with_whole_rows
from pairs import compare, seconds
from semcbir import Signatures, smoothed
from semcbir.threads import usable_cpus

K = 10


def like_deep(n: int) -> Signatures:
    """Made images in the shape of the default feature: few of 157 classes of 128 numbers, and a whole row."""
    return with_whole_rows(made_signatures(n, n_classes=157, dim=128, seed=2), seed=2)


def numpy_smoothed(dense: np.ndarray) -> np.ndarray:
    """The same averages of dense rows (n, C * D), float32: one product of all with all, then a gather."""
    squares = np.einsum("ij,ij->i", dense, dense)
    distances = squares[:, None] + squares - 2 * dense @ dense.T
    np.fill_diagonal(distances, -1)  # an image comes first
    nearest = np.argpartition(distances, K + 1, axis=1)[:, : K + 1]
    order = np.take_along_axis(distances, nearest, axis=1).argsort(axis=1, kind="stable")
    nearest = np.take_along_axis(nearest, order, axis=1)
    weights = np.arange(K + 1, 0, -1, dtype=np.float32)
    return np.einsum("k,nkd->nd", weights / weights.sum(), dense[nearest], optimize=True)


def test_smoothing(benchmark: Any) -> None:
    """1,000 images: dense rows of more would not fit into memory."""
    images = like_deep(1000)
    dense = images.dense().reshape(len(images), -1)
    mine = smoothed(images, K).dense().reshape(dense.shape)
    np.testing.assert_allclose(mine, numpy_smoothed(dense), atol=1e-4)
    what = f"smoothing 1,000 images of 158 x 128, k = {K}, {usable_cpus()} threads"
    compare(
        benchmark, what, lambda: smoothed(images, K), "dense NumPy, float32", lambda: numpy_smoothed(dense)
    )


@pytest.mark.parametrize("n", [5000, 20000])
def test_how_the_time_grows(benchmark: Any, n: int) -> None:
    """Every image is compared with every other."""
    images = like_deep(n)
    took: list[float] = []
    benchmark.pedantic(lambda: took.append(seconds(lambda: smoothed(images, K))), rounds=1)
    print(f"smoothing {n} made images with k = {K}: {took[0]:.1f} s")
