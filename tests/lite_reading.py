# SPDX-License-Identifier: MIT
"""EfficientNet-Lite read independently, from a table of its published blocks; needs torch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

STARTS = {
    "efficientnet-lite0": (0, 1, 3, 5, 8, 11, 15),
    "efficientnet-lite1": (0, 1, 4, 7, 11, 15, 20),
    "efficientnet-lite2": (0, 1, 4, 7, 11, 15, 20),
}
"""The number of the first block of each of the seven stages, which alone may halve the sides."""
HALVING = (False, True, True, True, False, True, False)


class Reading:
    """The network whose weights are in ``state``, run without folding, in float64."""

    def __init__(self, name: str, state: dict[str, Tensor]) -> None:
        self.state = {key: value.double() for key, value in state.items()}
        self.first = dict(zip(STARTS[name], HALVING, strict=True))

    def features(self, photos: Any) -> Tensor:
        """The feature map (N, 1280, h, w) of photos (N, H, W, 3), 0..255."""
        x = torch.as_tensor(photos).permute(0, 3, 1, 2).double() / 127.5 - 1
        x = self.norm(self.same(x, "_conv_stem", 2), "_bn0").clamp(0, 6)
        number = 0
        while f"_blocks.{number}._project_conv.weight" in self.state:
            x = self.block(x, f"_blocks.{number}.", self.first.get(number, False), number in self.first)
            number += 1
        return self.norm(self.same(x, "_conv_head"), "_bn1").clamp(0, 6)

    def block(self, x: Tensor, name: str, halves: bool, first: bool) -> Tensor:
        y = x
        if f"{name}_expand_conv.weight" in self.state:
            y = self.norm(self.same(y, f"{name}_expand_conv"), f"{name}_bn0").clamp(0, 6)
        y = self.same(y, f"{name}_depthwise_conv", 2 if halves else 1, groups=y.shape[1])
        y = self.norm(y, f"{name}_bn1").clamp(0, 6)
        y = self.norm(self.same(y, f"{name}_project_conv"), f"{name}_bn2")
        return y if first else x + y

    def same(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        """A convolution with TensorFlow's padding "SAME"."""
        weight = self.state[f"{name}.weight"]
        pads: list[int] = []
        for side, kernel in ((x.shape[3], weight.shape[3]), (x.shape[2], weight.shape[2])):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(self, x: Tensor, name: str) -> Tensor:
        part = [self.state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *part, eps=1e-3)
