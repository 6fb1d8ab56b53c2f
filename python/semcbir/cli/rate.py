# SPDX-License-Identifier: MIT
"""How fast long work goes and how long it takes: over a window, and once there is enough to go by."""

from __future__ import annotations

from collections import deque

from semcbir.cli.text import duration

WINDOW = 30.0
"""How many seconds the rate looks back: long enough to be steady, short enough to follow."""
SETTLED = 1.0
"""Seconds in which there is no rate yet: photos come in batches, so that the first ones seem to be fast."""
LONGEST = 100 * 3600
"""The longest time left that is told, in seconds."""
_SPACING = 0.5


class Rate:
    """The rate of work that tells how much is ``done``: photos, say, or bytes.

    The time left is told once ``least`` have been done since the first time: the first photo says little.
    Work that begins anew, with less done than before, or another total, is measured anew.
    """

    def __init__(self, least: int = 1) -> None:
        self._least = least
        self._samples: deque[tuple[float, float]] = deque()
        self._now: tuple[float, float] = (0.0, 0.0)
        self._begun = 0.0
        self._total: float | None = None

    def add(self, now: float, done: float, total: float | None = None) -> None:
        """Take in how much is done at the time ``now``, of how much."""
        other = None not in (total, self._total) and total != self._total
        if not self._samples or done < self._now[1] or other:
            self._samples.clear()
            self._begun = done
        self._now, self._total = (now, done), total
        if not self._samples or now - self._samples[-1][0] >= _SPACING:
            self._samples.append(self._now)
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """How much is done in a second; None as long as nobody knows."""
        if not self._samples:
            return None
        since, before = self._samples[0]
        seconds, done = self._now[0] - since, self._now[1] - before
        return done / seconds if seconds >= SETTLED and done > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None as long as nobody knows."""
        rate = self.per_second
        if rate is None or self._total is None or self._now[1] - self._begun < self._least:
            return None
        return max(0.0, self._total - self._now[1]) / rate

    def left(self) -> str:
        """Return the time left for people, "" as long as nobody knows."""
        seconds = self.seconds_left
        if seconds is None:
            return ""
        return f"{duration(seconds)} left" if seconds <= LONGEST else f"more than {LONGEST // 3600} h left"


def images_rate(per_second: float | None) -> str:
    """Return a rate of images for people, slow ones by the minute; "" for None."""
    if per_second is None:
        return ""
    if per_second < 0.1:
        return f"{60 * per_second:.1f} images/min"
    return f"{per_second:.1f} images/s"
