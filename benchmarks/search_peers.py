# SPDX-License-Identifier: MIT
"""Search beside other libraries, one thread: FAISS, SciPy, hnswlib and USearch on the same signatures.

    pip install faiss-cpu scipy hnswlib usearch
    python benchmarks/search_peers.py WANG --images 50000

Signatures of WANG's photos (features kaze and deep) are resampled (workload.py); without WANG, made ones are.
Times are for a query, k = 20: the median of some runs, each library in turn. What is exact is checked to give
the same distances first; of the others, recall is the share of the 20 exact neighbours that they find.
search_growth.py has other sizes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pairs import seconds
from semcbir import Searcher, Signatures
from tables import line, table
from workload import bases, resampled

K, EPSILON, QUERIES = 20, 0.9, 200
Ask = Callable[[], Any]


class Timing:
    """Times ways of searching, one and 200 queries at once, and prints a row for each."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        print(table(["way", "one query, ms", "batch of 200, ms a query", "recall@20", "build, s"]))

    def row(
        self,
        what: str,
        one: Ask,
        batch: Ask,
        recall: float = 1.0,
        build: float = 0.0,
        ones: int = 1,
        asked: int = QUERIES,
    ) -> None:
        """``one`` asks ``ones`` queries one after another, ``batch`` ``asked`` at once."""
        single = statistics.median(seconds(one) for _ in range(self.rounds)) / ones
        many = statistics.median(seconds(batch) for _ in range(self.rounds)) / asked
        made = f"{build:.2f}" if build else ""
        print(line([what, f"{1e3 * single:.3f}", f"{1e3 * many:.4f}", f"{recall:.3f}", made]), flush=True)


def ours(timing: Timing, images: Signatures, queries: Signatures, epsilon: float | None, what: str) -> Any:
    searcher = Searcher(images)
    built = seconds(lambda: searcher.search(queries, K, epsilon, threads=1))  # it builds the screens
    singles = [queries[i] for i in range(QUERIES)]
    timing.row(
        what,
        lambda: [searcher.search(one, K, epsilon, threads=1) for one in singles],
        lambda: searcher.search(queries, K, epsilon, threads=1),
        build=built,
        ones=QUERIES,
    )
    return searcher.search(queries, K, epsilon)


def paper(timing: Timing, images: Signatures, queries: Signatures) -> None:
    """Signatures of local features, with the filter and without."""
    import faiss
    import scipy.sparse
    from scipy.spatial.distance import cdist

    exact = ours(timing, images, queries, None, "semcbir, no filter")
    kept = ours(timing, images, queries, EPSILON, f"semcbir, filter {EPSILON}")
    dense = images.dense().reshape(len(images), -1)
    asked = queries.dense().reshape(QUERIES, -1)
    flat = faiss.IndexFlatL2(dense.shape[1])
    flat.add(dense)
    distances = np.sqrt(np.maximum(flat.search(asked[:5], K)[0], 0))
    np.testing.assert_allclose(distances, exact.distances[:5], atol=2e-3)
    timing.row(
        "FAISS IndexFlatL2, dense",
        lambda: [flat.search(asked[i : i + 1], K) for i in range(5)],
        lambda: flat.search(asked, K),
        ones=5,
    )
    histograms, wanted = images.histograms(), queries.histograms()

    def filtered(query: int) -> Any:
        near = cdist(wanted[query : query + 1], histograms, "cityblock")[0] <= EPSILON
        chosen = faiss.IDSelectorBatch(np.flatnonzero(near))
        return flat.search(asked[query : query + 1], K, params=faiss.SearchParameters(sel=chosen))

    assert abs(np.sqrt(filtered(0)[0][0, 0]) - kept.distances[0, 0]) < 2e-3
    timing.row(
        f"cdist {EPSILON}, then FAISS IDSelectorBatch",
        lambda: [filtered(i) for i in range(5)],
        lambda: [filtered(i) for i in range(0, QUERIES, 10)],  # they cannot be asked together
        ones=5,
        asked=QUERIES // 10,
    )
    sparse = scipy.sparse.csr_matrix(dense)
    squares = np.asarray(sparse.multiply(sparse).sum(axis=1))

    def product(count: int) -> Any:
        return np.argpartition(squares - 2 * (sparse @ asked[:count].T), K, axis=0)[:K]

    timing.row("SciPy CSR times dense", lambda: product(1), lambda: product(QUERIES))


