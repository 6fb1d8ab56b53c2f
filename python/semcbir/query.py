# SPDX-License-Identifier: MIT
"""search(): from a photo to the images most like it (Fig. 1)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from semcbir.index.index import Index
from semcbir.recipe import require_same
from semcbir.results import Hit, Results
from semcbir.searcher import Neighbors, Penalized, check_epsilon, check_k, check_penalized
from semcbir.signatures import Signatures

Query = str | os.PathLike[str] | npt.NDArray[np.uint8] | Signatures
"""A photo as a path or an RGB uint8 array (H, W, 3), or ready signatures."""


@overload
def search(  # type: ignore[overload-overlap]
    query: str | os.PathLike[str] | npt.NDArray[np.uint8],
    index: Index | str | os.PathLike[str],
    k: int = ...,
    epsilon: float | None = ...,
    penalized: Penalized = ...,
    feature: str | None = ...,
) -> Results: ...
@overload
def search(
    query: Signatures | Sequence[Query],
    index: Index | str | os.PathLike[str],
    k: int = ...,
    epsilon: float | None = ...,
    penalized: Penalized = ...,
    feature: str | None = ...,
) -> list[Results]: ...
def search(
    query: Query | Sequence[Query],
    index: Index | str | os.PathLike[str],
    k: int = 20,
    epsilon: float | None = 0.9,
    penalized: Penalized = "last",
    feature: str | None = None,
) -> Results | list[Results]:
    """Find the ``k`` images of ``index`` that are most like ``query``.

    ``query`` is a photo (a path, or an RGB uint8 array (H, W, 3)), a Signatures batch, or a list of these;
    ``index`` is an Index or the path of one. Images whose semantic histogram is farther than ``epsilon`` from
    the query's (eq. 1; None: no filter) are ranked last, or left out with ``penalized="drop"``; the others
    are ranked by L2 distance between signatures of ``feature`` (None: the index's first), ties by id.

    Returns Results for one photo; for a batch or a list, a list with Results for each image.

    Raises ImageError for a photo that cannot be read, RecipeMismatchError for signatures made differently
    from the index's, IndexStorageError for a path that is not an index, ModelError if the model cannot be
    found, and TypeError or ValueError for a wrong argument.
    """
    check_k(k)
    check_epsilon(epsilon)
    check_penalized(penalized)
    if not isinstance(index, (Index, str, os.PathLike)):
        raise TypeError(f"index must be an Index or the path of one, got {type(index).__name__}")
    opened = index if isinstance(index, Index) else Index.open(index)
    single = isinstance(query, (str, os.PathLike, np.ndarray))
    if not single and not isinstance(query, (Signatures, list, tuple)):
        raise _no_query(query)
    queries: Sequence[Query] = [query] if single or isinstance(query, Signatures) else query  # type: ignore[list-item,assignment]
    signatures = _signatures(queries, opened, feature)
    if signatures is None:
        return []
    neighbors = opened.searcher(feature).search(signatures, min(k, max(1, len(opened))), epsilon, penalized)
    results = [_results(opened, neighbors, i) for i in range(len(signatures))]
    return results[0] if single else results


def _signatures(queries: Sequence[Query], index: Index, feature: str | None) -> Signatures | None:
    """Return all queries as one batch in their order; photos among them are extracted in one go."""
    recipe = index.recipe.for_feature(feature)
    photos: list[Any] = []
    for query in queries:
        if isinstance(query, Signatures):
            require_same(recipe, query.recipe, "the query's signatures")
        elif isinstance(query, (str, os.PathLike, np.ndarray)):
            photos.append(query)
        else:
            raise _no_query(query)
    made = index.extractor().extract(photos, feature) if photos else None
    parts, used = [], 0
    for query in queries:
        if isinstance(query, Signatures):
            parts.append(query)
        elif made is not None:
            parts.append(made[used])
            used += 1
    if not parts:
        return None
    return Signatures.concatenate(parts, ids=np.arange(sum(map(len, parts))))


def _no_query(query: object) -> TypeError:
    return TypeError(
        "query must be a path, an RGB uint8 array (H, W, 3), a Signatures or a list of these, "
        f"got {type(query).__name__}"
    )


def _results(index: Index, neighbors: Neighbors, query: int) -> Results:
    ids = neighbors.ids[query]
    kept = int(neighbors.kept[query])
    hits = [
        Hit(rank + 1, record.id, record.path, float(distance), float(histogram_distance), rank >= kept)
        for rank, (record, distance, histogram_distance) in enumerate(
            zip(
                index.records(int(key) for key in ids[ids >= 0]),
                neighbors.distances[query],
                neighbors.histogram_distances[query],
                strict=False,
            )
        )
    ]
    return Results(hits, kept)
