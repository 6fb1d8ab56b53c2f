# SPDX-License-Identifier: MIT
"""Ingest: bring an index up to date with the files on disk, a committed batch at a time."""

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
from semcbir.signature import Signatures
from semcbir.storage.merging import insert_segment, new_segment
from semcbir.storage.roots import Listing, Root
from semcbir.storage.segments import Batch
from semcbir.storage.snapshot import SEGMENTS

BATCH_IMAGES = 64
BATCH_SECONDS = 2.0
BATCH_LIMIT = 1024
"""A batch is committed once it has BATCH_IMAGES and BATCH_SECONDS have passed, or at BATCH_LIMIT."""


_SETTLED = ("indexed", "skipped")
"""States of a row that stays as it is while its file does."""


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
    """What a run did: how many images it added, read again, took out, and left as they were."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """A row of the catalogue: ``size`` and ``mtime_ns`` as they were when the file was read."""

    id: int
    size: int | None
    mtime_ns: int | None
    state: str


@dataclass(frozen=True)
class Task:
    """A file to read. ``known`` is its row where the catalogue has one."""

    root: int
    relative: bytes
    path: Path
    size: int
    mtime_ns: int
    known: Known | None


@dataclass(frozen=True)
class Plan:
    """What brings some part of a root up to date: files to read, rows whose file is gone."""

    tasks: list[Task]
    gone: list[int]
    unchanged: int


def plan(
    connection: sqlite3.Connection, root: Root, listing: Listing, *, revive: bool, find_gone: bool
) -> Plan:
    """Compare the files that ``root`` has with the catalogue.

    ``revive`` reads images again that were removed by hand; ``find_gone`` takes every row of the root for
    gone that is not listed, unless it lies in a folder that could not be looked into.
    """
    known = _known(connection, root.id)
    tasks, unchanged = [], 0
    for path in listing.files:
        relative = root.relative(path)
        row = known.pop(relative, None)
        try:
            status = path.stat()
        except OSError:
            continue  # Gone again between listing and looking: the next refresh settles it.
        same = row is not None and (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns)
        if row is not None and ((row.state == "removed" and not revive) or (same and row.state in _SETTLED)):
            unchanged += row.state != "removed"
            continue
        tasks.append(Task(root.id, relative, path, status.st_size, status.st_mtime_ns, row))
    gone = [
        row.id
        for relative, row in known.items()
        if find_gone and row.state in _SETTLED and not _is_below(root.file(relative), listing.unreadable)
    ]
    return Plan(tasks, gone, unchanged)


def _is_below(file: Path, folders: Iterable[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)


def _known(connection: sqlite3.Connection, root: int) -> dict[bytes, Known]:
    rows = connection.execute("SELECT path, id, size, mtime_ns, state FROM images WHERE root = ?", (root,))
    return {path: Known(*rest) for path, *rest in rows}


class Ingest:
    """Carries plans out: extracts, writes segments, commits; the caller holds the writers' lock."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._segments = folder / SEGMENTS
        self._connection = connection
        self._on_progress = on_progress
        self.report = Report()

    def take_out(self, ids: Iterable[int], state: str) -> int:
        """Take images out in one commit; their rows stay, as ``state``. Returns how many were indexed."""
        keys = [(key,) for key in ids]
        with self._connection:
            before = self._connection.total_changes
            self._connection.executemany(
                "INSERT INTO dead SELECT segment, row FROM images WHERE id = ? AND state = 'indexed'", keys
            )
            count = self._connection.total_changes - before
            self._connection.executemany(
                "UPDATE images SET state = ?, segment = NULL, row = NULL, reason = NULL WHERE id = ?",
                ((state, *key) for key in keys),
            )
        return count

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
            self._connection.execute(f"INSERT INTO images VALUES ({image}, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            return
        self._connection.execute(
            "INSERT INTO dead SELECT segment, row FROM images WHERE id = ? AND state = 'indexed'", (image,)
        )
        self._connection.execute(
            "UPDATE images SET (root, path, size, mtime_ns, state, segment, row, reason)"
            f" = (?, ?, ?, ?, ?, ?, ?, ?) WHERE id = {image}",
            values,
        )


def _join(good: list[tuple[int, dict[str, Signatures]]]) -> Batch:
    ids = np.array([key for key, _ in good], np.int64)
    return {name: Signatures.concatenate([found[name] for _, found in good], ids=ids) for name in good[0][1]}
