# SPDX-License-Identifier: MIT
"""How the threads of the core wait."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@contextmanager
def sleeping_threads() -> Iterator[None]:
    """Have OpenMP's threads sleep while they wait, if it is loaded in the block and nothing else is set.

    GNU's would spin for some milliseconds, which takes processors from those who have work: beside another
    program that kept both of two processors busy, a search on two threads took up to a hundred times as long.
    """
    if any(name in os.environ for name in _SETTINGS):
        yield
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"  # read when the library is loaded
    try:
        yield
    finally:
        os.environ.pop("OMP_WAIT_POLICY", None)
