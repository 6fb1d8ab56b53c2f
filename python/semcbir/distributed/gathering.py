# SPDX-License-Identifier: MIT
"""Gathering: what several shards find, put together to the bits of one search over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir.distributed.shard import Ranked
from semcbir.searcher import Asked, Neighbors
from semcbir.signatures import Signatures
from semcbir.terms import Terms

Ask = Callable[..., list[Any]]
"""Calls a method of every shard, by its name and with arguments, and returns what each answers."""


def search_all(
    ask: Ask,
    queries: Signatures,
    asked: Asked,
    terms: Terms | None,
) -> Neighbors:
    """Search in all shards, as ``Searcher.search`` does in one index.

    Each shard gives its first k images, among which the first k of all are; they are ranked by what ranked
    them there: penalised or not, squared distance in double, id.
    """
    if asked.keep is None:
        epsilons = asked.epsilons(len(queries))
    else:
        smallest = ask("smallest_histogram_distances", queries, asked.keep, asked.threads, terms)
        epsilons = _smallest(smallest, asked.keep)
    found: list[Ranked] = ask("search", queries, asked.k, epsilons, asked.drop, asked.threads, terms)
    return merged(found, asked.k, epsilons)


def _smallest(parts: Sequence[npt.NDArray[np.float64]], keep: int) -> npt.NDArray[np.float64]:
    """Return the ``keep``-th smallest number of each row of all parts together, as ``nearest_epsilons``."""
    every = np.sort(np.concatenate(parts, axis=1), axis=1)
    counts = np.isfinite(every).sum(axis=1)
    last = np.minimum(counts, keep) - 1
    chosen = np.take_along_axis(every, last.clip(0)[:, None], axis=1)[:, 0]
    return np.where(counts > 0, chosen, 0.0)


def merged(parts: Sequence[Ranked], k: int, epsilons: npt.NDArray[np.float64]) -> Neighbors:
    """Return the first ``k`` of what shards found, padded as ``Searcher.search`` does."""
    ids, squared, distances, histogram_distances = (
        np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("ids", "squared", "distances", "histogram_distances")
    )
    penalized = np.concatenate([np.arange(part.ids.shape[1]) >= part.kept[:, None] for part in parts], axis=1)
    missing = ids < 0
    order = np.lexsort((ids, squared, penalized, missing), axis=1)[:, :k]
    width = ((0, 0), (0, k - order.shape[1]))
    return Neighbors(
        np.pad(np.take_along_axis(ids, order, axis=1), width, constant_values=-1),
        np.pad(np.take_along_axis(distances, order, axis=1), width, constant_values=np.inf),
        np.pad(np.take_along_axis(histogram_distances, order, axis=1), width, constant_values=np.inf),
        np.stack([part.kept for part in parts]).sum(axis=0),
        epsilons,
    )
