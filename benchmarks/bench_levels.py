# SPDX-License-Identifier: MIT
"""Instruction sets: the same search at every level that is usable here, each beside every lower one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from made_signatures import made_signatures
from pairs import compare
from semcbir import Searcher, Signatures, _core
from workload import resampled

LEVELS = _core.simd_levels()
PAIRS = list(combinations(LEVELS, 2))


@pytest.fixture(autouse=True)
def level_before() -> Iterator[None]:
    before = _core.simd_level()
    yield
    _core.set_simd_level(before)


def compare_levels(
    benchmark: Any, lower: str, level: str, images: Signatures, queries: Signatures, *, screened: bool
) -> None:
    core = Searcher(images)._core
    asked = (queries.offsets, queries.classes, queries.proportions, queries.centroids)

    def search(name: str) -> list[bytes]:
        """Without the filter, so that the kernels in question have most of the work."""
        _core.set_simd_level(name)
        return [column.tobytes() for column in core.search(*asked, 20, None, False, 1, screened)]

    assert search(level) == search(lower)
    how = "screens" if screened else "distances"
    what = (
        f"{len(queries)} queries over {len(images):,} images of 150 x {images.dim}, {how}, {level}, 1 thread"
    )
    compare(benchmark, what, lambda: search(level), lower, lambda: search(lower), rounds=101)


@pytest.mark.parametrize("dim", [36, 64, 128])
@pytest.mark.parametrize(("lower", "level"), PAIRS)
def test_distances(benchmark: Any, lower: str, level: str, dim: int) -> None:
    images = made_signatures(2000, n_classes=150, dim=dim, seed=1)
    compare_levels(benchmark, lower, level, images, images[:20], screened=False)


@pytest.mark.parametrize("dim", [36, 64, 128])
@pytest.mark.parametrize(("lower", "level"), PAIRS)
def test_screens(benchmark: Any, lower: str, level: str, dim: int) -> None:
    base = made_signatures(1000, n_classes=150, dim=dim, seed=1)
    images, queries = resampled(base, 20_000, 1), resampled(base, 200, 2)
    compare_levels(benchmark, lower, level, images, queries, screened=True)
