# SPDX-License-Identifier: MIT
"""Indexing a folder of photos with its models on CUDA, compared with what is left to the CPU alone.

    python benchmarks/index_on_cuda.py PHOTOS

Without ``--model`` the model is HRNet-W48 in fp16 with random weights, which needs the extra ``export``; the
encoder of feature deep runs on CUDA too. Afterwards the first photos are extracted on the CPU and compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from pairs import seconds
from semcbir import Extractor, Index
from semcbir.errors import DeviceError
from semcbir.features import LocalFeature, extract_features, parse_features
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.threads import usable_cpus


def main() -> int:
    """Print how long the index takes that the command line asks for; 2 if the device is not available."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--features", default="deep", help="joined by commas; deep")
    parser.add_argument("--encoder", help="of deep: a card, or a name from semcbir models list")
    parser.add_argument("--model", help="a card, or a name from semcbir models list")
    parser.add_argument("--width", type=int, default=48, help="of the HRNet without --model")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()

    features = parse_features(options.features, encoder=options.encoder)
    local = [feature for feature in features if isinstance(feature, LocalFeature)]
    paths, threads = find_images(options.photos), usable_cpus()

    def on_the_cpu(path: Path) -> None:
        image = load_image(path, 512)
        if local:
            extract_features(image, local)

    def cpu_alone() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(on_the_cpu, paths))

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
        alone = seconds(cpu_alone)
        print(
            f"{len(paths)} photos indexed in {whole:.1f} s on {options.device} with {options.features}, "
            f"{whole / alone:.2f} times decoding and local features alone ({alone:.1f} s), {threads} threads"
        )
        print(_agreement(Index.open(folder / "index"), Extractor(model, features, device="cpu"), paths[:50]))
    return 0


def _agreement(index: Index, extractor: Extractor, paths: list[Path]) -> str:
    """Say how far the index's signatures are from those that the CPU makes of the same photos."""
    ids = [index[path].id for path in paths]
    said = []
    for name, expected in extractor.extract_all(paths).items():
        found = index.signatures(name, ids=ids)
        apart = np.linalg.norm((found.dense() - expected.dense()).reshape(len(ids), -1), axis=1)
        shares = np.abs(found.histograms() - expected.histograms()).sum(axis=1)
        said.append(f"{name}: distance {apart.max():.2g}, histogram distance {shares.max():.2g}")
    return f"largest differences from the CPU, {len(ids)} photos: {'; '.join(said)}"


def _exported(width: int, folder: Path) -> Path:
    import networks

    return networks.export(networks.network(width), folder, "fp16")


if __name__ == "__main__":
    sys.exit(main())
