# SPDX-License-Identifier: MIT
"""Read files of weights for torch networks: without running code from a file, and only what fits.

Every entry must have its place in the network; otherwise the file is refused, and the error names the first
entries that differ.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from semcbir.errors import ModelError

State: TypeAlias = "dict[str, Tensor]"

COUNTER = ".num_batches_tracked"
"""How the names of the counters of batch normalisation end; evaluation does not use them."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SHOWN = 3


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Return the named weights in the file ``path``, at the top or under "state_dict".

    Raises ModelError if the file is missing, is not a checkpoint, is cut short or would run code.
    """
    return _state_dict(_unpickled(path), path)


def fitting(state: State, own: State, name: str, path: Path, *, classifier: tuple[str, ...] = ()) -> State:
    """Return the weights ``state`` in float32, with the counters of ``own``, the network's own state.

    ``name`` is the network's. ``classifier``: how the names of layers begin whose shapes depend on the number
    of classes. Nothing is computed with a file's tensors until their types and shapes are known to be the
    network's. Raises ModelError if an entry is missing, unexpected, of another shape or type, or not finite
    in float32.
    """
    _check_kinds(state, own, path)
    _check_fit(state, own, name, path, classifier)
    return _values(state, path) | counters(own)


def counters(own: State) -> State:
    """Return the counters of batch normalisation in a network's state."""
    return {key: value for key, value in own.items() if key.endswith(COUNTER)}


def _unpickled(path: Path) -> Any:
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder, expected a checkpoint file")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelError(f"{path}: cannot read the checkpoint: {error.strerror or error}") from error
    if not start:
        raise ModelError(f"{path}: the file is empty (0 bytes), expected a checkpoint")
    if start.lstrip()[:1] == b"<":
        raise ModelError(f"{path}: this is a web page, not a checkpoint; the download went wrong")
    with warnings.catch_warnings(), _safe_globals():
        warnings.simplefilter("ignore")  # They are about formats that are refused below.
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:
            raise ModelError(f"{path}: {_why(error, start)}") from error


def _why(error: Exception, start: bytes) -> str:
    """Return what is wrong with a file that begins with ``start`` and that torch refused with ``error``."""
    message = str(error)
    if culprit := re.search(r"GLOBAL ([\w.]+)", message):
        return f"refused: to load it would run {culprit[1]}, and a checkpoint holds numbers only"
    if not start.startswith((b"PK", b"\x80")):
        return "this is not a checkpoint (neither a zip file nor a pickle)"
    if "Weights only load failed" in message and "Unsupported operand" not in message:
        return "refused: a checkpoint holds numbers only, this one holds something else"
    return "the checkpoint is cut short or damaged; download it again"


def _safe_globals() -> AbstractContextManager[Any]:
    """Allow NumPy scalars beside the weights (epochs, scores), under their old and new names."""
    scalar = np.float64().__reduce__()[0]  # in np.core, and since NumPy 2 in np._core
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    kinds = {type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "bool")}
    allowed: list[Any] = [*((scalar, name) for name in names), np.dtype, *kinds]
    safe: AbstractContextManager[Any] = torch.serialization.safe_globals(allowed)
    return safe


def _state_dict(content: Any, path: Path) -> Mapping[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"{path}: expected named weights, at the top or under 'state_dict', got {_outline(content)}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: expected weights only, {key!r} is of type {type(value).__name__}")
    return content


def _outline(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    keys = ", ".join(repr(key) for key in list(content)[:_SHOWN])
    return f"a dictionary of {len(content)} entries ({keys}{', ...' if len(content) > _SHOWN else ''})"


def _check_kinds(state: State, own: State, path: Path) -> None:
    """Refuse tensors that are not plain floating-point ones; counters may have any type."""
    for key in own:
        if key not in state:
            continue
        value = state[key]
        # A nested tensor may have no shape.
        plain = value.device.type == "cpu" and value.layout == torch.strided and not value.is_nested
        if not plain or not (value.dtype in _FLOATS or key.endswith(COUNTER)):
            kind = f"{value.dtype}, {value.layout}, on {value.device.type}"
            raise ModelError(
                f"{path}: {key}: expected plain floating-point numbers of 16, 32 or 64 bits, got {kind}"
            )


def _check_fit(state: State, own: State, name: str, path: Path, classifier: tuple[str, ...]) -> None:
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and state[key].shape != own[key].shape]
    if not (missing or unexpected or shapes):
        return
    if not (missing or unexpected) and all(key.startswith(classifier) for key in shapes):
        came, wanted = state[shapes[-1]].shape[:1], own[shapes[-1]].shape[:1]
        raise ModelError(f"{path}: its model has {_count(came)} classes, {name} has {_count(wanted)}")
    parts = [
        _listed("missing", missing),
        _listed("unexpected", unexpected),
        _listed(
            "of another shape", [f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}" for k in shapes]
        ),
    ]
    raise ModelError(f"{path}: not the weights of {name}: {'; '.join(part for part in parts if part)}")


def _count(shape: torch.Size) -> int | str:
    return shape[0] if shape else "no"


def _listed(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    return f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"


def _values(state: State, path: Path) -> State:
    """Return the weights in float32; ModelError if one is not finite in it, or a variance is below 0."""
    values: State = {}
    for key, value in state.items():
        if key.endswith(COUNTER):
            continue
        values[key] = value.float()
        if not torch.isfinite(values[key]).all():
            raise ModelError(f"{path}: {key} holds numbers that are not finite (NaN or infinity) in float32")
        if key.endswith("running_var") and (values[key] < 0).any():
            raise ModelError(f"{path}: {key} holds variances below 0")
    return values
