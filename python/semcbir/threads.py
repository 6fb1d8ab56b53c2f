# SPDX-License-Identifier: MIT
"""How many threads to use, by the same rule everywhere."""

from __future__ import annotations

import os

from semcbir._validate import check_integer

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
