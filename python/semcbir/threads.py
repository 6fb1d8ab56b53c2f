# SPDX-License-Identifier: MIT
"""How many threads to use, by the same rule everywhere; mapping over many things with some."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from semcbir._validate import check_integer

Item = TypeVar("Item")
Out = TypeVar("Out")

MAX_THREADS = 1024


def usable_cpus() -> int:
    """Count the CPUs this process may run on (its affinity mask, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Return ``threads`` as a positive int; None means every usable CPU.

    Raises TypeError if it is not an integer, ValueError if it is outside 1..1024.
    """
    if threads is None:
        return usable_cpus()
    return check_integer("threads", threads, 1, MAX_THREADS)


def ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Out], items: Iterable[Item], window: int
) -> Generator[Out, None, None]:
    """Map over ``items`` on ``pool``, in order, with at most ``window`` calls and results waiting."""
    pending: deque[Future[Out]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
