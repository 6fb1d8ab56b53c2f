# SPDX-License-Identifier: MIT
"""HRNet for semantic segmentation in torch, with the parameter names of the official checkpoints.

After Sun et al., "High-resolution representations for labeling pixels and regions" (arXiv:1904.04514):
branches, each at half the resolution of the one before, run in parallel and are fused after every module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class StageSpec:
    """A stage: its number of modules, and the blocks and channels of each branch."""

    modules: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class HRNetSpec:
    """An architecture: the number and width of the stem's bottlenecks, and stages 2 to 4."""

    stem_blocks: int
    stem_width: int
    stages: tuple[StageSpec, StageSpec, StageSpec]

    @classmethod
    def of(
        cls,
        width: int,
        *,
        blocks: int = 4,
        modules: tuple[int, int, int] = (1, 4, 3),
        stem_blocks: int = 4,
        stem_width: int = 64,
    ) -> HRNetSpec:
        """Return the usual family: branch i has ``width`` * 2^i channels, every branch ``blocks`` blocks."""
        stages = tuple(
            StageSpec(count, (blocks,) * branches, tuple(width * 2**i for i in range(branches)))
            for branches, count in enumerate(modules, 2)
        )
        return cls(stem_blocks, stem_width, stages)  # type: ignore[arg-type]


W18_SMALL_V1 = HRNetSpec.of(16, blocks=2, modules=(1, 1, 1), stem_blocks=1, stem_width=32)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Return a convolution without bias, batch normalisation, and a ReLU if asked for."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None if inputs == width else conv_bn(inputs, width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, width, h, w)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; gives four times ``width`` channels.

    The ``stride`` is that of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.downsample = None if same else conv_bn(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, 4 * width, h / stride, w / stride), rounded up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


class HighResolutionModule(nn.Module):
    """Parallel branches; then each becomes the sum of all, resampled to its resolution."""

    def __init__(self, spec: StageSpec, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks)))
            for blocks, width in zip(spec.blocks, spec.widths, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(spec.widths, source, target) for source in range(len(spec.widths)))
            for target in range(len(spec.widths))
        )

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        """Map one tensor for each branch to one tensor of the same shape for each branch."""
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            total: Tensor | None = None
            for source, layer in enumerate(layers):  # type: ignore[arg-type, var-annotated]
                y = layer(xs[source])
                if source > target:
                    y = resized(y, xs[target], align_corners=self.align_corners)
                total = y if total is None else total + y
            assert total is not None
            fused.append(functional.relu(total))
        return fused


def _fuse(widths: Sequence[int], source: int, target: int) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_bn(widths[source], widths[target], 1, relu=False)
    steps = [conv_bn(widths[source], widths[source], 3, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_bn(widths[source], widths[target], 3, 2, relu=False))


def resized(x: Tensor, like: Tensor, *, align_corners: bool) -> Tensor:
    """Resample ``x`` bilinearly to the height and width of ``like``."""
    return functional.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=align_corners)


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Return the layers from one stage's branches to the next stage's, which has one more at the end."""
    layers: list[nn.Module] = []
    for branch, width in enumerate(after):
        if branch < len(before):
            same = before[branch] == width
            layers.append(nn.Identity() if same else conv_bn(before[branch], width, 3))
        else:
            steps = branch - len(before) + 1
            outputs = [before[-1]] * (steps - 1) + [width]
            layers.append(nn.Sequential(*(conv_bn(before[-1], output, 3, 2) for output in outputs)))
    return nn.ModuleList(layers)


class HRNet(nn.Module):
    """HRNet: maps normalised RGB (N, 3, H, W) to scores (N, n_classes, ceil(H/4), ceil(W/4)).

    ``align_corners`` is for the upsampling inside (fuse layers and concatenation). Upsampling the scores to
    the image is left to the caller.
    """

    def __init__(self, spec: HRNetSpec, n_classes: int, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        width, channels = spec.stem_width, spec.stem_width * Bottleneck.expansion
        self.layer1 = nn.Sequential(
            *(Bottleneck(channels if i else 64, width) for i in range(spec.stem_blocks))
        )
        before: Sequence[int] = (channels,)
        for number, stage in enumerate(spec.stages, 1):
            setattr(self, f"transition{number}", _transition(before, stage.widths))
            modules = (HighResolutionModule(stage, align_corners=align_corners) for _ in range(stage.modules))
            setattr(self, f"stage{number + 1}", nn.Sequential(*modules))
            before = stage.widths
        total = sum(before)
        self.last_layer = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(), nn.Conv2d(total, n_classes, 1)
        )

    def features(self, x: Tensor) -> Tensor:
        """Return the four branches, upsampled to stride 4 and concatenated: (N, sum of widths, h, w)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        xs = [self.layer1(x)]
        for number in (1, 2, 3):
            layers = getattr(self, f"transition{number}")
            xs = [layer(xs[min(i, len(xs) - 1)]) for i, layer in enumerate(layers)]
            xs = getattr(self, f"stage{number + 1}")(xs)
        return torch.cat([xs[0], *(resized(x, xs[0], align_corners=self.align_corners) for x in xs[1:])], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores at stride 4."""
        scores: Tensor = self.last_layer(self.features(x))
        return scores
