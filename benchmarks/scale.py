# SPDX-License-Identifier: MIT
"""More than one machine: what shards and Ray cost on this one, and what that makes of more images.

    python benchmarks/scale.py PHOTOS [--images 100000] [--shards 4] [--index 300]

Measures, with the default features: bytes of an image; a search in one process and in shards, which must give
the same ids and distances; indexing by threads and by Ray's workers, which must give the same index. From
these figures it works out what up to 10^9 images take (docs/scale.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from semcbir import Index, Signatures
from semcbir.distributed import Searcher, index_on_ray
from semcbir.distributed.session import Session
from tables import table
from workload import append, resampled

SIZES = (10**6, 10**7, 10**8, 10**9)
MEMORY = 192 * 2**30
"""Bytes of a machine's memory that searches may use, of 256 GiB."""
CORES = 32
"""Of a machine that searches and indexes."""


def shards_of(photos: Path, images: int, shards: int, folder: Path) -> list[Path]:
    """Make indexes of folders apart, with so many images drawn from those of ``photos`` together."""
    base = Index.build(photos, folder / "base")
    drawn = resampled(base.signatures(), images, 1)
    file = next(iter(base)).path
    places = []
    for number in range(shards):
        here = folder / f"shard {number}"
        (here / "photos").mkdir(parents=True)
        original = here / f"0{file.suffix}"
        shutil.copy(file, original)
        chosen = np.arange(number, images, shards)
        paths = [here / "photos" / f"{place:07}{file.suffix}" for place in chosen]
        for path in paths:
            os.link(original, path)
        (here / "empty").mkdir()
        index = Index.build(here / "empty", here / "index")
        append(index, drawn[chosen], paths)
        index.compact()
        places.append(index.path)
    return places


def median_ms(call: Callable[[int], object], times: int) -> float:
    """Return how long a call takes, after as many to warm up as screens need."""
    for number in range(40):
        call(number)
    seconds = []
    for number in range(times):
        began = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds)


def searches(places: list[Path], whole: Index, queries: Signatures) -> tuple[float, float]:
    """Print what a search takes in one process and in shards; return ms of a query, and ms that are added."""
    searcher, n, rows = whole.searcher(), len(queries), []
    added = alone = 0.0
    with Searcher(places, threads=max(1, (os.cpu_count() or 1) // len(places))) as shards:
        for k in (20, 1000):
            mine, theirs = shards.search(queries, k, None), searcher.search(queries, k, None)
            assert (mine.ids == theirs.ids).all()
            assert (mine.distances == theirs.distances).all()
        for what, k, batch in (
            ("one query, 20 hits", 20, 1),
            ("one query, 1,000 hits", 1000, 1),
            ("100 queries, 20 hits", 20, 100),
        ):
            some = [queries[number % n : number % n + 1] if batch == 1 else queries for number in range(n)]
            one = median_ms(lambda i, k=k, some=some: searcher.search(some[i % n], k, None), 60)
            many = median_ms(lambda i, k=k, some=some: shards.search(some[i % n], k, None), 60)
            rows.append([what, f"{one:.2f}", f"{many:.2f}", f"{many - one:.2f}"])
            if not alone:
                alone, added = one, many - one
    print(table(["ms", "one process", f"{len(places)} shards", "more"], rows))
    return alone, added


def indexing(photos: Path, count: int, folder: Path) -> float:
    """Print how fast photos are indexed by two threads and by two workers; return photos a second."""
    few = folder / "few"
    few.mkdir()
    every = sorted(path for path in photos.rglob("*.jpg"))
    for path in every[:: max(1, len(every) // count)][:count]:
        shutil.copy(path, few / path.name)
    rows, rates = [], []
    with Session() as session:
        workers = int(session.ray.cluster_resources()["CPU"])
        for number in range(3):
            began = time.perf_counter()
            one = Index.build(few, folder / f"threads {number}", threads=workers)
            by_threads = time.perf_counter() - began
            began = time.perf_counter()
            other = index_on_ray(few, folder / f"ray {number}", threads=1, parts=2 * workers)
            by_ray = time.perf_counter() - began
            assert one.signatures().centroids.tobytes() == other.signatures().centroids.tobytes()
            rates.append(len(one) / by_threads)
            rows.append(
                [f"{by_threads:.1f} s", f"{by_ray:.1f} s", f"{by_threads / by_ray:.2f}", f"{rates[-1]:.1f}"]
            )
    print(f"{len(one)} photos, {workers} threads or workers")
    print(table(["threads", "Ray", "efficiency", "photos/s"], rows))
    return statistics.median(rates) / workers


def arithmetic(index: Index, alone: float, added: float, rate: float) -> None:
    """Print what more images take, if all grows as they do."""
    n = len(index)
    stored = index._snapshot.mapped_bytes() / n
    held = stored + index._snapshot.screen_bytes(index.features[0]) / n
    print(
        f"{stored:.0f} bytes of an image on disk, {held:.0f} with screens in memory; {alone:.2f} ms a query"
    )
    rows = []
    for size in SIZES:
        machines = max(1, -(-int(size * held) // MEMORY))
        each = size / machines
        one_core = alone * (os.cpu_count() or 1) * each / n
        query = one_core / CORES + (added if machines > 1 else 0.0)
        days = size / (rate * CORES * machines) / 86400
        rows.append(
            [
                f"10^{len(str(size)) - 1}",
                f"{size * stored / 1e9:,.0f} GB",
                f"{size * held / 1e9:,.0f} GB",
                f"{machines:,}",
                f"{query:,.1f} ms",
                f"{days:,.2f}",
            ]
        )
    print(table(["images", "on disk", "in memory", "machines", "a query", "days of indexing"], rows))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--index", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        places = shards_of(asked.photos, asked.images, asked.shards, Path(name))
        whole = Index.merge(places, Path(name) / "whole")
        whole.compact()
        queries = whole.signatures(ids=np.arange(0, len(whole), max(1, len(whole) // 100))[:100])
        alone, added = searches(places, whole, queries)
        rate = indexing(asked.photos, asked.index, Path(name))
        arithmetic(whole, alone, added, rate)


if __name__ == "__main__":
    main()
