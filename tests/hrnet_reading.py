# SPDX-License-Identifier: MIT
"""An independent implementation of HRNet, written from the parameter names alone; needs torch."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from semcbir.export.hrnet import HRNetSpec

torch.set_num_threads(1)  # on networks this small, threads cost more than they save

TINY = HRNetSpec.of(4, blocks=2, modules=(1, 2, 1), stem_blocks=2, stem_width=8)


class Reading:
    """The forward pass step by step, every weight looked up by the name that the checkpoints use."""

    def __init__(self, weights: dict[str, Any], align_corners: bool, inplace_abn: bool = False) -> None:
        self.weights = weights
        self.align_corners = align_corners
        self.inplace_abn = inplace_abn

    def has(self, prefix: str) -> bool:
        return any(name.startswith(prefix + ".") for name in self.weights)

    def conv(self, name: str, x: Any, stride: int = 1) -> Any:
        weight = self.weights[f"{name}.weight"]
        padding = weight.shape[-1] // 2
        return functional.conv2d(x, weight, self.weights.get(f"{name}.bias"), stride, padding)

    def bn(self, name: str, x: Any) -> Any:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (self.weights[f"{name}.{part}"] for part in names)
        if self.inplace_abn:  # mapillary/inplace_abn scales by |gamma| + eps
            weight = weight.abs() + 1e-5
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.1, 1e-5)

    def resize(self, x: Any, like: Any) -> Any:
        size, corners = like.shape[-2:], self.align_corners
        return functional.interpolate(x, size, mode="bilinear", align_corners=corners)

    def shortcut(self, name: str, x: Any) -> Any:
        if not self.has(f"{name}.downsample"):
            return x
        return self.bn(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x))

    def basic(self, name: str, x: Any) -> Any:
        y = self.bn(f"{name}.bn1", self.conv(f"{name}.conv1", x)).relu()
        y = self.bn(f"{name}.bn2", self.conv(f"{name}.conv2", y))
        return (y + self.shortcut(name, x)).relu()

    def bottleneck(self, name: str, x: Any) -> Any:
        y = self.bn(f"{name}.bn1", self.conv(f"{name}.conv1", x)).relu()
        y = self.bn(f"{name}.bn2", self.conv(f"{name}.conv2", y)).relu()
        y = self.bn(f"{name}.bn3", self.conv(f"{name}.conv3", y))
        return (y + self.shortcut(name, x)).relu()

    def down(self, name: str, x: Any, steps: int, last_relu: bool) -> Any:
        for step in range(steps):
            x = self.bn(f"{name}.{step}.1", self.conv(f"{name}.{step}.0", x, 2))
            if step < steps - 1 or last_relu:
                x = x.relu()
        return x

    def module(self, name: str, xs: list[Any], blocks: int) -> list[Any]:
        for branch in range(len(xs)):
            for block in range(blocks):
                xs[branch] = self.basic(f"{name}.branches.{branch}.{block}", xs[branch])
        fused = []
        for i in range(len(xs)):
            total = 0
            for j in range(len(xs)):
                layer = f"{name}.fuse_layers.{i}.{j}"
                if j == i:
                    y = xs[j]
                elif j > i:
                    y = self.resize(self.bn(f"{layer}.1", self.conv(f"{layer}.0", xs[j])), xs[i])
                else:
                    y = self.down(layer, xs[j], i - j, last_relu=False)
                total = total + y
            fused.append(total.relu())
        return fused

    def features(self, x: Any, spec: HRNetSpec) -> Any:
        x = self.bn("bn1", self.conv("conv1", x, 2)).relu()
        x = self.bn("bn2", self.conv("conv2", x, 2)).relu()
        for block in range(spec.stem_blocks):
            x = self.bottleneck(f"layer1.{block}", x)
        xs = [x]
        for stage, (modules, blocks) in enumerate(((s.modules, s.blocks[0]) for s in spec.stages), 2):
            transition = f"transition{stage - 1}"
            before = list(xs)
            for branch in range(stage):
                if branch >= len(before):
                    xs.append(self.down(f"{transition}.{branch}", before[-1], 1, last_relu=True))
                elif self.has(f"{transition}.{branch}"):
                    y = self.conv(f"{transition}.{branch}.0", before[branch])
                    xs[branch] = self.bn(f"{transition}.{branch}.1", y).relu()
            for module in range(modules):
                xs = self.module(f"stage{stage}.{module}", xs, blocks)
        return torch.cat([xs[0], *(self.resize(x, xs[0]) for x in xs[1:])], 1)

    def head(self, name: str, x: Any) -> Any:
        return self.conv(f"{name}.3", self.bn(f"{name}.1", self.conv(f"{name}.0", x)).relu())

    def projection(self, name: str, x: Any, count: int) -> Any:
        for step in range(0, 2 * count, 2):
            x = self.bn(f"{name}.{step + 1}.0", self.conv(f"{name}.{step}", x)).relu()
        return x

    def ocr(self, features: Any) -> Any:
        auxiliary = self.head("aux_head", features)
        pixels = self.bn("conv3x3_ocr.1", self.conv("conv3x3_ocr.0", features)).relu()
        n, channels, h, w = pixels.shape
        shares = torch.softmax(auxiliary.reshape(n, -1, h * w), 2)
        objects = torch.einsum("ncp,nfp->nfc", shares, pixels.reshape(n, channels, -1))[..., None]
        block = "ocr_distri_head.object_context_block"
        query = self.projection(f"{block}.f_pixel", pixels, 2).flatten(2)
        key = self.projection(f"{block}.f_object", objects, 2).flatten(2)
        value = self.projection(f"{block}.f_down", objects, 1).flatten(2)
        weights = torch.softmax(torch.einsum("nfp,nfc->npc", query, key) / query.shape[1] ** 0.5, -1)
        context = torch.einsum("npc,nfc->nfp", weights, value).reshape(n, -1, h, w)
        context = self.projection(f"{block}.f_up", context, 1)
        joined = torch.cat([context, pixels], 1)
        joined = self.projection("ocr_distri_head.conv_bn_dropout", joined, 1)
        return self.conv("cls_head", joined)


def shaken(model: Any) -> Any:
    """Give the network batch statistics and scales other than a new network's."""
    torch.manual_seed(3)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            value.normal_(0, 0.2)
        elif value.ndim == 1:
            value.uniform_(-1.5, 1.5)
    return model.eval()


def balanced(model: Any, inputs: Any) -> Any:
    """Change the last convolution so that every class scores 0 +- 1 over ``inputs``."""
    last = model.cls_head if hasattr(model, "cls_head") else model.last_layer[3]
    with torch.no_grad():
        scores = model(inputs)
        mean, std = scores.mean((0, 2, 3)), scores.std((0, 2, 3))
        last.bias.copy_((last.bias - mean) / std)
        last.weight.div_(std[:, None, None, None])
    return model
