# SPDX-License-Identifier: MIT
"""The vision transformer of DINOv2 in torch, with the parameter names of the official checkpoints.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; a learned scale on every residual (Touvron et
al., ICCV 2021); Oquab et al., "DINOv2", TMLR 2024. Only what gives the patches' tokens: no dropout, no heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from semcbir.networks.published import ViTSpec

EPSILON = 1e-6
"""Of the layer norms (facebookresearch/dinov2, b8931f7)."""
OFFSET = 0.1
"""Added to the number of cells when positions are interpolated, as DINOv2's S, B and L models do."""


class Attention(nn.Module):
    """Multi-head self-attention: each token becomes a mean of all, weighted by softmax(q k / sqrt(d))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.length = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, width) to the same shape."""
        tokens, width = map(int, x.shape[1:])  # numbers, which an exported graph holds as they are
        # (N, tokens, 3 * width) -> queries, keys, values, each (N, heads, tokens, d)
        queries, keys, values = (
            part.reshape(-1, tokens, self.heads, self.length).transpose(1, 2)
            for part in self.qkv(x).split(width, 2)
        )
        shares = torch.softmax(queries * self.length**-0.5 @ keys.transpose(2, 3), -1)
        mixed: Tensor = self.proj((shares @ values).transpose(1, 2).reshape(-1, tokens, width))
        return mixed


class MLP(nn.Module):
    """Two linear layers around a GELU, the exact one."""

    def __init__(self, width: int, inside: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inside)
        self.fc2 = nn.Linear(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, width) to the same shape."""
        mapped: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return mapped


class Scale(nn.Module):
    """Multiplies every component by a number of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, width) to the same shape."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and an MLP, each normalised before, scaled after, and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.attn = Attention(width, heads)
        self.ls1 = Scale(width)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.mlp = MLP(width, 4 * width)
        self.ls2 = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, width) to the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        mapped: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return mapped


class Patches(nn.Module):
    """A linear map of every patch of the image."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, side, side)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, width, h, w); what is left of a patch at the border is dropped."""
        patches: Tensor = self.proj(image)
        return patches


class ViT(nn.Module):
    """Maps images (N, 3, H, W) to the tokens of their patches after the last norm, (N, width, h, w)."""

    placed: Tensor | None

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        self.table = spec.table
        self.patch_embed = Patches(spec.width, spec.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + spec.table**2, spec.width))
        self.mask_token = nn.Parameter(torch.zeros(1, spec.width))  # for training only, but in the file
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width, EPSILON)
        self.register_buffer("placed", None, persistent=False)

    def place(self, height: int, width: int) -> None:
        """Compute the positions for grids of ``height`` x ``width`` now, so that a graph holds the numbers.

        From then on the network takes no other grid (ValueError). Load its weights before.
        """
        with torch.no_grad():
            self.placed = self.positions(height, width)

    def positions(self, height: int, width: int) -> Tensor:
        """Return the positions of a grid's cells: (1, length of a token, height, width).

        The table that was learned, or where the grid is of another size, the table interpolated bicubically
        (a = -0.75, the border repeated): cell i is at (i + 1/2) * table / (cells + 0.1) - 1/2.
        """
        table = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, self.table, self.table)
        if (height, width) == (self.table, self.table):
            return table
        scales = tuple((cells + OFFSET) / self.table for cells in (height, width))
        placed: Tensor = functional.interpolate(table, scale_factor=scales, mode="bicubic")
        return placed

    def forward(self, image: Tensor) -> Tensor:
        """Return the grid of vectors."""
        patches = self.patch_embed(image)
        height, width = map(int, patches.shape[2:])
        positions = self.positions(height, width) if self.placed is None else self.placed
        if positions.shape[2:] != (height, width):  # one row or column would be repeated
            placed, came = (" x ".join(map(str, sides)) for sides in (positions.shape[2:], (height, width)))
            raise ValueError(f"positions are placed for {placed} cells, got images of {came}")
        cells = (patches + positions).flatten(2).transpose(1, 2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(cells.shape[0], -1, -1)
        x = torch.cat([first, cells], 1)
        for block in self.blocks:
            x = block(x)
        grid: Tensor = self.norm(x)[:, 1:].transpose(1, 2).unflatten(2, (height, width))
        return grid
