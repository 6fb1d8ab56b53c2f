# SPDX-License-Identifier: MIT
"""Indexing real photos: beside its networks alone, how busy it keeps the CPUs, whether its memory grows."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pairs import compare, in_turn
from semcbir import Extractor, Index
from semcbir.index.segments import write_segment
from semcbir.inference.photo_model import PhotoModel
from semcbir.signatures import Signatures
from semcbir.threads import usable_cpus

IMAGES = 200


@pytest.fixture(scope="module")
def photos(wang_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(0, 1000, 1000 // IMAGES):
        shutil.copy(wang_dir / f"{number}.jpg", folder)
    return folder


def stages(paths: list[Path], features: str, folder: Path) -> None:
    """Every stage over every photo, one after another, on one thread."""
    extractor = Extractor(features=features, device="cpu", threads=1)
    found = [extractor._extract_one(path)[features] for path in paths]
    write_segment(folder, [{features: Signatures.concatenate(found, ids=range(len(found)))}])


@pytest.mark.parametrize("features", ["deep", "kaze"])
def test_indexing_keeps_the_cpus_busy(benchmark: Any, photos: Path, features: str, tmp_path: Path) -> None:
    paths = sorted(photos.iterdir())
    threads = cv2.getNumThreads()

    def ours() -> None:
        shutil.rmtree(tmp_path / "index", ignore_errors=True)
        assert len(Index.build(photos, tmp_path / "index", features=features, device="cpu")) == IMAGES

    def peer() -> None:
        cv2.setNumThreads(1)
        stages(paths, features, tmp_path)
        cv2.setNumThreads(threads)

    what = f"index of {IMAGES} Wang photos, {features}, {usable_cpus()} threads"
    ratio = compare(benchmark, what, ours, "its stages on one thread", peer, rounds=3)
    ideal = usable_cpus()
    print(f"wall time is {ideal / ratio:.3f} of the stages' sum over {ideal} CPUs (aim: at most 1.15)")


def forward_passes(paths: list[Path], threads: int) -> dict[str, Callable[[], None]]:
    """Ways to run the networks, and nothing else, on the inputs of ``paths``, which are ready in memory.

    Many photos at a time on a thread each, or one photo at a time on ``threads`` threads of onnxruntime.
    """
    extractor = Extractor(device="cpu", threads=threads)
    single = [extractor._stream_segmenter, *extractor._stream_encoders.values()]
    many = [extractor._segmenter(threads, tune=False), *extractor._encoders_of(threads, tune=False).values()]
    pixels = [extractor._pixels(path)[0] for path in paths]
    inputs = [[model.lay(image)[np.newaxis] for model in single] for image in pixels]

    def run(models: list[PhotoModel], photo: list[np.ndarray]) -> None:
        for model, canvas in zip(models, photo, strict=True):
            network = model._network
            network._session.run([network._output], {network._input: canvas})

    def photos_at_a_time() -> None:
        with ThreadPoolExecutor(threads) as pool:
            deque(pool.map(partial(run, single), inputs), 0)

    def one_at_a_time() -> None:
        for photo in inputs:
            run(many, photo)

    return {
        f"{threads} photos at a time, a thread each": photos_at_a_time,
        f"a photo at a time, {threads} threads": one_at_a_time,
    }


def test_indexing_beside_its_networks_alone(benchmark: Any, wang_dir: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(0, 1000, 2):
        shutil.copy(wang_dir / f"{number}.jpg", photos)
    paths = sorted(photos.iterdir())
    threads = usable_cpus()
    ways = forward_passes(paths, threads)
    times = {way: statistics.median(taken) for way, taken in in_turn(ways, 1).items()}
    for way, taken in times.items():
        print(f"networks alone, {way}: {len(paths) / taken:.1f} images/s")
    best = min(times, key=times.__getitem__)

    def ours() -> None:
        shutil.rmtree(tmp_path / "index", ignore_errors=True)
        assert len(Index.build(photos, tmp_path / "index", device="cpu")) == len(paths)

    what = f"index of {len(paths)} Wang photos, {threads} threads"
    ratio = compare(benchmark, what, ours, f"its networks alone, {best}", ways[best], rounds=7)
    for name in ("ours", "peer"):
        print(f"{name}: {1e3 * len(paths) / benchmark.extra_info[f'{name}_ms']:.1f} images/s")
    print(f"indexing runs at {ratio:.2f} of the speed of its networks alone (aim: at least 0.9)")


PEAK = """
import json, sys
from semcbir import Index
sys.path.insert(0, sys.argv[3])
from memory import peak_mib
index = Index.build(sys.argv[1], sys.argv[2], device="cpu")
print(json.dumps([len(index), peak_mib()]))
"""


def test_memory_does_not_grow(benchmark: Any, wang_dir: Path, photos: Path, tmp_path: Path) -> None:
    """Peak memory of indexing all 1000 photos beside that of 200."""
    peaks = {}

    def run() -> None:
        for folder in (photos, wang_dir):
            arguments = [folder, tmp_path / folder.name, Path(__file__).parent]
            command = [sys.executable, "-c", PEAK, *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            images, peak = json.loads(done.stdout)
            peaks[images] = peak

    benchmark.pedantic(run, rounds=1)
    assert max(peaks.values()) < 1.25 * min(peaks.values())
    for images, megabytes in peaks.items():
        print(f"{images} images: peak {megabytes:.0f} MiB")
        benchmark.extra_info[f"peak_mib_{images}"] = round(megabytes)
