# SPDX-License-Identifier: MIT
"""The definitions in plain float64 NumPy, for exact comparison with the core, and inputs to compare on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

LANES = 16


@dataclass(frozen=True)
class Columns:
    """Images by columns, as in Signatures."""

    offsets: npt.NDArray[np.int64]
    classes: npt.NDArray[np.uint16]
    proportions: npt.NDArray[np.float32]
    centroids: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def histograms(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
        return self.offsets, self.classes, self.proportions

    @property
    def query(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.offsets, self.classes, self.proportions, self.centroids

    @property
    def segment(self) -> tuple[npt.NDArray[np.generic], ...]:
        return (*self.query, self.ids)

    def part(self, first: int, last: int) -> Columns:
        """Images first to last - 1, in memory of their own."""
        a, b = self.offsets[first], self.offsets[last]
        return Columns(
            self.offsets[first : last + 1] - a,
            self.classes[a:b].copy(),
            self.proportions[a:b].copy(),
            self.centroids[a:b].copy(),
            self.ids[first:last].copy(),
        )

    def cut(self, at: Sequence[int]) -> list[Columns]:
        """The same images in segments that end at the given places; some may be empty."""
        ends = [0, *sorted(at), len(self)]
        return [self.part(a, b) for a, b in pairwise(ends)]

    def dense(self, n_classes: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Histograms (n, C) and signatures (n, C, D) with null vectors."""
        image = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        histograms = np.zeros((len(self), n_classes))
        histograms[image, self.classes] = self.proportions
        signatures = np.zeros((len(self), n_classes, self.centroids.shape[1]))
        signatures[image, self.classes] = self.centroids
        return histograms, signatures


def make_columns(seed: int, n: int, n_classes: int, dim: int, values: int = 0, share: float = 0.4) -> Columns:
    """Random images, some without classes, some rows without keypoints, few different ``values`` unless 0."""
    rng = np.random.default_rng(seed)
    present = rng.random((n, n_classes)) < share
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    rows = int(offsets[-1])
    centroids = rng.standard_normal((rows, dim))
    weights = rng.random(rows) + 0.01
    if values:
        centroids = rng.integers(0, values, (rows, dim)) / 4
        weights = rng.integers(1, values + 1, rows).astype(float)
    centroids[rng.random(rows) < 0.2] = 0.0
    image = np.repeat(np.arange(n), np.diff(offsets))
    totals = np.bincount(image, weights, n)
    return Columns(
        offsets,
        np.nonzero(present)[1].astype(np.uint16),
        (weights / totals[image]).astype(np.float32),
        centroids.astype(np.float32),
        rng.permutation(n).astype(np.int64),
    )


def with_ties(columns: Columns, times: int) -> Columns:
    """The same images several times over, under ids in random order."""
    n = len(columns)
    ids = np.random.default_rng(n).permutation(times * n).astype(np.int64)
    steps = np.tile(np.diff(columns.offsets), times)
    return Columns(
        np.concatenate([[0], np.cumsum(steps)]).astype(np.int64),
        np.tile(columns.classes, times),
        np.tile(columns.proportions, times),
        np.tile(columns.centroids, (times, 1)),
        ids,
    )


def with_removed(columns: Columns, every: int) -> Columns:
    """The same images, some of them removed."""
    ids = columns.ids.copy()
    ids[::every] = -1
    return replace(columns, ids=ids)


def squared_distances(q: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """||q - x_i||^2 (n,), entry d of each class in lane d % 16; a class that both lack adds nothing."""
    lanes = np.zeros((len(x), LANES))
    for c in range(q.shape[0]):
        for d in range(q.shape[1]):
            t = q[c, d] - x[:, c, d]
            lanes[:, d % LANES] += t * t
    half = LANES // 2
    while half:
        lanes[:, :half] += lanes[:, half : 2 * half]
        half //= 2
    return lanes[:, 0]


def histogram_distances(q: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Eq. 1 (n,), classes ascending."""
    total = np.zeros(len(x))
    for c in range(len(q)):
        total += np.abs(q[c] - x[:, c])
    return total


class Reference:
    """Distances of all queries to all images, from which any search follows."""

    def __init__(self, images: Columns, queries: Columns, n_classes: int) -> None:
        x_histograms, x_signatures = images.dense(n_classes)
        q_histograms, q_signatures = queries.dense(n_classes)
        dim = images.centroids.shape[1]
        self.ids = images.ids
        self.squared = np.array([squared_distances(q, x_signatures) for q in q_signatures]).reshape(
            len(queries), len(images)
        )
        self.histogram = np.array([histogram_distances(q, x_histograms) for q in q_histograms]).reshape(
            len(queries), len(images)
        )
        assert dim == queries.centroids.shape[1]

    def search(
        self, k: int, epsilon: float | None, drop: bool
    ) -> tuple[
        npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]
    ]:
        n_queries = len(self.squared)
        ids = np.full((n_queries, k), -1, np.int64)
        distances = np.full((n_queries, k), np.inf, np.float32)
        histograms = np.full((n_queries, k), np.inf, np.float32)
        kept = np.zeros(n_queries, np.int64)
        for q in range(n_queries):
            passes = np.ones(len(self.ids), bool)
            if epsilon is not None and epsilon < 2:
                passes = self.histogram[q] <= epsilon
            there = self.ids >= 0
            kept[q] = np.count_nonzero(passes & there)
            candidates = np.flatnonzero(there & (passes | (not drop)))
            order = np.lexsort((self.ids[candidates], self.squared[q, candidates], ~passes[candidates]))
            first = candidates[order[:k]]
            ids[q, : len(first)] = self.ids[first]
            distances[q, : len(first)] = np.sqrt(self.squared[q, first])
            histograms[q, : len(first)] = self.histogram[q, first]
        return ids, distances, histograms, kept


def build_signature(
    label_map: npt.NDArray[np.generic],
    keypoints: npt.NDArray[np.float32],
    descriptors: npt.NDArray[np.float32],
    n_classes: int,
    void: int,
) -> list[tuple[int, np.float32, int, npt.NDArray[np.float32]]]:
    """Algorithm 1: a row (class, proportion, count, centroid) for each class that has pixels."""
    height, width = label_map.shape
    labelled = int(np.count_nonzero(label_map != void))
    xy = np.floor(keypoints.astype(np.float64) + 0.5)
    x = np.clip(xy[:, 0], 0, width - 1).astype(int)
    y = np.clip(xy[:, 1], 0, height - 1).astype(int)
    labels = label_map[y, x]
    rows = []
    for c in range(n_classes):
        pixels = int(np.count_nonzero(label_map == c))
        if c == void or pixels == 0:
            continue
        total = np.zeros(descriptors.shape[1])
        mine = np.flatnonzero(labels == c)
        for i in mine:
            total += descriptors[i]
        centroid = (total / len(mine) if len(mine) else total).astype(np.float32)
        rows.append((c, np.float32(pixels / labelled), len(mine), centroid))
    return rows
