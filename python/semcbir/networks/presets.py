# SPDX-License-Identifier: MIT
"""Published ways of running a model, by name.

They need a model that gives logits. The published testers shrink photos bilinearly; semcbir averages over
areas. Where the testers differ, semcbir follows MSeg's: it moves the last windows back, where HRNet's pads
them, and it averages softmax probabilities, where HRNet's adds up exponentials of the flips' mean scores
without normalising them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from semcbir._validate import listed
from semcbir.networks.fields import build
from semcbir.networks.specs import InferenceSpec


def _mseg(short_side: int, crop: int, scales: tuple[float, ...] = (1.0,)) -> InferenceSpec:
    return InferenceSpec(flip=True, scales=scales, short_side=short_side, crop=crop, padding="centre")


_MSEG_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_HRNET_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)

PRESETS: Mapping[str, InferenceSpec] = MappingProxyType(
    {
        "single-scale": InferenceSpec(),
        "flip": InferenceSpec(flip=True),
        "mseg-360-flip": _mseg(360, 473),
        "mseg-480-flip": _mseg(480, 473),
        "mseg-720-flip": _mseg(720, 593),
        "mseg-1080-flip": _mseg(1080, 713),
        "mseg-360-ms-flip": _mseg(360, 473, _MSEG_SCALES),
        "cocostuff-ms-flip": InferenceSpec(flip=True, scales=_HRNET_SCALES, crop=520, stride=1.0),
        "cityscapes-ms-flip": InferenceSpec(flip=True, scales=_MSEG_SCALES),
    }
)
"""Settings by name.

- ``single-scale``: one pass at the size that the card gives, whatever the card's own ``inference`` says
- ``flip``: the same, plus a pass over the mirrored photo
- ``mseg-<short side>-flip``: MSeg's single-scale tester (mseg-dataset/mseg-semantic,
  ``tool/inference_task.py``, ``config/test``): window 473 for the 480p network, 593 for 720p, 713 for 1080p;
  its README says that 360 often looks best
- ``mseg-360-ms-flip``: its multi-scale configuration at short side 360
- ``cocostuff-ms-flip``, ``cityscapes-ms-flip``: the scales of HRNet's tables with multi-scale and flip
  (HRNet/HRNet-Semantic-Segmentation, ``lib/datasets/base_dataset.py``); windows only for the data
  set that needs them
"""


def preset(name: str) -> InferenceSpec:
    """Return the settings called ``name``; ValueError, which lists the known names, if there are none."""
    if name not in PRESETS:
        raise ValueError(f"inference: expected an InferenceSpec, {listed(PRESETS)}, got {name!r}")
    return PRESETS[name]


def inference_of(recipe_model: Mapping[str, Any]) -> InferenceSpec:
    """Return the settings in a recipe's ``model``, or the default ones if it has none."""
    return build(InferenceSpec, "inference.", recipe_model.get("inference") or {})
