# SPDX-License-Identifier: MIT
"""Instruction sets: the same search at every level that is usable here, each beside every lower one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from made_signatures import made_signatures
from pairs import compare
from semcbir import Searcher, _core

LEVELS = _core.simd_levels()


@pytest.fixture(autouse=True)
def level_before() -> Iterator[None]:
    before = _core.simd_level()
    yield
    _core.set_simd_level(before)


@pytest.mark.parametrize("dim", [36, 64, 128])
@pytest.mark.parametrize(("lower", "level"), list(combinations(LEVELS, 2)))
def test_level(benchmark: Any, lower: str, level: str, dim: int) -> None:
    images = made_signatures(2000, n_classes=150, dim=dim, seed=1)
    queries = images[:20]
    searcher = Searcher(images)

    def search(name: str) -> list[bytes]:
        """Without the filter, so that the distance kernel has most of the work."""
        _core.set_simd_level(name)
        found = searcher.search(queries, 20, None, threads=1)
        return [column.tobytes() for column in vars(found).values()]

    assert search(level) == search(lower)
    what = f"20 queries over 2,000 images of 150 x {dim}, {level}, 1 thread"
    compare(benchmark, what, lambda: search(level), lower, lambda: search(lower), rounds=101)
