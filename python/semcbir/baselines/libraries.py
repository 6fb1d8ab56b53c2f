# SPDX-License-Identifier: MIT
"""The libraries that only baselines need: imported on first use, and kept to one thread where they learn."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from semcbir._fork import Lock
from semcbir.errors import SemcbirError

_NAMES = {"sklearn": "scikit-learn", "threadpoolctl": "scikit-learn", "imagehash": "imagehash"}

_learning = Lock()


def library(name: str) -> Any:
    """Return the module ``name``, such as "sklearn.svm"; SemcbirError if its library is not installed."""
    top = name.partition(".")[0]
    try:
        importlib.import_module(top)
    except ModuleNotFoundError as error:
        if error.name != top:  # the library is there, and something that it needs is not
            raise
        raise SemcbirError(f'{_NAMES[top]} is not installed: pip install "semcbir[eval]"') from error
    return importlib.import_module(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread, over the whole process, until the block ends.

    What is learnt in it then has the same bits for any number of threads: k-means and EM take a rounding far.
    One block at a time, since the first of two that end would put back what the other has set.
    """
    limits = library("threadpoolctl").threadpool_limits
    with _learning, limits(1):
        yield
