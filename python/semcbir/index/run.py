# SPDX-License-Identifier: MIT
"""Runs: carrying out plans, one committed batch at a time."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from semcbir.errors import ImageError
from semcbir.extractor import Extracted, Extractor
from semcbir.index.catalog import Catalog
from semcbir.index.database import SEGMENTS
from semcbir.index.merge import new_segment, tidy
from semcbir.index.moves import fingerprints
from semcbir.index.report import Damaged, Progress, Report, Skipped
from semcbir.index.segments import Batch
from semcbir.index.taken import dates_of
from semcbir.index.tasks import Plan, Task, ids_of
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures

BATCH_IMAGES = 64
BATCH_SECONDS = 2.0
BATCH_LIMIT = 1024
"""A batch is committed once it has BATCH_IMAGES and BATCH_SECONDS have passed, or at BATCH_LIMIT."""


class Run:
    """Carries out plans, one committed batch at a time; the caller is the index's writer."""

    def __init__(
        self,
        catalog: Catalog,
        recipe: Recipe,
        report: Report,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._catalog = catalog
        self._recipe = recipe
        self._on_progress = on_progress
        self.report = report
        """What has been done so far."""

    def carry_out(self, plans: Sequence[Plan], extractor: Callable[[], Extractor]) -> None:
        """Take out what is gone, put back what returned, read what is new or changed, merge.

        ``extractor`` is called only if there is something to read.
        """
        report, catalog = self.report, self._catalog
        report.missing = [folder for plan in plans for folder in plan.missing]
        report.unreadable = [folder for plan in plans for folder in plan.unreadable]
        report.ignored = dict(sum((plan.ignored for plan in plans), Counter[str]()).most_common())
        report.unchanged = sum(plan.unchanged for plan in plans)
        report.left_out = sum(plan.left_out for plan in plans)
        with catalog.changes():
            report.removed = catalog.take_out((key for plan in plans for key in plan.gone), "gone")
            moved = [move for plan in plans for move in plan.moved]
            for move in moved:
                catalog.hand_over(move.root, [(move.image.id, move.relative)])
            returned = [key for plan in plans for key in plan.returned]
            returned += [move.image.id for move in moved if move.image.state != "indexed"]
            catalog.put_back(returned)
            report.added = len(returned)
            report.moved = sum(move.image.state == "indexed" for move in moved)
        tasks = [task for plan in plans for task in plan.tasks]
        if tasks:
            for _ in self._read(tasks, extractor()):
                tidy(catalog, self._recipe)

    def _read(self, tasks: list[Task], extractor: Extractor) -> Iterator[None]:
        """Read every file of ``tasks`` in order; yields after each commit.

        Whatever ends the reading (Ctrl-C, an error), what is ready is committed before it is raised again.
        """
        tasks = sorted(tasks, key=lambda task: os.fsencode(task.path))
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
        except BaseException:
            self._commit(ready)
            raise
        self._commit(ready)
        yield

    def _commit(self, batch: list[tuple[Task, Extracted]]) -> None:
        """Write the segment, then the catalogue: in this order a kill at any point does no harm."""
        if not batch:
            return
        ids = ids_of((task for task, _ in batch), self._catalog.next_id())
        numbered = list(zip(ids, batch, strict=True))
        good = [(key, found) for key, (_, found) in numbered if isinstance(found, dict)]
        prints = fingerprints((key, task) for key, (task, found) in numbered if isinstance(found, dict))
        dates = dates_of((key, task) for key, (task, found) in numbered if isinstance(found, dict))
        segment = new_segment(self._catalog.folder / SEGMENTS, [_join(good)]) if good else None
        with self._catalog.changes():
            key = self._catalog.add_segment(segment) if segment else None
            rows = iter(range(len(good)))
            for image, (task, found) in numbered:
                self._note(image, task, found, key, rows)
            self._catalog.put_fingerprints(prints)
            self._catalog.put_taken(dates)

    def _note(
        self, image: int, task: Task, found: Extracted, segment: int | None, rows: Iterator[int]
    ) -> None:
        put = partial(self._catalog.put_image, image, task.root, task.relative)
        if isinstance(found, ImageError):
            self.report.skipped.append(Skipped(task.path, found.reason))
            size, mtime_ns = (None, None) if found.transient else (task.size, task.mtime_ns)
            put(size=size, mtime_ns=mtime_ns, reason=found.reason)
        else:
            self.report.count(task)
            if found.damage is not None:
                self.report.damaged.append(Damaged(task.path, found.damage))
            put(size=task.size, mtime_ns=task.mtime_ns, segment=segment, row=next(rows), reason=found.damage)


def _join(good: Sequence[tuple[int, dict[str, Signatures]]]) -> Batch:
    ids = np.array([key for key, _ in good], np.int64)
    return {name: Signatures.concatenate([found[name] for _, found in good], ids=ids) for name in good[0][1]}
