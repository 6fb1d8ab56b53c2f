# SPDX-License-Identifier: MIT
"""Indexing real photos: how busy it keeps the CPUs, and whether its memory grows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from pairs import compare
from semcbir import Extractor, Index
from semcbir.index.segments import write_segment
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
