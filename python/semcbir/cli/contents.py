# SPDX-License-Identifier: MIT
"""Reporting what the photos of an index hold, as text for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semcbir._files import display_path

if TYPE_CHECKING:
    from semcbir.index.contents import ClassTotal, Contents


def contents_values(contents: Contents) -> dict[str, Any]:
    """Return the classes and groups that photos hold, the largest share first."""
    return {
        "min_share": contents.min_share,
        "classes": [
            {"label": row.labels[0], "name": row.name, "share": row.share, "images": row.images}
            for row in contents.classes
        ],
        "groups": [vars(row) for row in contents.groups],
    }


def contents_text(contents: Contents) -> str:
    """Return a line for each class, and one for each group of classes."""
    tables = [("class", contents.classes), ("group", contents.groups)]
    wide = max([5, *(len(display_path(row.name)) for _, rows in tables for row in rows)])
    least = f"{100 * contents.min_share:g} %"
    return "\n\n".join(_table(name, rows, wide, least) for name, rows in tables if rows)


def _table(name: str, rows: Sequence[ClassTotal], wide: int, least: str) -> str:
    from semcbir.explanation import percent

    title = f"photos with {least} or more"
    lines = [
        f"{display_path(row.name):<{wide}}  {percent(row.share):>13}  {row.images:>{len(title)}}"
        for row in rows
    ]
    return "\n".join([f"{name:<{wide}}  of all pixels  {title}", *lines])
