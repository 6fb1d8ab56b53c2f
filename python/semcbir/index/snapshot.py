# SPDX-License-Identifier: MIT
"""Snapshot: what an index held at one moment, mapped and ready to search."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir.errors import IndexStorageError
from semcbir.index import catalog
from semcbir.index.roots import Root, read_roots
from semcbir.index.segments import Segment, SegmentFile, map_segment
from semcbir.recipe import FORMAT, Recipe
from semcbir.searcher import Searcher

SEGMENTS = "segments"
MODEL_FILE = "model/model.onnx"
MODEL_CARD = "model/model.json"
"""The index's own copy of its network, where that is small enough to be copied."""
_ATTEMPTS = 5


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One consistent look at an index; later changes to the index do not touch it."""

    recipe: Recipe
    roots: tuple[Root, ...]
    segments: tuple[tuple[int, Segment], ...]
    live_ids: tuple[npt.NDArray[np.int64], ...]
    """Per segment the ids of its images, -1 for those that are no longer in the index."""

    searchers: dict[str, Searcher] = field(default_factory=dict)
    """Those made so far, per feature name."""

    def __len__(self) -> int:
        """Return how many images can be found."""
        return sum(int(np.count_nonzero(ids >= 0)) for ids in self.live_ids)


def load(folder: Path) -> Snapshot:
    """Read the catalogue of the index at ``folder`` and map its segments.

    Raises IndexStorageError where it is no index or damaged.
    """
    for _ in range(_ATTEMPTS):
        with catalog.read(folder) as connection:
            recipe, roots = read_recipe(folder, connection), read_roots(folder, connection)
            files = read_segment_files(connection)
            dead = read_dead(connection)
        try:
            # A writer may have merged these segments away since; then the catalogue tells anew.
            segments = [(key, map_segment(folder / SEGMENTS / file.name, recipe)) for key, file in files]
        except FileNotFoundError as error:
            missing = error.filename
            continue
        for (_, segment), (_, file) in zip(segments, files, strict=True):
            if len(segment) != file.images:
                raise IndexStorageError(
                    f"segment {file.name} of index {folder} holds {len(segment)} images, "
                    f"the catalogue says {file.images}; run `semcbir check`"
                )
        live = tuple(live_ids(segment.ids, dead.get(key, ())) for key, segment in segments)
        return Snapshot(recipe, roots, tuple(segments), live)
    raise IndexStorageError(f"index {folder} lists a segment that is not there: {missing}")


def live_ids(ids: npt.NDArray[np.int64], dead: Iterable[int]) -> npt.NDArray[np.int64]:
    """Return a segment's ids with -1 in the dead rows."""
    rows = np.fromiter(dead, np.int64)
    if not len(rows):
        return ids
    if rows.max() >= len(ids):
        raise IndexStorageError("the catalogue marks rows as dead that a segment does not have")
    live = ids.copy()
    live[rows] = -1
    return live


def read_recipe(folder: Path, connection: sqlite3.Connection) -> Recipe:
    """Return the recipe of the index. Raises IndexStorageError where it is malformed or too new."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'recipe'").fetchone()
    try:
        data = json.loads(row[0])
        if data["format"] > FORMAT:
            raise IndexStorageError(
                f"index {folder} was made by a newer semcbir: its recipe has format {data['format']}, "
                f"this one knows {FORMAT}"
            )
        return Recipe.from_dict(data)
    except (TypeError, ValueError, KeyError) as error:
        raise IndexStorageError(f"the recipe of index {folder} is damaged: {error}") from error


def read_segment_files(connection: sqlite3.Connection) -> list[tuple[int, SegmentFile]]:
    """Return the segments by their number in the catalogue, oldest first."""
    rows = connection.execute("SELECT id, name, images, size, sha256 FROM segments ORDER BY id").fetchall()
    for _, name, *_ in rows:
        if Path(name).name != name:
            raise IndexStorageError(f"the catalogue lists a segment {name!r}, which is no name of one")
    return [(row[0], SegmentFile(*row[1:])) for row in rows]


def read_dead(connection: sqlite3.Connection) -> dict[int, list[int]]:
    """Return per segment the rows whose image is no longer in the index."""
    dead: dict[int, list[int]] = {}
    for segment, row in connection.execute("SELECT segment, row FROM dead"):
        dead.setdefault(segment, []).append(row)
    return dead
