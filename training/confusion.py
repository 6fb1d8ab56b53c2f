# SPDX-License-Identifier: MIT
"""Accuracy and IoU from a confusion matrix."""

from __future__ import annotations

import numpy as np


def accuracy_and_mean_iou(table: np.ndarray) -> tuple[float, float]:
    """Return pixel accuracy and mean IoU of a confusion matrix: pixels by true class (rows) and found class.

    The mean is over the classes that have true pixels.
    """
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    present = table.sum(1) > 0
    return float(hits.sum() / table.sum()), float((hits / np.maximum(union, 1))[present].mean())