def deep(timing: Timing, images: Signatures, queries: Signatures) -> None:
    """The default feature; the others search the whole rows alone."""
    import faiss
    import hnswlib
    from usearch.index import Index as USearch

    exact = ours(timing, images, queries, None, "semcbir, everything").ids
    whole = np.ascontiguousarray(images.centroids[images.classes == images.n_classes])
    asked = np.ascontiguousarray(queries.centroids[queries.classes == queries.n_classes])

    def recall(ids: Any) -> float:
        return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(exact, ids, strict=True)]))

    def compare(what: str, search: Callable[[Any], Any], build: float = 0.0) -> None:
        timing.row(
            f"{what}, whole rows",
            lambda: [search(asked[i : i + 1]) for i in range(50)],
            lambda: search(asked),
            recall(search(asked)),
            build,
            50,
        )

    flat = faiss.IndexFlatL2(whole.shape[1])
    flat.add(whole)
    compare("FAISS IndexFlatL2", lambda some: flat.search(some, K)[1])
    flat_dense(timing, images, queries, recall)
    graph = faiss.IndexHNSWFlat(whole.shape[1], 32)
    built = seconds(lambda: graph.add(whole))
    for effort in (16, 64):
        graph.hnsw.efSearch = effort
        compare(f"FAISS HNSW, efSearch {effort}", lambda some: graph.search(some, K)[1], built)
    other = hnswlib.Index("l2", whole.shape[1])
    other.init_index(len(whole), M=16, ef_construction=200)
    built = seconds(lambda: other.add_items(whole, num_threads=1))
    other.set_ef(64)
    compare("hnswlib, ef 64", lambda some: other.knn_query(some, K, num_threads=1)[0], built)
    third = USearch(ndim=whole.shape[1], metric="l2sq")
    built = seconds(lambda: third.add(np.arange(len(whole)), whole, threads=1))
    compare("USearch", lambda some: np.atleast_2d(third.search(some, K, threads=1).keys), built)


def flat_dense(
    timing: Timing, images: Signatures, queries: Signatures, recall: Callable[[Any], float]
) -> None:
    """FAISS over all that semcbir compares, absent classes being zeros."""
    import faiss

    asked = queries.dense().reshape(QUERIES, -1)
    flat = faiss.IndexFlatL2(asked.shape[1])
    for start in range(0, len(images), 5000):  # it keeps a copy of its own
        flat.add(images[start : start + 5000].dense().reshape(-1, asked.shape[1]))
    timing.row(
        "FAISS IndexFlatL2, everything, dense",
        lambda: [flat.search(asked[i : i + 1], K) for i in range(3)],
        lambda: flat.search(asked, K),
        recall(flat.search(asked, K)[1]),
        ones=3,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wang", type=Path, nargs="?", help="folder of photos to take signatures from")
    parser.add_argument("--images", type=int, default=50_000, help="50000")
    parser.add_argument("--workloads", default="paper,deep")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    try:
        import faiss
    except ImportError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return 2
    faiss.omp_set_num_threads(1)
    for name, base in bases(options.wang).items():
        if name in options.workloads.split(","):
            start = time.perf_counter()
            images, queries = resampled(base, options.images, 1), resampled(base, QUERIES, 2)
            print(f"\n{name}, {options.images} images (made in {time.perf_counter() - start:.0f} s)\n")
            {"paper": paper, "deep": deep}[name](Timing(options.rounds), images, queries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
