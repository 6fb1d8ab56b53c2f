# SPDX-License-Identifier: MIT
"""The options of an export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semcbir._files import PathLike
from semcbir._validate import check_choice, check_integer
from semcbir.errors import ModelError
from semcbir.networks.specs import KINDS, PRECISIONS, Kind, Precision


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export a model.

    - ``precision``: "fp16" is for CUDA, "int8" for the CPU; int8 needs ``calibration``
    - ``kind``: what the graph gives, "labels" or "logits"
    - ``photos``: a folder of photos on which to compare the export with torch; None: generated pictures
    - ``calibration``: a folder of photos from which int8 takes its ranges; for int8 only
    - ``label_stride``: labels have 1 / this of the canvas's sides, rounded up; for the kind "labels" only
    - ``on_step``: called with a sentence before every step

    Raises ValueError or TypeError for any other value, and ModelError if int8 has no calibration or another
    precision has one.
    """

    precision: Precision = "fp32"
    kind: Kind = "labels"
    photos: PathLike | None = None
    calibration: PathLike | None = None
    label_stride: int = 1
    on_step: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("kind", self.kind, KINDS)
        check_integer("label_stride", self.label_stride, 1)
        if (self.precision == "int8") != (self.calibration is not None):
            needs = (
                "takes no calibration" if self.calibration else "needs a folder of photos to calibrate with"
            )
            raise ModelError(f"precision {self.precision} {needs}")
        for name in ("photos", "calibration"):
            if (folder := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(folder))
