# SPDX-License-Identifier: MIT
"""Keeping OpenCV from starting threads of its own where a pool already fills the CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from semcbir._fork import Lock, in_forked_child


class _Blocks:
    """The blocks open at one time, over all threads: the first sets OpenCV, the last puts it back."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.open = self.before = 0

    def enter(self) -> None:
        with self.lock:
            if not self.open:
                self.before = cv2.getNumThreads()
                if self.before > 1:
                    cv2.setNumThreads(0)
            self.open += 1

    def leave(self) -> None:
        with self.lock:
            self.open -= 1
            if not self.open:
                self.put_back()

    def put_back(self) -> None:
        if self.before > 1 and cv2.getNumThreads() <= 1:  # else the caller has set something meanwhile
            cv2.setNumThreads(self.before)


_blocks = _Blocks()


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV work in its callers' threads only, as long as any such block is open.

    To OpenCV 0 threads mean the same as 1, except that 1 also ends its pool, which waits for the pool's
    threads: for ever in a forked child, which has the pool's memory but not its threads.
    """
    blocks = _blocks
    blocks.enter()
    try:
        yield
    finally:
        blocks.leave()


def _start_anew() -> None:
    """Forget the parent's blocks in a forked child: nothing ends them there."""
    global _blocks
    parents, _blocks = _blocks, _Blocks()
    if parents.open:
        parents.put_back()


in_forked_child(_start_anew)
