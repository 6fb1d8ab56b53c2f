# SPDX-License-Identifier: MIT
"""The libraries that only baselines need: imported on first use, and kept to one thread where they learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from semcbir._extras import optional
from semcbir._fork import Lock

_NAMES = {"sklearn": "scikit-learn", "threadpoolctl": "scikit-learn", "imagehash": "imagehash"}

_learning = Lock()


def library(name: str) -> Any:
    """Return the module ``name``, such as "sklearn.svm"; SemcbirError if its library is not installed."""
    missing = _NAMES[name.partition(".")[0]]
    return optional(name, f'{missing} is not installed: pip install "semcbir[eval]"')


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread, over the whole process, until the block ends.

    What is learnt in it then has the same bits for any number of threads: k-means and EM take a rounding far.
    One block at a time, since the first of two that end would put back what the other has set.
    """
    limits = library("threadpoolctl").threadpool_limits
    with _learning, limits(1):
        yield
