# SPDX-License-Identifier: MIT
"""What a run did, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semcbir.index.tasks import Task


@dataclass(frozen=True)
class Skipped:
    """An image file that could not be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Damaged:
    """An image file that could be read only in part, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a run has come: files done, files in total, and how many were skipped."""

    done: int
    total: int
    skipped: int


@dataclass
class Report:
    """What a run did: how many images it added, read again, took out, and left as they were.

    ``moved`` counts the images that it found under another path, as they were. ``skipped`` are the files
    that it could not read, ``damaged`` those of which it could read a part; ``missing`` are the folders that
    are not there, or whose images are gone all at once, as if a disk was not mounted; ``unreadable`` are
    those that could not be listed: their images stay.
    ``left_out`` counts the files that ``remove`` took out by hand; ``Index.add`` brings them back.
    ``ignored`` counts, by kind, the files that look like pictures and are not read: {"NEF": 12, "PSD": 1}.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    moved: int = 0
    left_out: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the numbers that are not 0; of lists how long they are, which may be thousands of files."""
        numbers = {name: len(v) if isinstance(v, list) else v for name, v in vars(self).items()}
        return f"Report({', '.join(f'{name}={value}' for name, value in numbers.items() if value)})"

    def count(self, task: Task) -> None:
        """Count a file whose signature is in the index now."""
        fresh = task.known is None or task.known.state != "indexed"
        self.added += fresh
        self.updated += not fresh
