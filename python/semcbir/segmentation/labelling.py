# SPDX-License-Identifier: MIT
"""From the network's scores or labels to a label map at the photo's resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir import _core

Scores = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def nearest_labels(labels: npt.NDArray[Any], rows: Positions, columns: Positions) -> npt.NDArray[Any]:
    """Read labels (h, w) at the points nearest to ``rows`` (H,) and ``columns`` (W,), halves up: (H, W)."""
    row, column = (np.floor(positions + 0.5).astype(np.intp) for positions in (rows, columns))
    return np.ascontiguousarray(labels[row[:, None], column])


def upsampled_argmax(
    logits: Scores, rows: Positions, columns: Positions, masked: Sequence[int] = ()
) -> npt.NDArray[np.uint16]:
    """Find the channel with the highest bilinearly interpolated score at each of ``rows`` x ``columns``.

    ``logits``: float32 (C, h, w); ``rows`` (H,) and ``columns`` (W,): non-decreasing positions on that
    lattice. Channels in ``masked`` never win; of equal scores the lowest channel's wins. Returns uint16
    (H, W). ValueError if scores that matter are not finite.
    """
    never = np.zeros(len(logits), np.uint8)
    never[list(masked)] = 1
    return _core.upsampled_argmax(np.ascontiguousarray(logits), rows, columns, never)
