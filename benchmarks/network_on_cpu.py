# SPDX-License-Identifier: MIT
"""HRNet-W48 on the CPU, fp32 and int8 beside plain torch: time for an image, and peak memory.

    python benchmarks/network_on_cpu.py

Needs the extra ``export``, and Linux for the memory.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2

import networks
from pairs import in_turn
from semcbir.threads import usable_cpus
from tables import spread, table


def main() -> None:
    """Print the table that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder to calibrate int8 on; else made pictures")
    parser.add_argument("--width", type=int, default=48, help="of the HRNet")
    parser.add_argument("--side", type=int, default=520, help="of the input")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    threads = usable_cpus()
    with tempfile.TemporaryDirectory() as name:
        folder, hrnet = Path(name), networks.network(options.width)
        calibration = options.photos or _made_pictures(folder / "pictures")
        files: dict[str, Path | str] = {
            "torch, eager": "",
            "onnxruntime fp32": networks.export(hrnet, folder, "fp32"),
            "onnxruntime int8": networks.export(hrnet, folder, "int8", calibration=calibration),
        }
        images = networks.pictures(1, options.side)
        runs: dict[str, Callable[[], Any]] = {}
        for how, file in files.items():
            if file:
                labeller, _ = networks.onnx_labeller(Path(file), ["CPUExecutionProvider"], threads)
            else:
                labeller = networks.torch_labeller(hrnet, "cpu")
            runs[how] = partial(labeller, images)
        times = in_turn(runs, options.rounds)
        rows = []
        for how, taken in times.items():
            ratio = statistics.median(t / o for t, o in zip(times["torch, eager"], taken, strict=True))
            memory = networks.peak_mib(files[how], options.side, options.width, threads)
            size = f"{Path(files[how]).stat().st_size / 2**20:.0f} MiB" if files[how] else "-"
            rows.append([how, spread(taken, ".3g") + " s", f"{ratio:.2f}", f"{memory:.0f} MiB", size])
    titles = ["how", "time for an image (min, median, max)", "torch / this", "peak memory", "file"]
    print(f"HRNet-W{options.width}, {options.side}x{options.side}, batch 1, {threads} threads\n")
    print(table(titles, rows))


def _made_pictures(folder: Path) -> Path:
    folder.mkdir()
    for number, picture in enumerate(networks.pictures(8, 256)):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


if __name__ == "__main__":
    main()
