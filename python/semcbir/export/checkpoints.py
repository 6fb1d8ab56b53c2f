# SPDX-License-Identifier: MIT
"""Read published checkpoint files into networks: strictly, and without running code from a file.

The official loaders drop whatever does not fit (one of them keeps none of 1839 entries if a prefix is
missing). Here every entry must have its place; otherwise the file is refused, and the error names the first
entries that differ.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from semcbir._files import file_sha256
from semcbir.errors import ModelError
from semcbir.export.hrnet import HRNet, HRNetSpec
from semcbir.export.ocr import HRNetOCR
from semcbir.networks.published import Architecture, PublishedModel

Layout = Literal["hrnet", "mseg", "mmsegmentation"]
BatchNorm = Literal["standard", "inplace_abn"]
State: TypeAlias = "dict[str, Tensor]"

INPLACE_ABN_EPSILON = 1e-5
_PREFIXES = ("module.", "model.")
_DROPPED = {
    "hrnet": ("loss.", "criterion."),
    "mseg": ("loss.", "criterion."),
    "mmsegmentation": ("auxiliary_head.",),
}
_MMSEGMENTATION = (
    ("backbone.", ""),
    ("decode_head.convs.0.conv.", "last_layer.0."),
    ("decode_head.convs.0.bn.", "last_layer.1."),
    ("decode_head.conv_seg.", "last_layer.3."),
)
_COUNTER = ".num_batches_tracked"
_HEAD_BIAS = "last_layer.0.bias"
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class CheckpointReport:
    """What was read from a checkpoint, and what was changed.

    - ``sha256``: hash of the file
    - ``batch_norm``: the kind of layers it was trained with
    - ``corrected``: how many scales of batch normalisation became |scale| + 1e-5
    - ``dropped``: how many entries of the file were not needed
    - ``notes``: sentences for the user
    """

    sha256: str
    batch_norm: BatchNorm
    corrected: int
    dropped: int
    notes: tuple[str, ...]


def build_network(architecture: Architecture) -> HRNet:
    """Return the network of ``architecture``, untrained, in evaluation mode."""
    spec = HRNetSpec.of(architecture.width)
    kind = HRNetOCR if architecture.head == "ocr" else HRNet
    network: HRNet = kind(spec, architecture.n_classes, align_corners=architecture.align_corners)
    network.eval()
    return network


def load_checkpoint(path: str | os.PathLike[str], model: PublishedModel) -> tuple[HRNet, CheckpointReport]:
    """Read a published checkpoint of ``model``; return the network in evaluation mode, and a report.

    The file decides whether it was trained with InPlaceABNSync (see ``load_weights``); the report says so if
    ``published.json`` expected something else. Raises ModelError as ``load_weights`` does.
    """
    network = build_network(model.architecture)
    report = load_weights(
        path,
        network,
        model.name,
        layout=model.checkpoint.layout,
        expected=model.checkpoint.batch_norm,
        head_bias=model.architecture.head_bias,
    )
    return network, report


def load_weights(
    path: str | os.PathLike[str],
    network: HRNet,
    name: str,
    *,
    layout: Layout,
    expected: BatchNorm = "standard",
    head_bias: bool = True,
) -> CheckpointReport:
    """Load the checkpoint ``path`` into ``network``, and put it into evaluation mode.

    ``layout`` says how the entries are named: "hrnet" ``model.<name>``, at the top or under "state_dict";
    "mseg" ``module.<name>`` under "state_dict", beside the optimiser's state; "mmsegmentation"
    ``backbone.<name>`` and ``decode_head.*``. If ``head_bias`` is false, the file has no bias for the head's
    first convolution, and zeros are used.

    A file without any ``num_batches_tracked`` was trained with InPlaceABNSync, which scales by |gamma| + 1e-5
    where batch normalisation scales by gamma; the gammas are changed accordingly.

    Raises ModelError if the file is missing, is not a checkpoint, is cut short or would run code, or if it
    holds another network, another number of classes, or weights that are not finite in float32.
    """
    path = Path(path)
    state, dropped = _renamed(_state_dict(_unpickled(path), path), layout, path)
    own = network.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(_COUNTER)}
    found: BatchNorm = "standard"
    if not any(key.endswith(_COUNTER) for key in state):
        found = "inplace_abn"
        state |= counters
    if not head_bias and _HEAD_BIAS in own:
        state.setdefault(_HEAD_BIAS, torch.zeros_like(own[_HEAD_BIAS]))
    # Compute nothing with a file's tensors until their types and shapes are known to be the network's.
    _check_kinds(state, own, path)
    _check_fit(state, own, name, path)
    state = _values(state, path) | counters  # evaluation does not use the counters
    corrected = _correct_scales(state) if found == "inplace_abn" else 0
    network.load_state_dict(state, strict=True)
    network.eval()
    notes = _notes(found, expected, corrected)
    return CheckpointReport(
        sha256=file_sha256(path), batch_norm=found, corrected=corrected, dropped=dropped, notes=notes
    )


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


def _renamed(state: Mapping[str, Tensor], layout: Layout, path: Path) -> tuple[State, int]:
    """Return the entries under the network's own names, and how many entries were not needed."""
    rename: Callable[[str], str] = _mmsegmentation_name if layout == "mmsegmentation" else _hrnet_name
    renamed: State = {}
    dropped = 0
    for key, value in state.items():
        bare = _hrnet_name(key)
        if bare.startswith(_DROPPED[layout]):
            dropped += 1
            continue
        name = rename(key)
        if name in renamed:
            raise ModelError(f"{path}: holds {name!r} twice, the second time as {key!r}")
        renamed[name] = value
    return renamed, dropped


