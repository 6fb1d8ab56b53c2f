# SPDX-License-Identifier: MIT
"""Ingest: carry plans out, a committed batch at a time."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from semcbir.errors import ImageError
from semcbir.extractor import Extracted, Extractor
from semcbir.index.merge import insert_segment, new_segment
from semcbir.index.plan import Task
from semcbir.index.segments import Batch
from semcbir.index.snapshot import SEGMENTS
from semcbir.signatures import Signatures

BATCH_IMAGES = 64
BATCH_SECONDS = 2.0
BATCH_LIMIT = 1024
"""A batch is committed once it has BATCH_IMAGES and BATCH_SECONDS have passed, or at BATCH_LIMIT."""


@dataclass(frozen=True)
class Skipped:
    """An image file that could not be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a run has come: files done of those to do, and how many of them were skipped."""

    done: int
    total: int
    skipped: int


@dataclass
class Report:
    """What a run did: how many images it added, read again, took out, and left as they were.

    ``skipped`` are the files it could not read; ``missing`` the folders of the index that were not there as
    a whole, and ``unreadable`` the folders below that could not be looked into: their images stay.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def take_out(connection: sqlite3.Connection, ids: Iterable[int], state: str) -> int:
    """Take images out; their rows stay, as ``state``. Returns how many could be found; the caller commits."""
    keys = [(key,) for key in ids]
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO dead SELECT segment, row FROM images WHERE id = ? AND state = 'indexed'", keys
    )
    count = connection.total_changes - before
    connection.executemany(
        "UPDATE images SET state = ?, reason = NULL WHERE id = ?", ((state, *key) for key in keys)
    )
    return count


def put_back(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Undo ``take_out`` for images whose segment still has their signature; the caller commits."""
    keys = [(key,) for key in ids]
    connection.executemany(
        "DELETE FROM dead WHERE (segment, row) IN (SELECT segment, row FROM images WHERE id = ?)", keys
    )
    connection.executemany("UPDATE images SET state = 'indexed' WHERE id = ?", keys)


class Ingest:
    """Reads files, writes segments, commits; the caller holds the writers' lock."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._segments = folder / SEGMENTS
        self._connection = connection
        self._on_progress = on_progress
        self.report = Report()

    def read(self, tasks: list[Task], extractor: Extractor) -> Iterator[None]:
        """Read every file of ``tasks`` in order; yields after each commit.

        An interruption (Ctrl-C) commits what is ready before it goes on.
        """
        tasks = sorted(tasks, key=lambda task: os.fsencode(task.path))
        if not tasks:
            return
        ready: list[tuple[Task, Extracted]] = []
        since = time.monotonic()
        stream = extractor.stream(task.path for task in tasks)
        try:
            for done, (task, extracted) in enumerate(zip(tasks, stream, strict=True), 1):
                ready.append((task, extracted))
                waited = time.monotonic() - since
                if (len(ready) >= BATCH_IMAGES and waited >= BATCH_SECONDS) or len(ready) >= BATCH_LIMIT:
                    batch, ready = ready, []
                    self._commit(batch)
                    since = time.monotonic()
                    yield
                if self._on_progress:
                    skipped = len(self.report.skipped) + sum(isinstance(e, ImageError) for _, e in ready)
                    self._on_progress(Progress(done, len(tasks), skipped))
        except KeyboardInterrupt:
            self._commit(ready)
            raise
        self._commit(ready)
        yield

    def _commit(self, batch: list[tuple[Task, Extracted]]) -> None:
        """Write the segment, then the catalogue: the order that a kill at any point survives."""
        if not batch:
            return
        (next_id,) = self._connection.execute("SELECT coalesce(max(id) + 1, 0) FROM images").fetchone()
        ids = []
        for task, _ in batch:
            ids.append(next_id if task.known is None else task.known.id)
            next_id += task.known is None
        good = [(key, found) for key, (_, found) in zip(ids, batch, strict=True) if isinstance(found, dict)]
        segment = new_segment(self._segments, [_join(good)]) if good else None
        with self._connection:
            key = insert_segment(self._connection, segment) if segment else None
            rows = iter(range(len(good)))
            for image, (task, found) in zip(ids, batch, strict=True):
                self._record(image, task, found, key, rows)

    def _record(
        self, image: int, task: Task, found: Extracted, segment: int | None, rows: Iterator[int]
    ) -> None:
        size: int | None = task.size
        mtime_ns: int | None = task.mtime_ns
        row = reason = None
        state = "indexed"
        if isinstance(found, ImageError):
            state, segment, reason = "skipped", None, found.reason
            self.report.skipped.append(Skipped(task.path, reason))
            if found.transient:
                size = mtime_ns = None
        else:
            row = next(rows)
            fresh = task.known is None or task.known.state != "indexed"
            self.report.added += fresh
            self.report.updated += not fresh
        values = (task.root, task.relative, size, mtime_ns, state, segment, row, reason)
        if task.known is None:
            self._connection.execute(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (image, *values)
            )
            return
        self._connection.execute(
            "INSERT INTO dead SELECT segment, row FROM images WHERE id = ? AND state = 'indexed'", (image,)
        )
        self._connection.execute(
            "UPDATE images SET (root, path, size, mtime_ns, state, segment, row, reason)"
            " = (?, ?, ?, ?, ?, ?, ?, ?) WHERE id = ?",
            (*values, image),
        )


def _join(good: list[tuple[int, dict[str, Signatures]]]) -> Batch:
    ids = np.array([key for key, _ in good], np.int64)
    return {name: Signatures.concatenate([found[name] for _, found in good], ids=ids) for name in good[0][1]}
