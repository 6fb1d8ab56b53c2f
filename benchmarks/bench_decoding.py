# SPDX-License-Identifier: MIT
"""Decoding: the memory that the largest pictures take at a time, and what the checks of a file cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pairs import compare
from semcbir.images.decode import load_image
from semcbir.images.limits import MAX_PIXELS, PIXEL_BYTES

LARGEST = {"a.png": 11585, "a.webp": 7700, "a.tif": 11585, "a.jpg": 23000}
"""The side of about the largest square that is read of a kind."""

PEAK = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[3])
from memory import peak_mib
from semcbir.images.decode import load_image
load_image(sys.argv[1])
before = peak_mib()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(load_image, [sys.argv[2]] * 6))
print(json.dumps([before, peak_mib()]))
"""


@pytest.mark.parametrize("name", LARGEST)
def test_six_of_the_largest_pictures_on_eight_threads(benchmark: Any, tmp_path: Path, name: str) -> None:
    options = {"lossless": True, "quality": 0, "method": 0} if name.endswith("webp") else {}
    large = Image.new("RGB", (LARGEST[name],) * 2, (10, 20, 30))
    large.save(tmp_path / name, **options)
    large.resize((64, 64)).save(tmp_path / f"small-{name}", **options)
    files = [tmp_path / f"small-{name}", tmp_path / name]
    peaks: list[float] = []

    def run() -> None:
        command = [sys.executable, "-c", PEAK, *map(str, [*files, Path(__file__).parent])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[:] = json.loads(done.stdout)

    benchmark.pedantic(run, rounds=1)
    taken, budget = peaks[1] - peaks[0], MAX_PIXELS * PIXEL_BYTES / 2**20
    print(f"six of {name}, {large.size}: {taken:.0f} MiB, {taken / budget:.2f} times the budget")
    benchmark.extra_info["peak_mib"] = round(peaks[1])
    assert taken < 1.15 * budget


def test_checks_of_a_jpeg_cost_little(benchmark: Any, wang_dir: Path) -> None:
    paths = sorted(wang_dir.glob("*.jpg"))[:100]

    def peer() -> None:
        for path in paths:
            with Image.open(path) as image:
                np.asarray(image.convert("RGB"))

    def ours() -> None:
        for path in paths:
            load_image(path)

    compare(benchmark, "decoding 100 Wang photos", ours, "Pillow alone", peer, rounds=15)
