# SPDX-License-Identifier: MIT
"""What a forked child must not share with its parent, whose other threads do not exist in it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


def in_forked_child(function: Callable[[], None]) -> None:
    """Call ``function`` in every child that is forked from now on, before anything else there."""
    if hasattr(os, "register_at_fork"):  # not Windows
        os.register_at_fork(after_in_child=function)


class Lock:
    """A lock for ``with`` blocks, free in a forked child: nobody there would release it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock  # a child that is forked within the block leaves it too

    def __exit__(self, *_: object) -> None:
        self._held.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in _LOCKS:
        lock._renew()


in_forked_child(_renew_all)
