# SPDX-License-Identifier: MIT
"""When the photos of an index were taken, as its catalogue remembers it."""

from __future__ import annotations

from collections.abc import Iterable

from semcbir.images.taken import taken_at
from semcbir.index.catalog import Catalog
from semcbir.index.roots import read_roots
from semcbir.index.tasks import Task

Date = tuple[int, int, int, int | None]
"""An image, the size and mtime of its file, and when it was taken (None: it does not say)."""

COMPLETE = "taken"
"""In ``meta``: the dates of all images are known. Indexes made before dates were stored lack it."""

_AT_ONCE = 1000


def dates_of(images: Iterable[tuple[int, Task]]) -> list[Date]:
    """Return when images, given by id and with what is known of their files, were taken."""
    return [(key, task.size, task.mtime_ns, taken_at(task.path)) for key, task in images]


def complete_dates(catalog: Catalog) -> None:
    """Find out when the photos were taken of which this is not known yet: once for each index.

    The caller is the index's writer. Stopped in between, it goes on the next time.
    """
    if catalog.meta(COMPLETE) is not None:
        return
    roots = {root.id: root for root in read_roots(catalog)}
    unknown = [one for one in catalog.undated() if one[1] in roots]
    for start in range(0, len(unknown), _AT_ONCE):
        part = unknown[start : start + _AT_ONCE]
        dates = [
            (key, size, mtime_ns, taken_at(roots[root].file(path)))
            for key, root, path, size, mtime_ns in part
        ]
        with catalog.changes():
            catalog.put_taken(dates)
    with catalog.changes():
        catalog.remember(COMPLETE, 1)
