# SPDX-License-Identifier: MIT
"""Make the projection of an encoder: the mean of photos' vectors, and their principal axes.

Usage: python training/projection.py PHOTOS OUTPUT.npz [--encoder FILE] [--dim 128]

A photo's vector is the mean over the cells of its grid. The .npz holds ``mean`` float32 (E,) and ``matrix``
float16 (E, D); a cell x then becomes (x - mean) @ matrix. The axes are of length 1, not whitened, the widest
first, and the largest number in each is positive. Files whose number ends in 0 are held out.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semcbir.encoding.encoder import Encoder
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.networks.made_encoders import encoder_file

NAME = "efficientnet-lite0"
DIM = 128
BATCH = 64


def training_photos(folder: Path) -> list[Path]:
    """Return the photos below a folder that are not held out, sorted by path."""
    return [path for path in find_images(folder) if not path.stem.endswith("0")]


def whole_vector(grid: Any) -> np.ndarray:
    """Return the mean over the cells of a Grid that hold a pixel of the photo: float64 (E,)."""
    cells = grid.cells[np.ix_(np.unique(grid.rows), np.unique(grid.columns))]
    return cells.reshape(-1, cells.shape[2]).mean(axis=0, dtype=np.float64)


def vectors(encode: Callable[[list[np.ndarray]], Sequence[Any]], photos: Sequence[Path]) -> np.ndarray:
    """Return each photo's vector: float64 (n, E). ``encode`` gives images their grids, like Encoder's."""
    found: list[np.ndarray] = []
    for batch in _batches(photos):
        found += map(whole_vector, encode([load_image(path, None) for path in batch]))
        print(f"{len(found)} of {len(photos)} photos", flush=True)
    return np.array(found)


def _batches(photos: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (photos[start : start + BATCH] for start in range(0, len(photos), BATCH))


def principal_axes(found: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the mean (E,) of vectors (n, E), the ``dim`` widest axes (E, dim), and their share of variance.

    ValueError unless 1 <= dim < n and dim <= E.
    """
    if not 1 <= dim <= min(len(found) - 1, found.shape[1]):
        raise ValueError(f"dim: expected 1 to {min(len(found) - 1, found.shape[1])}, got {dim}")
    mean = found.mean(axis=0)
    centred = found - mean
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dim]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(dim)]
    return mean, axes * np.sign(largest), float(variances[::-1][:dim].sum() / variances.sum())


def write(path: Path, mean: np.ndarray, matrix: np.ndarray) -> None:
    """Write the projection's file: the same numbers give the same bytes, whatever the day or the system."""
    arrays = {"mean": mean.astype("<f4"), "matrix": np.ascontiguousarray(matrix, "<f2")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, values in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            with file.open(member, "w") as out:
                np.lib.format.write_array(out, values, version=(1, 0), allow_pickle=False)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("output", type=Path, help="where the projection goes")
    parser.add_argument("--encoder", type=Path, help=f"an encoder with no projection in it (default: {NAME})")
    parser.add_argument("--dim", type=int, default=DIM, help="D, the numbers of a vector afterwards")
    options = parser.parse_args()
    encoder = Encoder(options.encoder or encoder_file(NAME)[0], device="cpu")
    found = vectors(encoder.encode, training_photos(options.photos))
    mean, matrix, share = principal_axes(found, options.dim)
    write(options.output, mean, matrix)
    print(f"{len(found)} photos; {options.dim} of {found.shape[1]} axes hold {share:.1%} of the variance")


if __name__ == "__main__":
    main()
