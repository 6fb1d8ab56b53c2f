# SPDX-License-Identifier: MIT
"""Merging: keep the segments of an index few and free of dead rows."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import file_sha256
from semcbir.errors import IndexStorageError
from semcbir.index.segments import Batch, SegmentFile, map_segment, write_segment
from semcbir.index.snapshot import SEGMENTS, live_ids, read_dead, read_segment_files
from semcbir.recipe import Recipe

FANOUT = 8
"""So many segments of one tier are merged into one of the next; a tier is a factor of FANOUT."""
LARGEST = 32768
"""A segment of so many images is merged no more, which bounds the memory and the time of a merge."""


@dataclass(frozen=True)
class _Stored:
    key: int
    file: SegmentFile
    dead: list[int]

    @property
    def live(self) -> int:
        return self.file.images - len(self.dead)

    @property
    def tier(self) -> int:
        return (max(self.live, 1).bit_length() - 1) // (FANOUT.bit_length() - 1)


def new_segment(folder: Path, batches: Sequence[Batch]) -> SegmentFile:
    """Write a segment; a failure (a full disk, say) becomes an IndexStorageError that names the folder."""
    try:
        return write_segment(folder, batches)
    except OSError as error:
        raise IndexStorageError(
            f"index segment in {folder} cannot be written: {error.strerror or error}; "
            "what was committed before is safe"
        ) from error


def insert_segment(connection: sqlite3.Connection, segment: SegmentFile) -> int:
    """List a new segment in the catalogue and return its number there."""
    cursor = connection.execute(
        "INSERT INTO segments (name, images, size, sha256) VALUES (?, ?, ?, ?)",
        (segment.name, segment.images, segment.size, segment.sha256),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def merge_small(folder: Path, connection: sqlite3.Connection, recipe: Recipe) -> None:
    """Merge segments while FANOUT of a tier are there, and rewrite those that are mostly dead."""
    while chosen := _choose(_stored(connection)):
        _replace(folder, connection, recipe, chosen)


def merge_all(folder: Path, connection: sqlite3.Connection, recipe: Recipe) -> None:
    """Merge every segment into one without dead rows, and give the catalogue's free pages back."""
    stored = _stored(connection)
    if len(stored) > 1 or any(segment.dead for segment in stored):
        _replace(folder, connection, recipe, stored)
    connection.execute("VACUUM")


def remove_litter(folder: Path, connection: sqlite3.Connection) -> None:
    """Delete the files beside the segments that no catalogue lists: what a killed run left behind."""
    listed = {file.name for _, file in read_segment_files(connection)}
    (folder / SEGMENTS).mkdir(exist_ok=True)  # Some archives drop empty folders.
    for entry in (folder / SEGMENTS).iterdir():
        if entry.name not in listed:
            _unlink(entry)


def _stored(connection: sqlite3.Connection) -> list[_Stored]:
    dead = read_dead(connection)
    return [_Stored(key, file, dead.get(key, [])) for key, file in read_segment_files(connection)]


def _choose(stored: Sequence[_Stored]) -> list[_Stored]:
    tiers: dict[int, list[_Stored]] = defaultdict(list)
    for segment in stored:
        if 2 * len(segment.dead) > segment.file.images:
            return [segment]
        if segment.live < LARGEST:
            tiers[segment.tier].append(segment)
    return next((tier for _, tier in sorted(tiers.items()) if len(tier) >= FANOUT), [])


def _replace(folder: Path, connection: sqlite3.Connection, recipe: Recipe, old: Sequence[_Stored]) -> None:
    batches: list[Batch] = []
    for stored in old:
        path = folder / SEGMENTS / stored.file.name
        if file_sha256(path) != stored.file.sha256:
            # Merging would give the damage a checksum of its own.
            raise IndexStorageError(f"segment {path} is damaged and cannot be merged; run `semcbir check`")
        segment = map_segment(path, recipe)
        # Runs of live images as slices, which share the mapped memory.
        for start, stop in _runs(live_ids(segment.ids, stored.dead) >= 0):
            batches.append({name: signatures[start:stop] for name, signatures in segment.batch.items()})
    merged = new_segment(folder / SEGMENTS, batches) if batches else None
    keys = [(stored.key,) for stored in old]
    with connection:
        if merged:
            key = insert_segment(connection, merged)
            ids = (int(image) for batch in batches for image in next(iter(batch.values())).ids)
            connection.executemany(
                "UPDATE images SET segment = ?, row = ? WHERE id = ?",
                ((key, row, image) for row, image in enumerate(ids)),
            )
        # Removed and gone images lose what could have brought them back.
        connection.executemany("UPDATE images SET segment = NULL, row = NULL WHERE segment = ?", keys)
        connection.executemany("DELETE FROM dead WHERE segment = ?", keys)
        connection.executemany("DELETE FROM segments WHERE id = ?", keys)
    for stored in old:
        _unlink(folder / SEGMENTS / stored.file.name)


def _runs(live: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], live, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _unlink(path: Path) -> None:
    # Some systems keep a file that a reader has mapped: the next writer clears it away.
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
