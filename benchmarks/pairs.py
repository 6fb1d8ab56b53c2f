# SPDX-License-Identifier: MIT
"""Timing in pairs: ours, peer, ours, peer ... so that a machine whose speed drifts still gives a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(
    functions: Mapping[str, Callable[[], Any]], rounds: int, *, again: bool = False
) -> dict[str, list[float]]:
    """Seconds of each function, ``rounds`` times all of them in turn, after two calls of each to warm up.

    ``again``: each call that is timed comes right after one that is not, so that no function pays for what
    another one has put into the caches.
    """
    for function in functions.values():
        function()
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            if again:
                function()
            times[name].append(seconds(function))
    return times


def compare(
    benchmark: Any,
    what: str,
    ours: Callable[[], Any],
    peer_name: str,
    peer: Callable[[], Any],
    *,
    rounds: int = 15,
) -> float:
    """Time both in turn and note the pairs with ``benchmark``; returns the median ratio peer / ours."""
    ours()
    peer()
    peers: list[float] = []

    def peer_first() -> None:
        peers.append(seconds(peer))

    benchmark.pedantic(ours, setup=peer_first, rounds=rounds)
    mine = benchmark.stats.stats.data
    ratios = [theirs / own for theirs, own in zip(peers, mine, strict=True)]
    benchmark.extra_info.update(
        what=what,
        peer=peer_name,
        ours_ms=1e3 * statistics.median(mine),
        peer_ms=1e3 * statistics.median(peers),
        ratio=statistics.median(ratios),
        min=min(ratios),
        max=max(ratios),
    )
    return statistics.median(ratios)
