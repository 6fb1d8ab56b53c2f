# SPDX-License-Identifier: MIT
"""A torch network with a known answer: it names the colour around a pixel, at stride 4; needs torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from semcbir.networks.draft import CardDraft
from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, SizeSpec
from tiny_models import BIAS, CLASSES, NOTHING, WEIGHTS

torch.set_num_threads(1)  # on networks this small, threads cost more than they save

SIZE = SizeSpec(rule="long_side", length=64, multiple=16)


def colour_network() -> nn.Module:
    """Convolution, batch normalisation and ReLU at stride 2, then the scores of tiny_models at stride 4.

    The first step splits every colour's local mean into its positive and its negative part, so that the ReLU
    loses nothing.
    """
    first = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
    last = nn.Conv2d(6, len(CLASSES), 3, 2, 1)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    weights = torch.from_numpy(WEIGHTS) * std
    bias = torch.from_numpy(BIAS).clone()
    bias[NOTHING] = -9
    with torch.no_grad():
        first.weight.zero_()
        for channel in range(3):
            first.weight[channel, channel] = 1 / 9
            first.weight[channel + 3, channel] = -1 / 9
        last.weight.copy_(torch.cat([weights, -weights], 1)[:, :, None, None].expand(-1, -1, 3, 3) / 9)
        last.bias.copy_(bias + torch.from_numpy(WEIGHTS) @ mean)  # type: ignore[union-attr]
    return nn.Sequential(first, nn.BatchNorm2d(6), nn.ReLU(), last).eval()


def colour_draft(**changes: Any) -> CardDraft:
    options = {
        "name": "colours",
        "classes": tuple(CLASSES),
        "size": SIZE,
        "align_corners": False,
        "licence": "MIT",
        "source": "made for the tests",
    }
    return CardDraft(**(options | changes))
