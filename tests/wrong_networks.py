# SPDX-License-Identifier: MIT
"""Networks in torch that no export can make a model of."""

from __future__ import annotations

import torch
from torch import nn


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of order")
