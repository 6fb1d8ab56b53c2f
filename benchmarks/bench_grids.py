# SPDX-License-Identifier: MIT
"""Feature deep, stage by stage: signatures of grids against NumPy, models against KAZE, indexing in pairs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pairs import compare
from semcbir import KAZE, Encoder, Grid, Index, Segmenter, Signatures, build_grid_signatures, load_image

Case = tuple[list[np.ndarray], list[Grid], int]


@pytest.fixture(scope="module")
def photos(wang_dir: Path) -> list[np.ndarray]:
    """20 real photos, two of each class."""
    return [load_image(wang_dir / f"{number}.jpg") for number in range(0, 1000, 50)]


@pytest.fixture(scope="module")
def case(photos: list[np.ndarray]) -> Case:
    segmenter = Segmenter(device="cpu")
    return segmenter.segment(photos), Encoder(device="cpu").encode(photos), segmenter.n_classes


def numpy_one_hot(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectorised NumPy: pixels of each class in each cell by bincount, then a product with the cells."""
    results = []
    for label_map, grid in zip(*case[:2], strict=True):
        height, width, dim = grid.cells.shape
        cells = grid.rows[:, None] * width + grid.columns
        pairs = label_map.astype(np.int64) * (height * width) + cells
        pixels = np.bincount(pairs.ravel(), minlength=case[2] * height * width).reshape(case[2], -1)
        counts = pixels.sum(axis=1)
        flat = grid.cells.reshape(-1, dim).astype(np.float64)
        signature = np.zeros((case[2] + 1, dim))
        present = np.flatnonzero(counts)
        signature[present] = pixels[present] @ flat / counts[present, None]
        signature[-1] = flat[np.unique(cells)].mean(axis=0)
        results.append((counts / label_map.size, signature.astype(np.float32)))
    return results


def core(case: Case) -> Signatures:
    return build_grid_signatures(*case[:2], n_classes=case[2], threads=1)


def test_signatures_of_grids(benchmark: Any, case: Case) -> None:
    built = core(case)
    for i, (histogram, signature) in enumerate(numpy_one_hot(case)):
        np.testing.assert_array_equal(built.histograms()[i], histogram.astype(np.float32))
        np.testing.assert_allclose(built.dense()[i], signature, rtol=1e-5, atol=1e-6)
    what = "deep signatures of 20 Wang photos, 1 thread"
    compare(benchmark, what, lambda: core(case), "vectorised NumPy", lambda: numpy_one_hot(case))


def test_encoding(benchmark: Any, photos: list[np.ndarray]) -> None:
    """What a photo costs: the encoder beside the local features that it replaces."""
    kaze = KAZE()
    greys = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in photos]
    threads = cv2.getNumThreads()
    encoder = Encoder(device="cpu", threads=1)

    def peer() -> None:
        cv2.setNumThreads(1)
        for grey in greys:
            kaze.detect_and_compute(grey)
        cv2.setNumThreads(threads)

    what = "encoding 20 Wang photos, 1 thread"
    compare(benchmark, what, lambda: encoder.encode(photos), "their KAZE features", peer, rounds=5)


def test_segmentation_beside_encoding(benchmark: Any, photos: list[np.ndarray]) -> None:
    encoder, segmenter = Encoder(device="cpu", threads=1), Segmenter(device="cpu", threads=1)
    what = "encoding 20 Wang photos, 1 thread"
    peer_name = "segmenting them with the model that ships"
    compare(
        benchmark,
        what,
        lambda: encoder.encode(photos),
        peer_name,
        lambda: segmenter.segment(photos),
        rounds=9,
    )


def test_indexing_with_defaults(benchmark: Any, wang_dir: Path, tmp_path: Path) -> None:
    """The default feature against KAZE, which was the default before it; whole runs in turn."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(0, 1000, 5):
        shutil.copy(wang_dir / f"{number}.jpg", photos)

    def build(features: str) -> None:
        shutil.rmtree(tmp_path / "index", ignore_errors=True)
        assert len(Index.build(photos, tmp_path / "index", features=features, device="cpu")) == 200

    ratio = compare(
        benchmark,
        "index of 200 Wang photos, defaults",
        lambda: build("deep"),
        "with KAZE",
        lambda: build("kaze"),
        rounds=5,
    )
    print(f"indexing with the defaults is {ratio:.2f} times as fast as with KAZE (aim: at least 2)")
