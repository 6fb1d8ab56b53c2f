# SPDX-License-Identifier: MIT
"""The page under load: answers beside the core's own time, alone and for many clients at once, on loopback.

    python benchmarks/page.py PHOTOS [--images 100000] [--clients 50] [--seconds 20]

Images are drawn from the signatures of PHOTOS (``workload.py``); their files are links to these photos. Each
client asks for one thing after another: the first page, pages of hits, the API's hits, thumbnails of hits (of
which most are made for the first time) and parts of the collection.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from semcbir import Index
from tables import table
from workload import append, resampled

PORT_LINE = "http://127.0.0.1:"
ALONE = 40
"""Requests of each kind without others beside them."""


def collection(photos: Path, images: int, folder: Path) -> Index:
    """Make an index of so many images, drawn from those of ``photos``."""
    base = Index.build(photos, folder / "base")
    drawn = resampled(base.signatures(), images, 1)
    files = [record.path for record in base]
    (folder / "photos").mkdir()
    paths = [
        folder / "photos" / f"{number:06}{files[number % len(files)].suffix}" for number in range(images)
    ]
    copies = []
    for file in files:  # on the file system of the links
        copies.append(folder / f"original-{len(copies)}{file.suffix}")
        copies[-1].write_bytes(file.read_bytes())
    for number, path in enumerate(paths):
        os.link(copies[number % len(copies)], path)
    (folder / "few").mkdir()
    os.link(copies[0], folder / "few" / f"first{copies[0].suffix}")
    index = Index.build(folder / "few", folder / "index")
    append(index, drawn, paths)
    return index


class Clients:
    """What was asked, and how long each answer took."""

    def __init__(self, port: int, images: int) -> None:
        self._port, self._images = port, images
        self.seconds: dict[str, list[float]] = {}
        self.failed: list[str] = []

    def run(self, kinds: list[str], enough: Callable[[int], bool], seed: int) -> None:
        """Ask for one thing after another until it is enough."""
        draw, asked = random.Random(seed), 0
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not enough(asked):
            kind = kinds[asked % len(kinds)]
            image = draw.randrange(self._images)
            path = {
                "first page": "/?order=folder",
                "page of hits": f"/search?q={image}",
                "hits": f"/api/v1/search?q={image}&k=20",
                "thumbnail": f"/thumbnails/{image}/",
                "part of the collection": f"/api/v1/images?order=folder&offset={image}&limit=200",
            }[kind]
            if kind == "thumbnail":
                path = self._json(connection, f"/api/v1/images/{image}")["thumbnail"]
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            self.seconds.setdefault(kind, []).append(time.perf_counter() - began)
            if answer.status != 200:
                self.failed.append(f"{answer.status} {path}")
            asked += 1
        connection.close()

    @staticmethod
    def _json(connection: http.client.HTTPConnection, path: str) -> dict[str, str]:
        import json

        connection.request("GET", path)
        found: dict[str, str] = json.loads(connection.getresponse().read())
        return found


KINDS = ["first page", "page of hits", "hits", "thumbnail", "part of the collection"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        index = collection(asked.photos, asked.images, Path(name))
        command = [sys.executable, "-m", "semcbir", "browse", str(index.path), "--no-open", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            line = server.stderr.readline()
            port = int(line.partition(PORT_LINE)[2].partition("/")[0])
            try:
                measure(index, port, asked.clients, asked.seconds, psutil.Process(server.pid))
            finally:
                server.terminate()


def measure(index: Index, port: int, clients: int, seconds: float, server: psutil.Process) -> None:
    """Print a table: each kind of request alone and with all clients, beside the core."""
    core, searcher = [], index.searcher()
    queries = index.signatures(ids=np.arange(0, len(index), len(index) // 100))
    for query in (queries[place] for place in range(len(queries))):
        began = time.perf_counter()
        searcher.search(query, 20, epsilon=None)
        core.append(time.perf_counter() - began)
    alone, together = Clients(port, len(index)), Clients(port, len(index))
    alone.run(KINDS, lambda asked: asked >= 2 * len(KINDS), 0)  # screens are built, pages compiled
    alone.seconds.clear()
    alone.run(KINDS, lambda asked: asked >= ALONE * len(KINDS), 1)
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(
            target=together.run, args=(KINDS[n % 5 :] + KINDS[: n % 5], lambda _: time.monotonic() > end, n)
        )
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [["the core alone, 20 hits", f"{1e3 * statistics.median(core[40:]):.2f}", "", "", "", ""]]
    for kind in KINDS:
        one, many = sorted(alone.seconds[kind]), sorted(together.seconds[kind])
        rows.append(
            [
                kind,
                *(
                    f"{1e3 * value:.1f}"
                    for value in (_at(one, 0.5), _at(one, 0.99), _at(many, 0.5), _at(many, 0.99), many[-1])
                ),
            ]
        )
    print(table(["ms", "alone: p50", "p99", f"{clients} clients: p50", "p99", "longest"], rows))
    count = sum(map(len, together.seconds.values()))
    print(
        f"\n{count / seconds:.0f} answers a second; {len(together.failed) + len(alone.failed)} failed; "
        f"{len(index)} images; {server.memory_info().rss / 2**20:.0f} MiB resident"
    )


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
