# SPDX-License-Identifier: MIT
"""Working out parts of many photos, those that a store does not have yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from semcbir._files import display_path, reason
from semcbir.errors import ImageError
from semcbir.evaluation.parts import Part, Photo
from semcbir.evaluation.store import Arrays, Store
from semcbir.features.opencv_threads import one_opencv_thread
from semcbir.threads import ordered_map

_AT_ONCE = 64
"""Photos that are looked up, and kept, together."""

Items = dict[str, Arrays]
"""The arrays of one photo, by the key of the part."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What was worked out for a photo: ``items``, and ``content``, which stands for its file's bytes."""

    content: bytes
    items: Items


Collected = Gathered | ImageError
OnProgress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class _Task:
    path: Path
    content: bytes | ImageError
    known: Items


def collect(
    paths: Iterable[Path],
    parts: Sequence[Part],
    store: Store,
    *,
    long_side: int | None,
    threads: int,
    on_progress: OnProgress | None = None,
) -> Generator[Collected, None, None]:
    """Yield ``parts`` of each photo, in the order of ``paths``, or its ImageError, with bounded memory.

    What ``store`` has is not worked out again, and what was worked out is kept there, photo by photo: a run
    that is interrupted goes on from there. ``on_progress`` is told how many photos are done. Raises
    ModelError or DeviceError if a model is unusable, StoreError if the store is.
    """
    compute = partial(_compute, parts, long_side)
    with one_opencv_thread(), ThreadPoolExecutor(threads) as pool:
        tasks = _tasks(iter(paths), parts, store)
        with closing(ordered_map(pool, compute, tasks, 2 * _AT_ONCE)) as done:
            fresh: list[tuple[bytes, Items]] = []
            try:
                for number, (task, found, new) in enumerate(done, 1):
                    if new and isinstance(task.content, bytes):
                        fresh.append((task.content, new))
                    if len(fresh) >= _AT_ONCE:
                        fresh = _keep(store, parts, fresh)
                    if on_progress:
                        on_progress(number)
                    yield found
            finally:
                _keep(store, parts, fresh)


def _tasks(paths: Iterator[Path], parts: Sequence[Part], store: Store) -> Iterator[_Task]:
    """Yield what is to be done for each photo; models are loaded once one is needed."""
    loaded: set[str] = set()
    while some := list(islice(paths, _AT_ONCE)):
        contents = [_content(path) for path in some]
        known = _known([one for one in contents if isinstance(one, bytes)], parts, store)
        for path, content in zip(some, contents, strict=True):
            items = known.get(content, {}) if isinstance(content, bytes) else {}
            for part in _missing(parts, items):
                if part.key not in loaded:
                    part.load()
                    loaded.add(part.key)
            yield _Task(path, content, items)


def _content(path: Path) -> bytes | ImageError:
    """Return what stands for a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return ImageError(f"{display_path(path)}: {reason(error)}", reason=reason(error), transient=True)


def _known(contents: Sequence[bytes], parts: Sequence[Part], store: Store) -> dict[bytes, Items]:
    """Return what the store has: the parts, and for photos that lack one, what it is made of."""
    known: dict[bytes, Items] = {content: {} for content in contents}

    def look(part: Part, wanted: Sequence[bytes]) -> None:
        there = store.read(part.key, wanted)
        for content, arrays in there.items():
            known[content][part.key] = arrays
        if lacking := [content for content in wanted if content not in there]:
            for need in part.needs:
                look(need, lacking)

    for part in parts:
        look(part, contents)
    return known


def _missing(parts: Sequence[Part], items: Items) -> list[Part]:
    """Return what has to be worked out, what others are made of first."""
    found: list[Part] = []
    for part in parts:
        if part.key not in items:
            found += [one for one in _missing(part.needs, items) if one not in found]
            found.append(part)
    return found


def _compute(parts: Sequence[Part], long_side: int | None, task: _Task) -> tuple[_Task, Collected, Items]:
    """Return the task, what it gives, and what of it is new."""
    if isinstance(task.content, ImageError):
        return task, task.content, {}
    photo = Photo(task.path, long_side)
    items, new = dict(task.known), {}
    try:
        for part in _missing(parts, items):
            items[part.key] = new[part.key] = part.compute(photo, [items[need.key] for need in part.needs])
    except ImageError as error:
        return task, error, new
    if new and _content(task.path) != task.content:
        why = "it was changed while it was read"
        return task, ImageError(f"{display_path(task.path)}: {why}", reason=why, transient=True), {}
    return task, Gathered(task.content, {part.key: items[part.key] for part in parts}), new


def _keep(store: Store, parts: Sequence[Part], fresh: list[tuple[bytes, Items]]) -> list[tuple[bytes, Items]]:
    """Write new items to the store; returns an empty list."""
    for part in _all(parts):
        if items := [(content, new[part.key]) for content, new in fresh if part.key in new]:
            store.write(part.key, part.recipe, items)
    return []


def _all(parts: Iterable[Part]) -> list[Part]:
    """Return parts and what they are made of, each once."""
    found = {}
    for part in parts:
        found.update({one.key: one for one in [*_all(part.needs), part]})
    return list(found.values())
