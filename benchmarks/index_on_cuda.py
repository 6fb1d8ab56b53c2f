# SPDX-License-Identifier: MIT
"""Indexing a folder of photos with a model on CUDA, compared with computing its features alone.

    python benchmarks/index_on_cuda.py PHOTOS

Without ``--model`` the model is HRNet-W48 in fp16 with random weights, which needs the extra ``export``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from pairs import seconds
from semcbir import Index
from semcbir.errors import DeviceError
from semcbir.features import extract_features, parse_features
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.threads import usable_cpus


def main() -> int:
    """Print how long the index takes that the command line asks for; 2 if the device is not available."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--features", default="sift", help="joined by commas; sift")
    parser.add_argument("--model", help="a card, or a name from semcbir models list")
    parser.add_argument("--width", type=int, default=48, help="of the HRNet without --model")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()

    features, paths, threads = parse_features(options.features), find_images(options.photos), usable_cpus()

    def features_alone() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda path: extract_features(load_image(path, 512), features), paths))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or _exported(options.width, folder)
        build = partial(
            Index.build,
            options.photos,
            folder / "index",
            model=model,
            features=features,
            device=options.device,
        )
        try:
            whole = seconds(build)
        except DeviceError as error:
            print(f"skipped: {error}", file=sys.stderr)
            return 2
        cv2.setNumThreads(1)
        alone = seconds(features_alone)
    print(
        f"{len(paths)} photos indexed in {whole:.1f} s on {options.device}, {whole / alone:.2f} times "
        f"{options.features} alone ({alone:.1f} s), {threads} threads"
    )
    return 0


def _exported(width: int, folder: Path) -> Path:
    import networks

    return networks.export(networks.network(width), folder, "fp16")


if __name__ == "__main__":
    sys.exit(main())
