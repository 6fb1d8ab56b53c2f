# SPDX-License-Identifier: MIT
"""Budgets of memory for what is worked on at one time, over all threads of the process."""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from semcbir._fork import in_forked_child

_MUCH = 2**26

_BUDGETS: weakref.WeakSet[Budget] = weakref.WeakSet()


class Budget:
    """Lets work go on at the same time while it holds at most ``total`` bytes together, in order of arrival.

    Work that needs more than ``total`` goes on alone. A forked child starts with nothing held.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.reset()
        _BUDGETS.add(self)

    def reset(self) -> None:
        """Forget all holders: in a forked child their threads do not exist."""
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._held = 0

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Wait until ``count`` bytes are free, and hold them; after many, memory goes back to the system."""
        is_much = count >= _MUCH
        count = min(count, self.total)
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._held + count <= self.total)
                self._held += count
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            if is_much:
                _return_freed_memory()
            with self._changed:
                self._held -= count
                self._changed.notify_all()


def _return_freed_memory() -> None:
    """Make glibc return what is freed: for every thread that had a large picture it keeps it."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return cast("Callable[[int], int]", ctypes.CDLL(None).malloc_trim)
    except (AttributeError, OSError, TypeError):  # not glibc
        return None


DECODING = Budget(2**30)
"""What all pictures being decoded in this process may take: 1 GiB, or one picture that needs more."""


def _reset_all() -> None:
    for budget in _BUDGETS:
        budget.reset()


in_forked_child(_reset_all)