def _hrnet_name(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key


def _mmsegmentation_name(key: str) -> str:
    key = _hrnet_name(key)
    for prefix, own in _MMSEGMENTATION:
        if key.startswith(prefix):
            return own + key.removeprefix(prefix)
    return key


def _correct_scales(state: State) -> int:
    """Change the scales of batch normalisation to InPlaceABNSync's |gamma| + epsilon, in place."""
    corrected = 0
    for key in [key for key in state if key.endswith(".running_mean")]:
        scale = key.removesuffix("running_mean") + "weight"
        state[scale] = state[scale].abs() + INPLACE_ABN_EPSILON
        corrected += state[scale].numel()
    return corrected


def _check_kinds(state: State, own: State, path: Path) -> None:
    """Refuse tensors that are not plain floating-point ones; counters may have any type."""
    for key in own:
        if key not in state:
            continue
        value = state[key]
        # A nested tensor may have no shape.
        plain = value.device.type == "cpu" and value.layout == torch.strided and not value.is_nested
        if not plain or not (value.dtype in _FLOATS or key.endswith(_COUNTER)):
            kind = f"{value.dtype}, {value.layout}, on {value.device.type}"
            raise ModelError(
                f"{path}: {key}: expected plain floating-point numbers of 16, 32 or 64 bits, got {kind}"
            )


def _check_fit(state: State, own: State, name: str, path: Path) -> None:
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and state[key].shape != own[key].shape]
    if not (missing or unexpected or shapes):
        return
    classifier = ("last_layer.3.", "aux_head.3.", "cls_head.")
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
        if key.endswith(_COUNTER):
            continue
        values[key] = value.float()
        if not torch.isfinite(values[key]).all():
            raise ModelError(f"{path}: {key} holds numbers that are not finite (NaN or infinity) in float32")
        if key.endswith("running_var") and (values[key] < 0).any():
            raise ModelError(f"{path}: {key} holds variances below 0")
    return values


def _notes(found: BatchNorm, expected: BatchNorm, corrected: int) -> tuple[str, ...]:
    notes = []
    if corrected:
        notes.append(
            f"trained with InPlaceABNSync (the file has no num_batches_tracked): {corrected} scales of batch "
            f"normalisation were changed to |scale| + {INPLACE_ABN_EPSILON:g}"
        )
    if found != expected:
        kinds = {"standard": "plain batch normalisation", "inplace_abn": "InPlaceABNSync"}
        notes.append(f"expected {kinds[expected]}, but the file has {kinds[found]}: the file decides")
    return tuple(notes)
