# SPDX-License-Identifier: MIT
"""Read published checkpoint files into HRNet: strictly, and without running code from a file (``weights``).

The official loaders drop whatever does not fit (one of them keeps none of 1839 entries if a prefix is
missing). Here every entry must have its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from semcbir._files import file_sha256
from semcbir.errors import ModelError
from semcbir.export.hrnet import HRNet, HRNetSpec
from semcbir.export.ocr import HRNetOCR
from semcbir.export.weights import COUNTER, State, counters, fitting, read_state
from semcbir.networks.published import Architecture, PublishedModel

Layout = Literal["hrnet", "mseg", "mmsegmentation"]
BatchNorm = Literal["standard", "inplace_abn"]

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
_HEAD_BIAS = "last_layer.0.bias"
_CLASSIFIER = ("last_layer.3.", "aux_head.3.", "cls_head.")


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
    state, dropped = _renamed(read_state(path), layout, path)
    own = network.state_dict()
    found: BatchNorm = "standard"
    if not any(key.endswith(COUNTER) for key in state):
        found = "inplace_abn"
        state |= counters(own)
    if not head_bias and _HEAD_BIAS in own:
        state.setdefault(_HEAD_BIAS, torch.zeros_like(own[_HEAD_BIAS]))
    state = fitting(state, own, name, path, classifier=_CLASSIFIER)
    corrected = _correct_scales(state) if found == "inplace_abn" else 0
    network.load_state_dict(state, strict=True)
    network.eval()
    notes = _notes(found, expected, corrected)
    return CheckpointReport(
        sha256=file_sha256(path), batch_norm=found, corrected=corrected, dropped=dropped, notes=notes
    )


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
