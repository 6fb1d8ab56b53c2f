# SPDX-License-Identifier: MIT
"""The parts of a model card: what goes in, what comes out, and how often a photo goes through.

Colours are red, green, blue, whatever order the model reads. A field that is not as described raises
ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from semcbir._validate import check_choice
from semcbir.networks.bounds import (
    MAX_MEAN,
    MAX_SCALES,
    MAX_STD,
    MIN_STD,
    check_pixels,
    check_total,
)
from semcbir.networks.fields import boolean, integer, mapping, number, sequence, text, three_numbers

LARGEST_CARD = 2**24
"""The most bytes of a card: one of 65,536 classes with long names has a few million."""
LARGEST_MODEL = 2**31
"""The most bytes of an ONNX file: protobuf, its encoding, cannot hold more."""
MAX_SIDE = 2**13
MAX_CLASSES = 2**16
"""Labels are uint8 or uint16."""
MAX_SCALE = 8.0
MAX_ASPECT = 4
"""Limit to longer / shorter side of a photo scaled by its shorter side, so that memory is bounded."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_COLOUR = (124, 116, 104)
"""``IMAGENET_MEAN`` as a colour."""

Kind = Literal["labels", "logits"]
"""What a model gives."""
KINDS: tuple[Kind, ...] = get_args(Kind)
Precision = Literal["fp32", "fp16", "int8"]
"""The numbers that a model computes with."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the graph's one input takes.

    ``mean`` and ``std`` refer to x / 255: the graph is given (x / 255 - mean) / std as float32. If both are
    None, it is given x itself, 0..255, as ``dtype``, and normalises it. ``colour`` is the order of the
    channels.
    """

    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8", "float32"]
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_choice("input.layout", self.layout, ("NCHW", "NHWC"))
        check_choice("input.dtype", self.dtype, ("uint8", "float32"))
        check_choice("input.colour", self.colour, ("RGB", "BGR"))
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
        if min(self.std) < MIN_STD or max(self.std) > MAX_STD:
            raise ValueError(
                f"input.std: expected numbers from {MIN_STD:g} to {MAX_STD:g}, got {list(self.std)}"
            )
        if max(map(abs, self.mean)) > MAX_MEAN:
            raise ValueError(
                f"input.mean: expected numbers from {-MAX_MEAN:g} to {MAX_MEAN:g}, got {list(self.mean)}"
            )

    def mean_colour(self) -> tuple[int, int, int]:
        """``mean`` as a colour 0..255, or ImageNet's if the graph normalises."""
        if self.mean is None:
            return IMAGENET_COLOUR
        red, green, blue = (min(255, max(0, round(255 * mean))) for mean in self.mean)
        return red, green, blue


