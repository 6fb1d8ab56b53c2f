# SPDX-License-Identifier: MIT
"""Read a file of weights that torch saved before version 1.6, without torch and without running its pickles.

The file: a magic number, a version, facts about the computer, a dictionary of tensors, and the list of the
storages' keys, each a pickle; then for each key how many numbers there are (int64) and the numbers. A tensor
is a view of its storage, by an offset and strides that need not be those of a plain array.

Source: ``torch.serialization`` (``_legacy_save``, ``_legacy_load``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._files import PathLike, display_path
from semcbir.errors import ModelError
from semcbir.networks.torch_pickle import Storage, StoredTensor, read_pickle

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
MAX_TENSORS = 2**14

Arrays = dict[str, npt.NDArray[Any]]


def read_tensors(data: bytes, path: PathLike) -> Arrays:
    """Return the tensors in ``data``, the bytes of the file ``path``, by name and in the file's order.

    The arrays (float32 or int64) are read-only views of ``data`` with the file's own strides, so that they
    take no memory. Raises ModelError if the file is cut short, damaged, or anything but a dictionary of such
    tensors on their own, all of whose bytes are accounted for.
    """
    try:
        return _tensors(data)
    except ValueError as error:
        raise ModelError(
            f"{display_path(path)}: cannot read the weights: {display_path(str(error))}"
        ) from error


def _tensors(data: bytes) -> Arrays:
    at = _after_header(data)
    state, at = read_pickle(data, at)
    if type(state) is not dict or not all(type(value) is StoredTensor for value in state.values()):
        raise ValueError("expected a dictionary of tensors by name, it holds something else")
    if len(state) > MAX_TENSORS:
        raise ValueError(f"expected at most {MAX_TENSORS} tensors, it has {len(state)}")
    keys, at = read_pickle(data, at)
    places = _places(data, at, keys, _storages(state))
    return {name: _view(data, tensor, places[tensor.storage.key]) for name, tensor in state.items()}


def _after_header(data: bytes) -> int:
    """Check the three pickles at the start; return where they end."""
    if data[:2] == b"PK":
        raise ValueError("expected a file as torch wrote them before version 1.6, this is a zip file")
    magic, at = read_pickle(data, 0)
    if type(magic) is not int or magic != MAGIC:
        raise ValueError("expected a file of weights that torch wrote, it begins otherwise")
    version, at = read_pickle(data, at)
    if type(version) is not int or version != VERSION:
        raise ValueError(f"expected torch's version {VERSION} of such files, this one has another")
    facts, at = read_pickle(data, at)
    if type(facts) is not dict or facts.get("little_endian") is not True:
        raise ValueError("expected numbers in little-endian order")
    return at


def _storages(state: dict[str, StoredTensor]) -> dict[str, Storage]:
    """Return the storages that the tensors lie in by key; ValueError if they contradict each other."""
    storages: dict[str, Storage] = {}
    for tensor in state.values():
        new = tensor.storage
        old = storages.setdefault(new.key, new)
        if (old.dtype, old.count) != (new.dtype, new.count):
            raise ValueError("two of its tensors disagree about a storage")
    return storages


def _places(data: bytes, at: int, keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Return where the numbers of each storage begin; ValueError unless they fill the file to its end."""
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("expected a list of the storages' keys, it holds something else")
    if len(keys) != len(storages) or set(keys) != storages.keys():
        raise ValueError("the list of its storages is not that of its tensors")
    places = {}
    for key in keys:
        storage = storages[key]
        if int.from_bytes(data[at : at + 8], "little", signed=True) != storage.count:
            raise ValueError("it is cut short, or a storage is not as large as its tensors say")
        places[key] = at + 8
        at += 8 + storage.count * np.dtype(storage.dtype).itemsize
    if at != len(data):
        raise ValueError(f"expected {at} bytes, it has {len(data)}: it is cut short, or more was appended")
    return places


def _view(data: bytes, tensor: StoredTensor, place: int) -> npt.NDArray[Any]:
    """Return the tensor as a view; NumPy checks once more that it lies in ``data``."""
    dtype = np.dtype(tensor.storage.dtype)
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    return np.ndarray(tensor.shape, dtype, data, place + tensor.offset * dtype.itemsize, strides)
