# SPDX-License-Identifier: MIT
"""Other libraries that search among signatures: FAISS, hnswlib and USearch, which semcbir is timed beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pairs import seconds
from semcbir import Signatures

Ask = Callable[[Any], Any]
"""The ids that are found for some queries, one in each row."""


def flat_dense(images: Signatures) -> Any:
    """FAISS over all that semcbir compares, absent classes being zeros; added in parts, as it copies."""
    import faiss

    flat = faiss.IndexFlatL2((images.n_classes + images.whole) * images.dim)
    for start in range(0, len(images), 5000):
        part = images[start : start + 5000].dense()
        flat.add(part.reshape(len(part), -1))
    return flat


def filtered(
    flat: Any, images: Signatures, queries: Signatures, k: int, epsilon: float
) -> Callable[[int], Any]:
    """Return a search for one of ``queries``, by number: cdist for the filter, then FAISS among the rest."""
    import faiss
    from scipy.spatial.distance import cdist

    histograms, wanted = images.histograms(), queries.histograms()
    asked = queries.dense().reshape(len(queries), -1)

    def search(query: int) -> Any:
        near = cdist(wanted[query : query + 1], histograms, "cityblock")[0] <= epsilon
        chosen = faiss.IDSelectorBatch(np.flatnonzero(near))
        return flat.search(asked[query : query + 1], k, params=faiss.SearchParameters(sel=chosen))

    return search


def graphs(rows: np.ndarray, k: int, efforts: tuple[int, ...]) -> Iterator[tuple[str, float, Ask]]:
    """Build a graph of ``rows`` with each library: its name, the seconds that took, and how it is asked.

    ``efforts`` are the values of efSearch that FAISS's graph is asked with; it is built once.
    """
    import faiss
    import hnswlib
    from usearch.index import Index as USearch

    graph = faiss.IndexHNSWFlat(rows.shape[1], 32)
    took = seconds(lambda: graph.add(rows))
    for effort in efforts:
        how = faiss.SearchParametersHNSW(efSearch=effort)
        yield (
            f"FAISS HNSW, efSearch {effort}",
            took,
            lambda some, how=how: graph.search(some, k, params=how)[1],
        )
    other = hnswlib.Index("l2", rows.shape[1])
    other.init_index(len(rows), M=16, ef_construction=200)
    took = seconds(lambda: other.add_items(rows, num_threads=1))
    other.set_ef(64)
    yield "hnswlib, ef 64", took, lambda some: other.knn_query(some, k, num_threads=1)[0]
    third = USearch(ndim=rows.shape[1], metric="l2sq")
    took = seconds(lambda: third.add(np.arange(len(rows)), rows, threads=1))
    yield "USearch", took, lambda some: np.atleast_2d(third.search(some, k, threads=1).keys)


def recall(ids: Any, exact: Any) -> float:
    """The share of the exact neighbours that are found."""
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(ids, exact, strict=True)]
    return float(np.mean(shares))


def whole_rows(signatures: Signatures) -> np.ndarray:
    """The rows of whole photos alone."""
    return np.ascontiguousarray(signatures.centroids[signatures.classes == signatures.n_classes])
