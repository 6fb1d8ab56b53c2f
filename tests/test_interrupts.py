# SPDX-License-Identifier: MIT
"""Ctrl-C in the middle of the core's long work, which holds no GIL and runs no Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from made_signatures import made_signatures
from semcbir import Searcher, Signatures

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

# Each piece of work would take minutes. A timer sends the signal soon; printed is how long it takes
# until the exception comes out.
CODE = """
import signal, sys, threading, time
import numpy as np
from made_signatures import made_signatures
from semcbir import Searcher, Signatures, build_signatures, histogram_distances, smoothed

signal.signal(signal.SIGINT, signal.default_int_handler)
work, threads = sys.argv[1], int(sys.argv[2])
images = made_signatures(3000, dim=64)
images = Signatures.concatenate([images] * 60, ids=np.arange(180_000))
searcher = Searcher(images)

def build():
    maps, n = [np.zeros((1000, 4000), np.uint8)] * 100_000, 100_000
    points, vectors = [np.zeros((0, 2), np.float32)] * n, [np.zeros((0, 4), np.float32)] * n
    begin()
    build_signatures(maps, points, vectors, n_classes=2, threads=threads)

def begin():
    threading.Timer(0.3, interrupt).start()

def interrupt():
    global sent
    sent = time.monotonic()
    signal.raise_signal(signal.SIGINT)

def search():
    begin()
    searcher.search(images if work == "search" else images[:1], threads=threads, epsilon=None)

def distances():
    begin()
    histogram_distances(images[:3000], images, threads=threads)

def smooth():
    begin()
    smoothed(images, threads=threads)

try:
    {"search": search, "distances": distances, "build": build, "smooth": smooth}[work]()
except KeyboardInterrupt:
    print(time.monotonic() - sent)
# The process, and the same searcher, go on as before.
again = searcher.search(images[:2], 3)
assert (again.distances[:, 0] == 0).all()
"""


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("work", ["search", "distances", "build", "smooth"])
def test_ctrl_c_stops_long_work_at_once(work: str, threads: int) -> None:
    took = []
    while not took or (min(took) > 0.5 and len(took) < 4):  # a busy machine may be late, but not always
        took.append(seconds_to_stop(work, threads))
    assert min(took) < 0.5


def seconds_to_stop(work: str, threads: int) -> float:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", CODE, work, str(threads)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout)


def test_a_handler_that_does_not_raise_lets_a_search_go_on() -> None:
    images = made_signatures(1000, dim=64)
    queries = Signatures.concatenate([images] * 4, ids=np.arange(4000))
    searcher = Searcher(images)
    expected = searcher.search(queries, threads=1)
    heard: list[float] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
    try:
        timer = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGUSR1))
        timer.start()
        while not heard:
            found = searcher.search(queries, threads=2)
            ended = time.monotonic()
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard[0] <= ended
    for name in ("ids", "distances", "histogram_distances", "kept"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
