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

from others import Ask, filtered, flat_dense, graphs, recall, whole_rows
from pairs import seconds
from semcbir import Searcher, Signatures
from tables import line, table
from workload import bases, resampled

K, EPSILON, QUERIES = 20, 0.9, 200
Run = Callable[[], Any]


class Timing:
    """Times ways of searching, one and 200 queries at once, and prints a row for each."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        print(table(["way", "one query, ms", "batch of 200, ms a query", "recall@20", "build, s"]))

    def row(
        self,
        what: str,
        one: Run,
        batch: Run,
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
    one = filtered(flat, images, queries, K, EPSILON)
    assert abs(np.sqrt(one(0)[0][0, 0]) - kept.distances[0, 0]) < 2e-3
    timing.row(
        f"cdist {EPSILON}, then FAISS IDSelectorBatch",
        lambda: [one(i) for i in range(5)],
        lambda: [one(i) for i in range(0, QUERIES, 10)],  # they cannot be asked together
        ones=5,
        asked=QUERIES // 10,
    )
    sparse = scipy.sparse.csr_matrix(dense)
    squares = np.asarray(sparse.multiply(sparse).sum(axis=1))

    def product(count: int) -> Any:
        return np.argpartition(squares - 2 * (sparse @ asked[:count].T), K, axis=0)[:K]

    timing.row("SciPy CSR times dense", lambda: product(1), lambda: product(QUERIES))


def ids_of(index: Any) -> Ask:
    """A FAISS index as what is asked for ids alone."""
    return lambda some: index.search(some, K)[1]


def deep(timing: Timing, images: Signatures, queries: Signatures) -> None:
    """The default feature; most others search the whole rows alone."""
    import faiss

    exact = ours(timing, images, queries, None, "semcbir, everything").ids
    whole, asked = whole_rows(images), whole_rows(queries)

    def compare(what: str, search: Ask, asked: np.ndarray, ones: int, build: float = 0.0) -> None:
        timing.row(
            what,
            lambda: [search(asked[i : i + 1]) for i in range(ones)],
            lambda: search(asked),
            recall(search(asked), exact),
            build,
            ones,
        )

    flat = faiss.IndexFlatL2(whole.shape[1])
    flat.add(whole)
    compare("FAISS IndexFlatL2, whole rows", ids_of(flat), asked, 50)
    everything = queries.dense().reshape(QUERIES, -1)
    compare("FAISS IndexFlatL2, everything, dense", ids_of(flat_dense(images)), everything, 3)
    for what, took, search in graphs(whole, K, (16, 64)):
        compare(f"{what}, whole rows", search, asked, 50, took)


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
