# SPDX-License-Identifier: MIT
"""The script that makes an encoder's projection, and the projection that ships."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import semcbir.networks

SHIPPED = Path(semcbir.networks.__file__).with_name("shipped") / "efficientnet-lite0.npz"
FOLDER = Path(__file__).resolve().parents[1] / "training"
if FOLDER.is_dir():
    sys.path.insert(0, str(FOLDER))
    import projection
else:
    projection = None

made_here = pytest.mark.skipif(projection is None, reason="training/ is not part of this copy")


def test_the_projection_that_ships_has_orthonormal_axes() -> None:
    with np.load(SHIPPED, allow_pickle=False) as arrays:
        assert set(arrays) == {"mean", "matrix"}
        mean, matrix = arrays["mean"], arrays["matrix"]
    assert (mean.shape, mean.dtype) == ((1280,), np.float32)
    assert (matrix.shape, matrix.dtype) == ((1280, 128), np.float16)
    assert (mean >= 0).all()  # of vectors that come out of a ReLU
    wide = matrix.astype(np.float64)
    np.testing.assert_allclose(wide.T @ wide, np.eye(128), atol=2e-4)


@made_here
def test_the_axes_are_those_of_the_singular_values() -> None:
    rng = np.random.default_rng(5)
    found = rng.normal(size=(60, 12)) * np.arange(12, 0, -1) + 3
    mean, matrix, share = projection.principal_axes(found, 4)
    np.testing.assert_allclose(mean, found.mean(axis=0))
    _, values, axes = np.linalg.svd(found - found.mean(axis=0))
    assert share == pytest.approx((values[:4] ** 2).sum() / (values**2).sum())
    np.testing.assert_allclose(np.abs((axes[:4] * matrix.T).sum(axis=1)), 1)
    assert (matrix[np.abs(matrix).argmax(axis=0), np.arange(4)] > 0).all()
    np.testing.assert_allclose(projection.principal_axes(found[::-1], 4)[1], matrix, atol=1e-9)


@made_here
@pytest.mark.parametrize("dim", [0, 6, 13])
def test_more_axes_than_photos_or_numbers_are_refused(dim: int) -> None:
    with pytest.raises(ValueError, match=rf"dim: expected 1 to 5, got {dim}"):
        projection.principal_axes(np.eye(6, 12), dim)


@made_here
def test_a_photo_s_vector_leaves_the_padding_out() -> None:
    cells = np.arange(3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)
    grid = SimpleNamespace(
        cells=cells, rows=np.array([0, 0, 1, 1], np.int32), columns=np.array([0, 2], np.int32)
    )
    np.testing.assert_array_equal(projection.whole_vector(grid), cells[:2, [0, 2]].mean(axis=(0, 1)))


@made_here
def test_photos_held_out_are_not_encoded(tmp_path: Path) -> None:
    for number in range(1, 22):
        cv2.imwrite(str(tmp_path / f"{number:04d}.png"), np.full((2, 3, 3), number, np.uint8))

    def encode(images: list[np.ndarray]) -> list[SimpleNamespace]:
        at = np.zeros(1, np.int32)
        return [
            SimpleNamespace(cells=image[:1, :1].astype(np.float32), rows=at, columns=at) for image in images
        ]

    found = projection.vectors(encode, projection.training_photos(tmp_path))
    np.testing.assert_array_equal(found[:, 0], [number for number in range(1, 22) if number % 10])


@made_here
def test_the_file_depends_on_the_numbers_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mean, matrix = rng.random(5), np.asfortranarray(rng.random((5, 3)))
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    projection.write(first, mean, matrix)
    projection.write(second, mean, np.ascontiguousarray(matrix))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    with np.load(first, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["mean"], mean.astype(np.float32))
        np.testing.assert_array_equal(arrays["matrix"], matrix.astype(np.float16))
