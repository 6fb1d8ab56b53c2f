# SPDX-License-Identifier: MIT
"""ResNet of bottlenecks in torch, with the parameter names of torchvision's checkpoints.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. torchvision puts the stride of a stage
on the 3 x 3 convolution of its first bottleneck, the paper on the 1 x 1 before it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from semcbir.export.hrnet import Bottleneck
from semcbir.networks.published import ResNetSpec


class ResNet(nn.Module):
    """Maps images (N, 3, H, W) to the last feature map, (N, dim, h, w); nothing is pooled or classified."""

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, spec.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(spec.width)
        channels = spec.width
        self.stages = len(spec.blocks)
        for stage, blocks in enumerate(spec.blocks):
            inside = spec.width * 2**stage
            layers = []
            for block in range(blocks):
                layers.append(Bottleneck(channels, inside, 2 if stage and not block else 1))
                channels = Bottleneck.expansion * inside
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(spec.dim, spec.n_classes)  # the classifier: not used, but in the file

    def forward(self, image: Tensor) -> Tensor:
        """Return the grid of vectors."""
        x = functional.relu(self.bn1(self.conv1(image)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x
