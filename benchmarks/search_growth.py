# SPDX-License-Identifier: MIT
"""How the cost of a search grows with the collection, beside other libraries where their memory allows.

    pip install faiss-cpu scipy hnswlib usearch matplotlib
    python benchmarks/search_growth.py WANG --plot docs/speed.svg

Collections are those of search_peers.py, and one of images that have nothing in common ("scattered"). Times
are milliseconds for a query, k = 20, one thread: the median of some runs. All searches of semcbir are exact.
Beside times: the share of the blocks of its screens (docs/search.md) that a query does not look at, how many
distances it computes, what it reads of screens a second, in a batch (this machine's rate of reading in a row
comes first), and their bytes, beside those of the signatures.

All sizes and peers take half an hour and 12 GB; --alone and --sizes take less. Without WANG signatures are
made that do not cluster, for which a search computes far more distances.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from others import Ask, filtered, flat_dense, graphs, recall, whole_rows
from pairs import in_turn, seconds
from semcbir import Searcher, Signatures
from tables import line, table
from workload import bases, resampled, scattered

K, EPSILON, QUERIES = 20, 0.9, 200
SIZES = (1_000, 5_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
# Of dense matrices, and of graphs, which take minutes to build.
MOST_DENSE, MOST_SPARSE, MOST_IN_GRAPH = 50_000, 200_000, 1_000_000
SECONDS_OF_PAIRS = 1.0
TITLES = (
    "images",
    "one query, ms",
    "batch of 200, ms a query",
    "two threads, times as fast",
    "blocks skipped",
    "distances computed",
    "read of screens, GB/s",
    "screens, MB",
    "screens / signatures",
)

Times = dict[str, dict[int, float]]


def reading() -> float:
    """Bytes a second that one thread reads in a row."""
    numbers = np.ones(1 << 26)
    numbers.max()
    return numbers.nbytes / min(seconds(numbers.max) for _ in range(5))


def held(images: Signatures) -> int:
    """Bytes of the arrays of signatures."""
    columns = ("offsets", "classes", "proportions", "centroids", "ids", "counts")
    return sum(getattr(images, name).nbytes for name in columns)


def median(function: Callable[[], Any], rounds: int) -> float:
    """Median milliseconds of a call, after one to warm up."""
    function()
    return 1e3 * statistics.median(seconds(function) for _ in range(rounds))


def ours(
    images: Signatures, queries: Signatures, epsilon: float | None, rounds: int
) -> tuple[float, list[str]]:
    """Milliseconds of one query, and the cells of a row."""
    searcher = Searcher(images)
    searcher.search(queries, K, epsilon)  # it builds the screens
    singles = [queries[i] for i in range(QUERIES)]
    one = (
        median(lambda: [searcher.search(query, K, epsilon, threads=1) for query in singles], rounds) / QUERIES
    )
    batches = {str(n): partial(searcher.search, queries, K, epsilon, threads=n) for n in (1, 2)}
    enough = int(SECONDS_OF_PAIRS / seconds(batches["1"]))  # a short batch says little by itself
    times = in_turn(batches, max(2 * rounds + 1, min(enough, 50)))
    batch = 1e3 * statistics.median(times["1"]) / QUERIES
    faster = statistics.median(one / both for one, both in zip(times["1"], times["2"], strict=True))
    asked = (queries.offsets, queries.classes, queries.proportions, queries.centroids)
    blocks, looked, read, distances = searcher._core.work(*asked, K, epsilon, False).mean(axis=0)
    cells = [
        f"{len(images):,}",
        f"{one:.3f}",
        f"{batch:.3f}",
        f"{faster:.2f}",
        f"{max(0.0, 1 - looked / blocks):.0%}",
        f"{distances:.0f}",
        f"{read / batch / 1e6:.1f}",
        f"{searcher._core.screen_bytes / 1e6:.1f}",
        f"{searcher._core.screen_bytes / held(images):.2f}",
    ]
    return one, cells


def dense_peers(images: Signatures, queries: Signatures, rounds: int) -> Iterator[tuple[str, float]]:
    """Peers of the first workload."""
    import scipy.sparse

    asked = queries[:5].dense().reshape(5, -1)
    sparse = scipy.sparse.vstack(
        [
            scipy.sparse.csr_matrix(images[start : start + 2000].dense().reshape(-1, asked.shape[1]))
            for start in range(0, len(images), 2000)
        ]
    )
    squares = np.asarray(sparse.multiply(sparse).sum(axis=1))

    def product() -> Any:
        return np.argpartition(squares - 2 * (sparse @ asked[:1].T), K, axis=0)[:K]

    yield "SciPy, CSR times a query", median(product, rounds)
    if len(images) <= MOST_DENSE:
        flat = flat_dense(images)
        one = filtered(flat, images, queries[:5], K, EPSILON)
        yield (
            f"cdist {EPSILON}, then FAISS IDSelectorBatch",
            median(lambda: [one(i) for i in range(len(asked))], 3) / len(asked),
        )
        yield (
            "FAISS IndexFlatL2, dense",
            median(lambda: [flat.search(one[None], K) for one in asked], 3) / len(asked),
        )


def graph_peers(images: Signatures, queries: Signatures, rounds: int) -> Iterator[tuple[str, float]]:
    """Peers of the second workload: all of them on the whole rows alone, FAISS on everything too."""
    import faiss

    whole, asked = whole_rows(images), whole_rows(queries)

    def one_by_one(search: Ask) -> float:
        return median(lambda: [search(asked[i : i + 1]) for i in range(50)], rounds) / 50

    flat = faiss.IndexFlatL2(whole.shape[1])
    flat.add(whole)
    yield "FAISS IndexFlatL2, whole rows", one_by_one(lambda some: flat.search(some, K))
    if len(images) <= MOST_DENSE:
        every, everything = flat_dense(images), queries[:3].dense().reshape(3, -1)
        yield (
            "FAISS IndexFlatL2, dense",
            median(lambda: [every.search(one[None], K) for one in everything], 3) / len(everything),
        )
        del every
    exact = flat.search(asked, K)[1]
    share = recall(exact, Searcher(images).search(queries, K).ids)
    print(f"among {len(images):,} images, whole rows alone find {share:.3f} of the hits")
    for what, took, search in graphs(whole, K, (64,)):
        found = recall(search(asked), exact)
        print(f"{what}, built in {took:.1f} s, finds {found:.3f} of the nearest whole rows")
        yield f"{what}, whole rows", one_by_one(search)


def plot(times: dict[str, Times], path: Path) -> None:
    """Draw time over N for each workload, both logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "semcbir", "font.size": 9})
    from matplotlib import pyplot

    titles = {
        "paper": "KAZE, the paper's way",
        "deep": "deep, the default",
    }
    figure, axes = pyplot.subplots(1, len(titles), figsize=(10, 5), sharey=True)
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for what, points in times[name].items():
            mine = what.startswith("semcbir")
            style = {"linewidth": 2.2 if mine else 1.1, "linestyle": "-" if mine else "--", "marker": "o"}
            axis.loglog(list(points), list(points.values()), label=what, markersize=3, **style)
        axis.set(title=title, xlabel="images")
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    axes[0].set_ylabel("one query, ms, on one thread")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def measure(name: str, base: Signatures, sizes: list[int], rounds: int, peers: bool) -> Times:
    """Print the tables of a workload, and return the times of one query."""
    times: Times = {}
    for epsilon in (None,) if name == "deep" else (EPSILON, None):
        what = f"semcbir, filter {epsilon}" if epsilon else "semcbir"
        print(f"\n{name}, {what}\n\n{table(TITLES)}", flush=True)
        times[what] = {}
        for n in sizes:
            made = scattered if name == "scattered" else resampled
            images, queries = made(base, n, 1), made(base, QUERIES, 2)
            times[what][n], cells = ours(images, queries, epsilon, rounds)
            print(line(cells), flush=True)
    if not peers or name == "scattered":
        return times
    print()
    search = graph_peers if name == "deep" else dense_peers
    for n in sizes:
        if n > (MOST_IN_GRAPH if name == "deep" else MOST_SPARSE):
            break
        images, queries = resampled(base, n, 1), resampled(base, QUERIES, 2)
        for what, time in search(images, queries, rounds):
            times.setdefault(what, {})[n] = time
            print(f"{what}, {n:,}: {time:.4f} ms", flush=True)
    return times


def integers(text: str) -> list[int]:
    """Parse numbers joined by commas."""
    return list(map(int, text.split(",")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wang", type=Path, nargs="?", help="folder of photos to take signatures from")
    parser.add_argument("--sizes", type=integers, default=list(SIZES), help="numbers of images: 1000,5000")
    parser.add_argument("--workloads", default="paper,deep,scattered", help="some of %(default)s")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of each time the median is taken (%(default)s)"
    )
    parser.add_argument("--alone", action="store_true", help="time semcbir only")
    parser.add_argument("--plot", type=Path, help="draw the times to this SVG file")
    options = parser.parse_args()
    if not options.alone:
        try:
            import faiss
        except ImportError as error:
            print(f"skipped: {error}", file=sys.stderr)
            return 2
        faiss.omp_set_num_threads(1)
    print(f"this machine reads {reading() / 1e9:.1f} GB/s in a row, on one thread")
    made = bases(options.wang)
    made["scattered"] = made["paper"]
    times = {
        name: measure(name, made[name], options.sizes, options.rounds, not options.alone)
        for name in options.workloads.split(",")
    }
    if options.plot and {"paper", "deep"} <= set(times):
        plot(times, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
