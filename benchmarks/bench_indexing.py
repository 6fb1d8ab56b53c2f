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
from semcbir import KAZE, Index, Segmenter, build_signatures, load_image
from semcbir.index.segments import write_segment
from semcbir.threads import usable_cpus

IMAGES = 200


@pytest.fixture(scope="module")
def photos(wang_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(0, 1000, 1000 // IMAGES):
        shutil.copy(wang_dir / f"{number}.jpg", folder)
    return folder


def stages(paths: list[Path], model: Path, folder: Path) -> None:
    """Every stage over every photo, one after another, on one thread."""
    segmenter, kaze = Segmenter(model, device="cpu", threads=1), KAZE()
    batch = []
    for path in paths:
        image = load_image(path, 512)
        found = kaze.detect_and_compute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        (label_map,) = segmenter.segment([image])
        batch.append((label_map, found.keypoints, found.descriptors))
    maps, points, vectors = (list(column) for column in zip(*batch, strict=True))
    signatures = build_signatures(maps, points, vectors, n_classes=segmenter.n_classes, threads=1)
    write_segment(folder, [{"kaze": signatures}])


def test_indexing_keeps_the_cpus_busy(benchmark: Any, photos: Path, ade_model: Path, tmp_path: Path) -> None:
    paths = sorted(photos.iterdir())
    threads = cv2.getNumThreads()

    def ours() -> None:
        shutil.rmtree(tmp_path / "index", ignore_errors=True)
        assert len(Index.build(photos, tmp_path / "index", model=ade_model, device="cpu")) == IMAGES

    def peer() -> None:
        cv2.setNumThreads(1)
        stages(paths, ade_model, tmp_path)
        cv2.setNumThreads(threads)

    what = f"index of {IMAGES} Wang photos, KAZE, {usable_cpus()} threads"
    ratio = compare(benchmark, what, ours, "its stages on one thread", peer, rounds=3)
    ideal = usable_cpus()
    print(f"wall time is {ideal / ratio:.3f} of the stages' sum over {ideal} CPUs (aim: at most 1.15)")


PEAK = """
import json, sys
from semcbir import Index
sys.path.insert(0, sys.argv[4])
from memory import peak_mib
index = Index.build(sys.argv[1], sys.argv[2], model=sys.argv[3], device="cpu")
print(json.dumps([len(index), peak_mib()]))
"""


def test_memory_does_not_grow(
    benchmark: Any, wang_dir: Path, photos: Path, ade_model: Path, tmp_path: Path
) -> None:
    """Peak memory of indexing all 1000 photos beside that of 200."""
    peaks = {}

    def run() -> None:
        for folder in (photos, wang_dir):
            arguments = [folder, tmp_path / folder.name, ade_model, Path(__file__).parent]
            command = [sys.executable, "-c", PEAK, *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            images, peak = json.loads(done.stdout)
            peaks[images] = peak

    benchmark.pedantic(run, rounds=1)
    assert max(peaks.values()) < 1.25 * min(peaks.values())
    for images, megabytes in peaks.items():
        print(f"{images} images: peak {megabytes:.0f} MiB")
        benchmark.extra_info[f"peak_mib_{images}"] = round(megabytes)
