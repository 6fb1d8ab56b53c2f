# SPDX-License-Identifier: MIT
"""How many threads to use, said the same way everywhere."""

from __future__ import annotations

import operator
import os


def usable_cpus() -> int:
    """Count the CPUs this process may run on (its affinity mask, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Return ``threads`` as a positive int; None means every usable CPU.

    Raises TypeError when it is not an integer and ValueError when it is outside 1..1024.
    """
    if threads is None:
        return usable_cpus()
    if isinstance(threads, bool):
        raise TypeError("threads must be an integer or None, got a bool")
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be an integer or None, got {type(threads).__name__}") from None
    if not 1 <= count <= 1024:
        raise ValueError(f"threads must be between 1 and 1024, got {count}")
    return count
