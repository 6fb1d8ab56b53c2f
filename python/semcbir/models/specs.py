# SPDX-License-Identifier: MIT
"""The parts of a model card that say what goes into a network and what comes out.

Every colour is given as red, green, blue, whatever order the network reads. A field that is not as described
raises ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semcbir.models._checks import boolean, integer, one_of, sequence, text, three_numbers

MAX_SIDE = 2**13
_IMAGENET_MEAN = (124, 116, 104)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the graph's one input takes.

    ``mean`` and ``std`` are those of x / 255: the graph is given (x / 255 - mean) / std as float32. Where
    both are None it is given x itself, 0..255, as ``dtype``, and normalises on its own. ``colour`` is the
    order of the channels.
    """

    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8", "float32"]
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        one_of("input.layout", self.layout, ("NCHW", "NHWC"))
        one_of("input.dtype", self.dtype, ("uint8", "float32"))
        one_of("input.colour", self.colour, ("RGB", "BGR"))
        if (self.mean is None) != (self.std is None):
            raise ValueError("input.mean and input.std: expected both or neither")
        if self.mean is None or self.std is None:
            return
        if self.dtype == "uint8":
            raise ValueError("input.mean: a uint8 input is normalised by the graph, expected null")
        object.__setattr__(self, "mean", three_numbers("input.mean", self.mean))
        object.__setattr__(self, "std", three_numbers("input.std", self.std))
        if min(self.std) <= 0:
            raise ValueError(f"input.std: expected numbers above 0, got {list(self.std)}")

    def mean_colour(self) -> tuple[int, int, int]:
        """``mean`` as a colour 0..255, that of ImageNet where the graph normalises."""
        if self.mean is None:
            return _IMAGENET_MEAN
        red, green, blue = (min(255, max(0, round(255 * mean))) for mean in self.mean)
        return red, green, blue


@dataclass(frozen=True, kw_only=True)
class SizeSpec:
    """How a photo is laid on the canvas that the network sees.

    Rule "long_side": the photo is scaled, up or down, so that its longer side is ``length``, then padded at
    the bottom and the right with the colour ``pad``, 0..255, until both sides are ``multiple * n + offset``
    with n >= 1. A ``multiple`` of at least ``length`` gives every photo the same square canvas.
    """

    rule: Literal["long_side"]
    length: int
    multiple: int = 1
    offset: int = 0
    pad: tuple[int, int, int] = _IMAGENET_MEAN

    def __post_init__(self) -> None:
        one_of("size.rule", self.rule, ("long_side",))
        integer("size.length", self.length, 1, MAX_SIDE)
        integer("size.multiple", self.multiple, 1, MAX_SIDE)
        integer("size.offset", self.offset, 0, self.multiple - 1)
        pad = tuple(integer("size.pad", value, 0, 255) for value in sequence("size.pad", self.pad))
        if len(pad) != 3:
            raise ValueError(f"size.pad: expected 3 integers (red, green, blue), got {len(pad)}")
        object.__setattr__(self, "pad", pad)

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a photo after scaling, each at least 1."""
        scale = self.length / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the canvas that holds a scaled photo of ``height`` x ``width``."""
        return self._side(height), self._side(width)

    def _side(self, length: int) -> int:
        return self.multiple * max(1, -(-(length - self.offset) // self.multiple)) + self.offset


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What the graph gives: the output called ``name``, or its first one where that is None.

    "labels": a label map (N, h, w) or (N, 1, h, w) of any integer type. "logits": scores (N, classes, h,
    w). h x w may be coarser than the canvas. ``align_corners`` true: the outermost points lie on the
    centres of the canvas's outermost pixels; false: h x w cells divide the canvas evenly, each point in the
    middle of its own.
    """

    kind: Literal["labels", "logits"]
    align_corners: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        one_of("output.kind", self.kind, ("labels", "logits"))
        boolean("output.align_corners", self.align_corners)
        if self.name is not None:
            text("output.name", self.name)