@dataclass(frozen=True, kw_only=True)
class SizeSpec:
    """How a photo is placed on the canvas that the model sees.

    Rule "long_side": the photo is scaled, up or down, so that its longer side is ``length``, then padded at
    the bottom and the right with the colour ``pad``, 0..255, until both sides are ``multiple * n + offset``
    with n >= 1. A ``multiple`` of at least ``length`` gives every photo the same square canvas.

    Rule "squash": the photo is scaled to ``length`` x ``length``, whatever its ratio; nothing is padded, so
    ``multiple``, ``offset`` and ``pad`` keep their defaults.
    """

    rule: Literal["long_side", "squash"]
    length: int
    multiple: int = 1
    offset: int = 0
    pad: tuple[int, int, int] = IMAGENET_COLOUR

    def __post_init__(self) -> None:
        check_choice("size.rule", self.rule, ("long_side", "squash"))
        integer("size.length", self.length, 1, MAX_SIDE)
        integer("size.multiple", self.multiple, 1, MAX_SIDE)
        integer("size.offset", self.offset, 0, self.multiple - 1)
        check_pixels("size: a canvas", *self.canvas(self.length, self.length))
        pad = tuple(integer("size.pad", value, 0, 255) for value in sequence("size.pad", self.pad))
        if len(pad) != 3:
            raise ValueError(f"size.pad: expected 3 integers (red, green, blue), got {len(pad)}")
        if self.rule == "squash":
            if (self.multiple, self.offset) != (1, 0):
                raise ValueError(
                    "size.multiple and size.offset: the rule 'squash' pads nothing, expected 1 and 0, "
                    f"got {self.multiple} and {self.offset}"
                )
            pad = IMAGENET_COLOUR  # one spelling only, because recipes are compared
        object.__setattr__(self, "pad", pad)

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of a photo after scaling, each at least 1."""
        if self.rule == "squash":
            return self.length, self.length
        scale = self.length / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def at(self, scale: float) -> SizeSpec:
        """Return the rule with ``length`` scaled, at least 1."""
        return replace(self, length=min(MAX_SIDE, max(1, round(self.length * scale))))

    def n_canvases(self) -> int:
        """Return how many sizes of canvas the rule can make."""
        if self.rule == "squash":
            return 1
        sides = (self._side(self.length) - self._side(1)) // self.multiple + 1
        return 2 * sides - 1

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the canvas for a scaled photo of ``height`` x ``width``."""
        return self._side(height), self._side(width)

    def sides(self) -> set[int]:
        """Return the shortest and the longest side that a canvas can have."""
        shortest = self.length if self.rule == "squash" else 1
        return {self._side(shortest), self._side(self.length)}

    def _side(self, length: int) -> int:
        return self.multiple * max(1, -(-(length - self.offset) // self.multiple)) + self.offset


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What the graph gives: the output called ``name``, or the first one if that is None.

    "labels": a label map (N, h, w) or (N, 1, h, w) of any integer type. "logits": scores (N, classes, h, w).
    h x w may be coarser than the canvas. ``align_corners`` true: the outermost points are at the centres of
    the canvas's outermost pixels; false: h x w cells divide the canvas evenly, with a point in the middle of
    each.
    """

    kind: Kind
    align_corners: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        check_choice("output.kind", self.kind, KINDS)
        boolean("output.align_corners", self.align_corners)
        if self.name is not None:
            text("output.name", self.name)


@dataclass(frozen=True, kw_only=True)
class InferenceSpec:
    """How often, at which sizes and in which pieces a photo goes through a model that gives logits.

    The softmax probabilities of all passes are averaged before the argmax. The default is a single pass at
    the size that the card gives.

    - ``flip``: every pass is repeated over the mirrored photo.
    - ``scales``: sizes relative to the card's size, or to ``short_side``; each above 0.
    - ``short_side``: the length in pixels of the photo's shorter side at scale 1. The longer side gets at
      most ``MAX_ASPECT`` times as many pixels; a photo that would exceed this is scaled down. None: the
      card's size rule.
    - ``crop``: side of a square window that slides over the scaled photo in steps of ceil(``stride`` * crop);
      the last window of a row or column is moved back to end with the photo. A photo smaller than the
      window is padded. None: one pass over the whole canvas.
    - ``stride``: above 0, at most 1.
    - ``padding``: "end" pads at the bottom and right, "centre" on all sides (the odd pixel at the end).
    - ``taxonomy``: other classes than the model's own: each name maps to the model's classes whose
      probabilities are summed. The labels are numbered in its order. Classes that are not mentioned are
      dropped: they never win.
    - ``void``: the class of ``taxonomy`` whose pixels and keypoints do not count; without a taxonomy, the
      card's own ``void`` applies.

    Windows, flips, mean and softmax follow MSeg's tester (mseg-dataset/mseg-semantic).
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    short_side: int | None = None
    crop: int | None = None
    stride: float = 2 / 3
    padding: Literal["end", "centre"] = "end"
    taxonomy: Mapping[str, tuple[str, ...]] | None = field(default=None, hash=False)
    void: str | None = None

    def __post_init__(self) -> None:
        boolean("inference.flip", self.flip)
        scales = sequence("inference.scales", self.scales)
        if not scales:
            raise ValueError("inference.scales: expected at least one scale, got none")
        if len(scales) > MAX_SCALES:
            raise ValueError(f"inference.scales: expected at most {MAX_SCALES} scales, got {len(scales)}")
        object.__setattr__(
            self, "scales", tuple(number("inference.scales", scale, 0, MAX_SCALE) for scale in scales)
        )
        for name in ("short_side", "crop"):
            if getattr(self, name) is not None:
                integer(f"inference.{name}", getattr(self, name), 1, MAX_SIDE)
        if self.crop is not None:
            check_pixels("inference.crop: a window", self.crop, self.crop)
        object.__setattr__(self, "stride", number("inference.stride", self.stride, 0, 1))
        check_choice("inference.padding", self.padding, ("end", "centre"))
        self._check_taxonomy()

    def _check_taxonomy(self) -> None:
        if self.taxonomy is None:
            if self.void is not None:
                raise ValueError(
                    "inference.void: expected null, as without a taxonomy the card's void applies"
                )
            return
        taxonomy: dict[str, tuple[str, ...]] = {}
        sums: dict[str, str] = {}
        if len(mapping("inference.taxonomy", self.taxonomy)) > MAX_CLASSES:
            raise ValueError(
                f"inference.taxonomy: expected at most {MAX_CLASSES} classes, got {len(self.taxonomy)}"
            )
        for name, parts in self.taxonomy.items():
            key = f"inference.taxonomy.{text('inference.taxonomy', name)}"
            taxonomy[name] = tuple(text(key, part) for part in sequence(key, parts))
            for part in taxonomy[name]:
                if part in sums:
                    raise ValueError(f"{key}: {part!r} is in {sums[part]!r} already")
                sums[part] = name
        check_total("inference.taxonomy", [*taxonomy, *sums])
        if not sums:
            raise ValueError("inference.taxonomy: expected at least one class with a part, got none")
        if self.void is not None and self.void not in taxonomy:
            raise ValueError(f"inference.void: expected a class of the taxonomy, got {self.void!r}")
        object.__setattr__(self, "taxonomy", taxonomy)

    def scaled(self, height: int, width: int, size: SizeSpec) -> list[tuple[int, int]]:
        """Return the height and width of a photo at each scale, each at least 1; ``size`` is the card's."""
        if self.short_side is None:
            return [size.at(scale).scaled(height, width) for scale in self.scales]
        return [_by_short_side(height, width, max(1, round(self.short_side * s))) for s in self.scales]

    def canvas(self, height: int, width: int, size: SizeSpec) -> tuple[int, int]:
        """Return the height and width of the canvas for a scaled photo: at least a window."""
        if self.crop is None:
            return size.canvas(height, width)
        return max(self.crop, height), max(self.crop, width)

    def largest(self, size: SizeSpec) -> list[tuple[int, int]]:
        """Return the height and width of the largest photo at each scale, or of one as large turned."""
        if self.short_side is None:
            return [(side.length, side.length) for side in map(size.at, self.scales)]
        short = [max(1, round(self.short_side * scale)) for scale in self.scales]
        return [(side, MAX_ASPECT * side) for side in short]

    def starts(self, side: int) -> list[int]:
        """Return where the windows begin along a canvas's ``side``, ascending; only 0 without windows."""
        if self.crop is None:
            return [0]
        step = math.ceil(self.crop * self.stride)
        count = math.ceil((side - self.crop) / step) + 1
        return [min(number * step, side - self.crop) for number in range(count)]


def _by_short_side(height: int, width: int, short: int) -> tuple[int, int]:
    scale = min(short / min(height, width), MAX_ASPECT * short / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
