# SPDX-License-Identifier: MIT
"""Makes checkpoint files in the published layouts from any network; needs torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

State = dict[str, Any]

TO_MMSEGMENTATION = (
    ("last_layer.0.", "decode_head.convs.0.conv."),
    ("last_layer.1.", "decode_head.convs.0.bn."),
    ("last_layer.3.", "decode_head.conv_seg."),
)


def hrnet(state: State) -> Any:
    """``model.<name>``, flat, with the loss's weights."""
    return OrderedDict(
        [*((f"model.{key}", value) for key, value in state.items()), ("loss.criterion.weight", torch.ones(7))]
    )


def hrnet_nested(state: State) -> Any:
    """Under "state_dict", as saved from several GPUs."""
    named = {f"module.model.{key}": value for key, value in state.items()}
    return {"epoch": 484, "best_mIoU": 0.36, "state_dict": named | {"module.criterion.w": torch.ones(2)}}


def hrnet_torch04(state: State) -> Any:
    """As trained with InPlaceABNSync: no batch counters."""
    return hrnet({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})


def mseg(state: State) -> Any:
    """``module.<name>``, the optimiser's state, and scores as NumPy numbers."""
    return {
        "epoch": 3,
        "context_iters": np.int64(1000),
        "best_mIoU": np.float64(0.43),
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "optimizer": {
            "state": {
                number: {"momentum_buffer": torch.zeros_like(value)}
                for number, value in enumerate(state.values())
            },
            "param_groups": [{"lr": 0.01, "params": list(range(len(state)))}],
        },
    }


def mmsegmentation(state: State) -> Any:
    """``backbone.*`` and ``decode_head.*``, the head's first convolution without bias, and a "meta"."""
    named = {}
    for key, value in state.items():
        for own, theirs in TO_MMSEGMENTATION:
            if key.startswith(own):
                named[theirs + key.removeprefix(own)] = value
                break
        else:
            named[f"backbone.{key}"] = value
    del named["decode_head.convs.0.conv.bias"]
    named["auxiliary_head.conv_seg.weight"] = torch.ones(7, 3, 1, 1)
    meta = {
        "mmseg_version": "0.5.0",
        "CLASSES": ("wall", "sky"),
        "PALETTE": [[120, 120, 120]],
        "config": "norm_cfg = dict(type='SyncBN')",
        "iter": 160000,
    }
    return {"meta": meta, "state_dict": OrderedDict(named), "optimizer": None}


def write(path: Path, content: Any, *, zipped: bool = True) -> Path:
    """Save as torch does, or as it did before 1.6 (not ``zipped``); return ``path``."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


Layout = Callable[[State], Any]
