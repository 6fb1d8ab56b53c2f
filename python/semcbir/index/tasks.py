# SPDX-License-Identifier: MIT
"""Tasks and plans: what there is to do to bring an index up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from semcbir.index.roots import Root
from semcbir.index.rows import ImageRow


@dataclass(frozen=True)
class Task:
    """A file to read. ``known`` is its row if the catalogue has one."""

    root: int
    relative: bytes
    path: Path
    size: int
    mtime_ns: int
    known: ImageRow | None


def ids_of(tasks: Iterable[Task], next_id: int) -> list[int]:
    """Return the ids that the files of ``tasks`` have, or get from ``next_id`` on if they are new."""
    ids = []
    for task in tasks:
        ids.append(next_id if task.known is None else task.known.id)
        next_id += task.known is None
    return ids


@dataclass(frozen=True)
class Move:
    """An image whose file is now at ``relative`` in ``root``, and unchanged."""

    image: ImageRow
    root: int
    relative: bytes


@dataclass
class Plan:
    """What brings (part of) a root up to date.

    Files to read, ids of files that are gone, ids of files that came back unchanged, images whose files have
    moved here, and how many images stay as they are. ``missing`` are folders whose images stay though none of
    them is there, ``unreadable`` those that cannot be listed; ``absent`` is true if the root itself is not
    there, and nothing is planned for it then. ``retry``: files that were skipped are read again, though
    unchanged. ``left_out`` counts files that were removed by hand, and stay out; ``ignored``, by kind, files
    that look like pictures and are not read.
    """

    root: Root
    tasks: list[Task] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    moved: list[Move] = field(default_factory=list)
    unchanged: int = 0
    left_out: int = 0
    missing: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    absent: bool = False
    retry: bool = False
    ignored: Counter[str] = field(default_factory=Counter)
