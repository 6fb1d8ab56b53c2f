# SPDX-License-Identifier: MIT
"""Building signatures: against vectorised NumPy, Algorithm 1 as loops, and the features it follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pairs import compare
from semcbir import KAZE, Segmenter, Signatures, build_signatures, load_image

Case = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], int]


@pytest.fixture(scope="module")
def case(wang_dir: Path, ade_model: Path) -> Case:
    """Label maps and KAZE features of 20 real photos, two of each class."""
    images = [load_image(wang_dir / f"{number}.jpg") for number in range(0, 1000, 50)]
    segmenter = Segmenter(ade_model)
    features = [KAZE().detect_and_compute(grey(image)) for image in images]
    return (
        segmenter.segment(images),
        [found.keypoints for found in features],
        [found.descriptors for found in features],
        segmenter.n_classes,
    )


def grey(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def core(case: Case) -> Signatures:
    maps, points, vectors, n_classes = case
    return build_signatures(maps, points, vectors, n_classes=n_classes, threads=1)


def numpy_one_hot(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectorised NumPy, the means as a product with a one-hot matrix of the classes that are present."""
    results = []
    for label_map, points, vectors in zip(*case[:3], strict=True):
        histogram = np.bincount(label_map.ravel(), minlength=case[3]) / label_map.size
        labels = labels_of(label_map, points)
        present, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
        one_hot = np.zeros((len(present), len(labels)))
        one_hot[groups, np.arange(len(labels))] = 1
        signature = np.zeros((case[3], vectors.shape[1]), np.float32)
        signature[present] = one_hot @ vectors.astype(np.float64) / counts[:, None]
        results.append((histogram, signature))
    return results


def numpy_reduceat(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectorised NumPy, the means as sums over runs of the keypoints sorted by class."""
    results = []
    for label_map, points, vectors in zip(*case[:3], strict=True):
        histogram = np.bincount(label_map.ravel(), minlength=case[3]) / label_map.size
        labels = labels_of(label_map, points)
        order = np.argsort(labels, kind="stable")
        present, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
        sums = np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
        signature = np.zeros((case[3], vectors.shape[1]), np.float32)
        signature[present] = sums / counts[:, None]
        results.append((histogram, signature))
    return results


def labels_of(label_map: np.ndarray, points: np.ndarray) -> np.ndarray:
    columns, rows = np.floor(points.astype(np.float64) + 0.5).astype(np.intp).T
    height, width = label_map.shape
    return label_map[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]


def algorithm_1(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Algorithm 1 line by line, as Python loops over classes and keypoints."""
    results = []
    for label_map, points, vectors in zip(*case[:3], strict=True):
        height, width = label_map.shape
        histogram = np.zeros(case[3])
        for row in label_map.tolist():
            for label in row:
                histogram[label] += 1
        signature = np.zeros((case[3], vectors.shape[1]), np.float32)
        for c in range(case[3]):
            if not histogram[c]:
                continue
            group = []
            for j in range(len(points)):
                x = min(max(int(np.floor(points[j, 0] + 0.5)), 0), width - 1)
                y = min(max(int(np.floor(points[j, 1] + 0.5)), 0), height - 1)
                if label_map[y, x] == c:
                    group.append(vectors[j])
            if group:
                signature[c] = np.mean(group, axis=0, dtype=np.float64)
        results.append((histogram / label_map.size, signature))
    return results


PEERS: list[tuple[Any, int, float]] = [
    (numpy_one_hot, 15, 3),
    (numpy_reduceat, 15, 3),
    (algorithm_1, 3, 30),
]


@pytest.mark.parametrize(("peer", "rounds", "floor"), PEERS)
def test_building_signatures(benchmark: Any, case: Case, peer: Any, rounds: int, floor: float) -> None:
    built = core(case)
    for i, (histogram, signature) in enumerate(peer(case)):
        np.testing.assert_array_equal(built.histograms()[i], histogram.astype(np.float32))
        np.testing.assert_allclose(built.dense()[i], signature, rtol=1e-6, atol=1e-7)
    ratio = compare(
        benchmark,
        "signatures of 20 photos, 1 thread",
        lambda: core(case),
        peer.__name__,
        lambda: peer(case),
        rounds=rounds,
    )
    benchmark.extra_info["aim"] = floor
    print(f"{peer.__name__}: {ratio:.1f} times (aim: {floor})")


def test_share_of_the_features(benchmark: Any, case: Case, wang_dir: Path) -> None:
    greys = [grey(load_image(wang_dir / f"{number}.jpg")) for number in range(0, 1000, 50)]
    kaze = KAZE()
    ratio = compare(
        benchmark,
        "signatures of 20 photos, 1 thread",
        lambda: core(case),
        "extracting their KAZE features",
        lambda: [kaze.detect_and_compute(image) for image in greys],
        rounds=3,
    )
    print(f"building takes {100 / ratio:.2f} % of the features' time (aim: under 1 %)")
