# SPDX-License-Identifier: MIT
"""Projection: a mean and axes, to which an encoder's vectors are shortened."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from semcbir._files import PathLike, display_path, expanded, open_regular, reason
from semcbir.errors import ModelError

LARGEST = 2**26
"""The most bytes of a projection's file, and of the arrays in it."""
MAX_LENGTH = 2**13
"""The most numbers of a vector, before and after."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A vector x of length E becomes ``matrix``^T (x - ``mean``): mean (E,), matrix (E, D), any floats.

    They are kept in float64, and cannot be written to. Raises ValueError if they are not as described.
    """

    mean: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("mean", "matrix"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind != "f":
                raise ValueError(f"{name}: expected floating-point numbers, got {values.dtype}")
            values = np.array(values, np.float64, order="C")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: expected finite numbers")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.mean.ndim != 1 or self.matrix.ndim != 2 or len(self.mean) != len(self.matrix):
            raise ValueError(
                f"mean and matrix: expected the shapes (E,) and (E, D), got {self.mean.shape} and "
                f"{self.matrix.shape}"
            )
        if min(self.matrix.shape) < 1 or max(self.matrix.shape) > MAX_LENGTH:
            raise ValueError(f"matrix: expected sides from 1 to {MAX_LENGTH}, got {self.matrix.shape}")

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read an .npz file of the arrays ``mean`` and ``matrix``; ModelError if it is not one."""
        path = expanded(path)
        try:
            with open_regular(path, most=LARGEST) as file, zipfile.ZipFile(file) as members:
                sizes = {member.filename: member.file_size for member in members.infolist()}
                if sizes.keys() != {"mean.npy", "matrix.npy"} or sum(sizes.values()) > LARGEST:
                    raise ValueError("expected the arrays mean and matrix, and no others")
                return cls(*(_array(members.read(name)) for name in ("mean.npy", "matrix.npy")))
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            why = display_path(reason(error))  # RuntimeError: encrypted, or packed in some rare way
            raise ModelError(f"{display_path(path)}: not a projection: {why}") from error

    @property
    def dim(self) -> int:
        """D, the length of a vector afterwards."""
        return int(self.matrix.shape[1])

    def sha256(self) -> str:
        """Return a hash of the numbers and shapes, in hex: the same on every machine."""
        text = f"{self.matrix.shape}"
        return hashlib.sha256(
            text.encode() + self.mean.astype("<f8").tobytes() + self.matrix.astype("<f8").tobytes()
        ).hexdigest()

    def as_layer(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return weights (D, E) and bias (D,) so that weights x + bias is the projected x.

        The bias is a sum rounded once, so that it has the same bits on every machine.
        """
        products = (self.mean[:, None] * self.matrix).T
        return self.matrix.T, np.array([-math.fsum(row) for row in products.tolist()])


def _array(data: bytes) -> npt.NDArray[np.float64]:
    """Return the array of floats in the .npy file ``data``; no more memory is taken than it has bytes."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("expected arrays in version 1.0 of NumPy's format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind != "f" or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("expected whole arrays of floating-point numbers")
    values = np.frombuffer(data, dtype, offset=file.tell()).astype(np.float64)
    return values.reshape(shape, order="F" if fortran else "C")
