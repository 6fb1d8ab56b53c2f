# SPDX-License-Identifier: MIT
"""A limit to how long a model may take: a graph can loop for ever, and onnxruntime would follow it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from semcbir._fork import Lock

VARIABLE = "SEMCBIR_MODEL_SECONDS"
SECONDS = 300.0
"""How long a call may take by default; HRNet-W48 takes 3 s a photo on one slow core."""


class Watch:
    """A call under watch; ``late`` is whether it was told to stop."""

    def __init__(self, deadline: float, stop: Callable[[], None]) -> None:
        self.deadline, self.stop, self.late = deadline, stop, False


def seconds() -> float:
    """Return how long a call may take: $SEMCBIR_MODEL_SECONDS, or SECONDS if that is no number above 0."""
    try:
        value = float(os.environ.get(VARIABLE, ""))
    except ValueError:
        return SECONDS
    return min(value, threading.TIMEOUT_MAX) if value > 0 and not math.isnan(value) else SECONDS


@contextmanager
def watched(stop: Callable[[], None]) -> Iterator[Watch]:
    """Call ``stop``, from another thread, if the ``with`` block takes longer than ``seconds()``."""
    guard = _guard()
    watch = Watch(time.monotonic() + seconds(), stop)
    guard.add(watch)
    try:
        yield watch
    finally:
        guard.remove(watch)


class _Guard:
    """One thread, which sleeps until the first deadline; starting one for each call would take longer."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._until = math.inf
        threading.Thread(target=self._work, name="semcbir-watchdog", daemon=True).start()

    def add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if watch.deadline < self._until:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        with self._changed:
            self._watches.discard(watch)

    def _work(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in [one for one in self._watches if one.deadline <= now]:
                    self._watches.discard(watch)
                    watch.late = True
                    watch.stop()
                self._until = min((watch.deadline for watch in self._watches), default=math.inf)
                self._changed.wait(None if math.isinf(self._until) else max(0, self._until - now))


_one: _Guard | None = None
_making = Lock()


def _guard() -> _Guard:
    """Return this process's guard: a fork has neither its parent's threads nor a sound copy of its locks."""
    global _one
    if _one is None or _one.process != os.getpid():
        with _making:
            if _one is None or _one.process != os.getpid():
                _one = _Guard()
    return _one
