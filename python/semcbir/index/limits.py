# SPDX-License-Identifier: MIT
"""Limits: a photo that was skipped because of one is tried again once the limit is higher."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple, Self

from semcbir.images.limits import MAX_PIXELS
from semcbir.index.catalog import Catalog
from semcbir.inference.watchdog import SECONDS, seconds

_KEY = "limits"


class Limits(NamedTuple):
    """What a run lets a photo take: pixels that are decoded, and seconds in the model."""

    pixels: float = MAX_PIXELS
    seconds: float = SECONDS

    @classmethod
    def of_now(cls, max_pixels: int | None) -> Self:
        """Return the limits of a run with this ``max_pixels`` (None: no limit)."""
        return cls(math.inf if max_pixels is None else max_pixels, seconds())

    @classmethod
    def of_last_run(cls, catalog: Catalog) -> Self:
        """Return the limits of the last run over the whole index; the defaults for an older index."""
        stored = catalog.meta(_KEY)
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            pixels, time = map(float, stored.split())
            return cls(pixels, time)
        return cls()

    def exceed(self, other: Limits) -> bool:
        """Return whether a photo may take more of something than under ``other``."""
        return any(mine > theirs for mine, theirs in zip(self, other, strict=True))

    def note(self, catalog: Catalog) -> None:
        """Remember these as the limits of the last run."""
        if self != self.of_last_run(catalog):
            with catalog.changes():
                catalog.remember(_KEY, " ".join(map(repr, map(float, self))))
