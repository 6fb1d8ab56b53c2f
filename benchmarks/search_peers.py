# SPDX-License-Identifier: MIT
"""Search beside other libraries, one thread: FAISS, SciPy, hnswlib and USearch on the same signatures.

    pip install faiss-cpu scipy hnswlib usearch
    python benchmarks/search_peers.py WANG --images 50000

Signatures of WANG's photos (features kaze and deep) are resampled (workload.py); without WANG, made ones are.
All ways of a workload are timed in turn, round after round. Times are medians for a query, k = 20; how many
times as long another library takes is the median over the rounds. What is exact is checked to give the same
distances first; of the others, recall is the share of the 20 exact neighbours that they find.
search_growth.py has other sizes. 50,000 images take five minutes and 10 GB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from others import Ask, filtered, flat_dense, graphs, recall, whole_rows
from pairs import in_turn, seconds
from semcbir import Searcher, Signatures
from tables import spread, table
from workload import bases, resampled

K, EPSILON, QUERIES = 20, 0.9, 200
FIRST = 31  # queries of a searcher that come before its screens are built
Run = Callable[[], Any]


@dataclass
class Way:
    """A way of searching: how ``ones`` queries are asked one after another, and ``asked`` at once."""

    name: str
    one: Run
    batch: Run
    ones: int = QUERIES
    asked: int = QUERIES
    recall: float = 1.0
    build: float = 0.0


def report(mine: list[Way], peers: list[Way], rounds: int) -> None:
    """Time all ways in turn; print what each takes, and the peers beside ours."""
    ways = [*mine, *peers]
    runs = {f"{way.name}, one": way.one for way in ways} | {f"{way.name}, batch": way.batch for way in ways}
    times = in_turn(runs, rounds, again=True)
    one = {way.name: [1e3 * t / way.ones for t in times[f"{way.name}, one"]] for way in ways}
    batch = {way.name: [1e3 * t / way.asked for t in times[f"{way.name}, batch"]] for way in ways}
    rows = [
        [
            way.name,
            f"{statistics.median(one[way.name]):.3f}",
            f"{statistics.median(batch[way.name]):.4f}",
            f"{way.recall:.3f}",
            f"{way.build:.2f}" if way.build else "",
        ]
        for way in ways
    ]
    print(table(["way", "one query, ms", "batch of 200, ms a query", "recall@20", "built in, s"], rows))

    def ratios(peer: Way, ours: Way) -> list[str]:
        pairs = [zip(some[peer.name], some[ours.name], strict=True) for some in (one, batch)]
        return [spread([theirs / own for theirs, own in pair], ".2f") for pair in pairs]

    titles = [f"{what}: {ours.name}" for ours in mine for what in ("one query", "batch")]
    beside = [[peer.name, *(cell for ours in mine for cell in ratios(peer, ours))] for peer in peers]
    print("\nTimes as long as semcbir takes (min, median, max):\n")
    print(table(["way", *titles], beside), flush=True)


def ours(images: Signatures, queries: Signatures, epsilon: float | None, name: str) -> tuple[Way, Any]:
    """Our way, and what it finds."""
    singles = [queries[i] for i in range(QUERIES)]
    searcher = Searcher(images)
    first = [seconds(lambda one=one: searcher.search(one, K, epsilon, threads=1)) for one in singles[:FIRST]]
    built = seconds(lambda: searcher.search(queries, K, epsilon, threads=1))  # it builds the screens
    took = 1e3 * statistics.median(first)
    print(f"{name}: the first {FIRST} queries, without screens, take {took:.2f} ms each\n")
    way = Way(
        name,
        lambda: [searcher.search(one, K, epsilon, threads=1) for one in singles],
        lambda: searcher.search(queries, K, epsilon, threads=1),
        build=built,
    )
    return way, searcher.search(queries, K, epsilon)


def paper(images: Signatures, queries: Signatures, rounds: int) -> None:
    """Signatures of local features, with the filter and without."""
    import faiss
    import scipy.sparse

    free, exact = ours(images, queries, None, "semcbir, no filter")
    strict, kept = ours(images, queries, EPSILON, f"semcbir, filter {EPSILON}")
    dense = images.dense().reshape(len(images), -1)
    asked = queries.dense().reshape(QUERIES, -1)
    flat = faiss.IndexFlatL2(dense.shape[1])
    flat.add(dense)
    distances = np.sqrt(np.maximum(flat.search(asked[:5], K)[0], 0))
    np.testing.assert_allclose(distances, exact.distances[:5], atol=2e-3)
    one = filtered(flat, images, queries, K, EPSILON)
    assert abs(np.sqrt(one(0)[0][0, 0]) - kept.distances[0, 0]) < 2e-3
    sparse = scipy.sparse.csr_matrix(dense)
    squares = np.asarray(sparse.multiply(sparse).sum(axis=1))

    def product(count: int) -> Any:
        return np.argpartition(squares - 2 * (sparse @ asked[:count].T), K, axis=0)[:K]

    peers = [
        Way(
            "FAISS IndexFlatL2, dense",
            lambda: [flat.search(asked[i : i + 1], K) for i in range(5)],
            lambda: flat.search(asked, K),
            ones=5,
        ),
        Way(
            f"cdist {EPSILON}, then FAISS IDSelectorBatch",
            lambda: [one(i) for i in range(5)],
            lambda: [one(i) for i in range(0, QUERIES, 10)],  # they cannot be asked together
            ones=5,
            asked=QUERIES // 10,
        ),
        Way("SciPy CSR times dense", lambda: product(1), lambda: product(QUERIES), ones=1),
    ]
    report([strict, free], peers, rounds)


def deep(images: Signatures, queries: Signatures, rounds: int) -> None:
    """The default feature; most others search the whole rows alone."""
    import faiss

    mine, found = ours(images, queries, None, "semcbir, everything")
    whole, asked = whole_rows(images), whole_rows(queries)

    def way(name: str, search: Ask, asked: np.ndarray, ones: int, build: float = 0.0) -> Way:
        return Way(
            name,
            lambda: [search(asked[i : i + 1]) for i in range(ones)],
            lambda: search(asked),
            ones=ones,
            recall=recall(search(asked), found.ids),
            build=build,
        )

    flat = faiss.IndexFlatL2(whole.shape[1])
    flat.add(whole)
    every = flat_dense(images)
    everything = queries.dense().reshape(QUERIES, -1)
    peers = [
        way("FAISS IndexFlatL2, whole rows", lambda some: flat.search(some, K)[1], asked, 50),
        way("FAISS IndexFlatL2, everything, dense", lambda some: every.search(some, K)[1], everything, 3),
    ]
    for name, took, search in graphs(whole, K, (16, 64)):
        peers.append(way(f"{name}, whole rows", search, asked, 50, took))
    report([mine], peers, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wang", type=Path, nargs="?", help="folder of photos to take signatures from")
    parser.add_argument("--images", type=int, default=50_000, help="in the collection (%(default)s)")
    parser.add_argument("--workloads", default="paper,deep", help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="of all ways in turn (%(default)s)")
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
            {"paper": paper, "deep": deep}[name](images, queries, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
