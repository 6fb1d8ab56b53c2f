# SPDX-License-Identifier: MIT
"""Markdown tables, which the programs here print."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def line(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> str:
    """A Markdown table, or its head alone."""
    return "\n".join(map(line, [titles, ["---"] * len(titles), *rows]))


def spread(values: Sequence[float], style: str) -> str:
    """Smallest, median and largest of some values, each formatted in ``style``, the median bold."""
    middle = statistics.median(values)
    return f"{min(values):{style}}, **{middle:{style}}**, {max(values):{style}}"
