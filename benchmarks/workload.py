# SPDX-License-Identifier: MIT
"""Collections of any size to search in, resampled from real signatures or from made ones; seeded.

``resampled`` draws images of a base with replacement, redraws the proportions of their classes as
gamma(20 p + 0.05), normalised, drops classes below 0.002, and adds normal noise of 0.02 to the descriptors:
in the "paper" workload to class means that are not null, in the "deep" one to the directions of all rows,
which are then weighted again. Queries are drawn the same way with another seed, so they are not in the
collection. ``scattered`` gives images of the same sizes that have nothing in common.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from made_signatures import made_signatures, with_whole_rows
from semcbir import Index, Signatures, weighted

NOISE, SMALLEST = 0.02, 0.002
WHOLE_SHARE = 0.7


def bases(wang: Path | None) -> dict[str, Signatures]:
    """The signatures that collections are drawn from."""
    if wang is None:
        deep = with_whole_rows(made_signatures(1000, n_classes=157, dim=128, seed=2), seed=2)
        return {
            "paper": made_signatures(1000, n_classes=157, dim=64, seed=1),
            "deep": weighted(deep, WHOLE_SHARE),
        }
    with (
        tempfile.TemporaryDirectory() as name,
        Index.build(wang, Path(name) / "i", features="kaze,deep") as index,
    ):
        return {"paper": index.signatures("kaze")[:], "deep": index.signatures("deep")[:]}


def resampled(base: Signatures, n: int, seed: int, *, at_once: int = 50_000) -> Signatures:
    """Return ``n`` images drawn from ``base``; a base with whole rows is weighted by share."""
    rng = np.random.default_rng([seed, n])
    counts = [min(at_once, n - start) for start in range(0, n, at_once)]
    parts = [_part(base, count, rng) for count in counts]
    return parts[0] if len(parts) == 1 else Signatures.concatenate(parts, ids=np.arange(n))


def append(index: Index, signatures: Signatures, paths: list[Path]) -> None:
    """Take signatures that were drawn into an index, as if they were those of its network."""
    fields = ("offsets", "classes", "proportions", "counts", "centroids", "n_classes", "whole")
    values = {name: getattr(signatures, name) for name in fields}
    index.append(Signatures(**values, recipe=index.recipe.for_feature(None)), paths)


def _part(base: Signatures, n: int, rng: np.random.Generator) -> Signatures:
    drawn = rng.integers(len(base), size=n)
    starts, ends = base.offsets[drawn], base.offsets[drawn + 1]
    lengths = ends - starts
    images = np.repeat(np.arange(n), lengths)
    rows = (
        np.arange(lengths.sum())
        - np.repeat(np.cumsum(lengths) - lengths, lengths)
        + np.repeat(starts, lengths)
    )
    classes, whole = base.classes[rows], base.classes[rows] == base.n_classes
    shares = rng.gamma(20 * base.proportions[rows] + 0.05)
    shares[whole] = 0
    shares /= np.maximum(np.bincount(images, shares, minlength=n), 1e-30)[images]
    kept = (shares >= SMALLEST) | whole
    rows, images, classes, shares, whole = (column[kept] for column in (rows, images, classes, shares, whole))
    shares /= np.maximum(np.bincount(images, shares, minlength=n), 1e-30)[images]
    centroids = base.centroids[rows]
    if base.whole:
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-30)
    full = base.counts[rows] > 0
    noise = rng.standard_normal(centroids.shape, np.float32)
    centroids += np.float32(NOISE) * noise * full[:, None]
    made = Signatures(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(images, minlength=n))]),
        classes=classes,
        proportions=shares.astype(np.float32),
        counts=base.counts[rows],
        centroids=centroids,
        n_classes=base.n_classes,
        whole=base.whole,
    )
    return weighted(made, WHOLE_SHARE) if base.whole else made


def scattered(base: Signatures, n: int, seed: int) -> Signatures:
    """Return ``n`` images as ``resampled`` does, with classes and directions of rows drawn at random."""
    images = resampled(base, n, seed)
    rng = np.random.default_rng([seed, n, 1])
    classes = images.classes.copy()
    for start in range(0, n, 10_000):
        lengths = np.diff(images.offsets[start : start + 10_001])
        orders = rng.random((len(lengths), base.n_classes)).argsort(axis=1)
        chosen = np.where(np.arange(base.n_classes) < lengths[:, None], orders, base.n_classes)
        chosen.sort(axis=1)
        first = images.offsets[start]
        drawn = chosen[chosen < base.n_classes]
        classes[first : first + len(drawn)] = drawn
    directions = rng.standard_normal(images.centroids.shape, np.float32)
    norms = np.linalg.norm(images.centroids, axis=1, keepdims=True)
    directions *= norms / np.linalg.norm(directions, axis=1, keepdims=True)
    return Signatures(
        offsets=images.offsets,
        classes=classes,
        proportions=images.proportions,
        counts=images.counts,
        centroids=directions,
        n_classes=base.n_classes,
    )
