# SPDX-License-Identifier: MIT
"""Shards: parts of an index, each searched by itself under the ids that its images have in all of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir.errors import IndexStorageError
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.index.merge_plan import Source
from semcbir.signatures import Signatures
from semcbir.terms import Terms


class Ranked(NamedTuple):
    """What a shard found for q queries: Neighbors' columns, and the squared distances that rank, (q, k)."""

    ids: npt.NDArray[np.int64]
    squared: npt.NDArray[np.float64]
    distances: npt.NDArray[np.float32]
    histogram_distances: npt.NDArray[np.float32]
    kept: npt.NDArray[np.int64]


class Shard:
    """A part of an index, as a plan to merge has it.

    Raises IndexStorageError if the part has changed since it was planned.
    """

    def __init__(self, source: Source, feature: str) -> None:
        self._index = Index.open(source.folder)
        snapshot = self._index._snapshot
        if (snapshot.identity, snapshot.generation) != source.stamp:
            raise IndexStorageError(
                f"{display_path(source.folder)} has changed since it was opened; open all parts again"
            )
        self._feature = feature
        self._searcher = snapshot.searcher_under(feature, source.ids)
        own = np.array(snapshot.ids(), np.int64)
        ids = source.ids[own]
        order = ids.argsort()
        self._ids, self._own = ids[order], own[order]

    def folder(self) -> Path:
        """Return where the part is."""
        return self._index.path

    def search(
        self,
        queries: Signatures,
        k: int,
        epsilons: npt.NDArray[np.float64],
        drop: bool,
        threads: int,
        terms: Terms | None,
    ) -> Ranked:
        """Return the first ``k`` images of the part for each query."""
        k = max(1, min(k, len(self._ids)))
        squared = np.empty((len(queries), k))
        found = self._searcher._search(queries, k, epsilons, drop, threads, terms, squared)
        return Ranked(found.ids, squared, found.distances, found.histogram_distances, found.kept)

    def smallest_histogram_distances(
        self, queries: Signatures, m: int, threads: int, terms: Terms | None
    ) -> npt.NDArray[np.float64]:
        """Return the ``m`` smallest histogram distances of each query, ascending: float64 (q, m or fewer)."""
        m = max(1, min(m, len(self._ids)))
        return self._searcher._smallest_histogram_distances(queries, m, threads, terms)

    def _own_ids(self, ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return those of ``ids`` that the part has, and what they are in it."""
        at = np.searchsorted(self._ids, ids).clip(0, max(0, len(self._ids) - 1))
        held = self._ids[at] == ids if len(self._ids) else np.zeros(len(ids), bool)
        return ids[held], self._own[at[held]]

    def signatures(self, ids: npt.NDArray[np.int64]) -> Signatures:
        """Return the signatures of those of ``ids`` that the part has, under these ids."""
        held, own = self._own_ids(ids)
        found = self._index.signatures(self._feature, ids=own)
        return Signatures._unchecked(**{**vars(found), "ids": held})

    def records(self, ids: npt.NDArray[np.int64]) -> list[Record]:
        """Return the records of those of ``ids`` that the part has, under these ids."""
        held, own = self._own_ids(ids)
        found = self._index.records(own.tolist())
        return [
            Record(int(key), record.path, record.size, record.mtime_ns)
            for key, record in zip(held, found, strict=True)
        ]
