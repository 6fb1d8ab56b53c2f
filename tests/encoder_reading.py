# SPDX-License-Identifier: MIT
"""Independent implementations of the published encoders in NumPy, float64, from the papers' formulas.

Weights are looked up by the names that the checkpoints use; nothing of the package or of torch is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def as_weights(state: dict[str, Any]) -> Weights:
    """The state of a torch network as float64 arrays."""
    return {key: value.numpy().astype(np.float64) for key, value in state.items()}


# --- the vision transformer ---------------------------------------------------------------------------------

erf = np.vectorize(math.erf)


def layer_norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attention(w: Weights, name: str, x: np.ndarray, heads: int) -> np.ndarray:
    """One image's tokens (tokens, width): eq. 6 to 8 of the ViT paper, a head at a time."""
    width = x.shape[1]
    d = width // heads
    whole = linear(w, f"{name}.qkv", x)
    mixed = np.empty_like(x)
    for head in range(heads):
        q, k, v = (whole[:, part * width + head * d : part * width + (head + 1) * d] for part in range(3))
        scores = q @ k.T / math.sqrt(d)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        mixed[:, head * d : (head + 1) * d] = shares / shares.sum(1, keepdims=True) @ v
    return linear(w, f"{name}.proj", mixed)


def cubic(t: float) -> float:
    """Keys' kernel with a = -3/4."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def interpolated(table: np.ndarray, height: int, width: int) -> np.ndarray:
    """A table (M, M, D) at height x width points, bicubic, the border repeated, as DINOv2 places them."""
    m = len(table)
    if (height, width) == (m, m):
        return table
    out = np.zeros((height, width, table.shape[2]))
    for i in range(height):
        y = (i + 0.5) * m / (height + 0.1) - 0.5
        for j in range(width):
            x = (j + 0.5) * m / (width + 0.1) - 0.5
            for row in range(math.floor(y) - 1, math.floor(y) + 3):
                for column in range(math.floor(x) - 1, math.floor(x) + 3):
                    there = table[min(max(row, 0), m - 1), min(max(column, 0), m - 1)]
                    out[i, j] += cubic(y - row) * cubic(x - column) * there
    return out


def vit(w: Weights, images: np.ndarray, heads: int) -> np.ndarray:
    """Images (N, 3, H, W), normalised, to grids (N, D, h, w)."""
    kernel = w["patch_embed.proj.weight"]
    dim, _, side, _ = kernel.shape
    h, w_cells = images.shape[2] // side, images.shape[3] // side
    m = math.isqrt(w["pos_embed"].shape[1] - 1)
    places = interpolated(w["pos_embed"][0, 1:].reshape(m, m, dim), h, w_cells)
    depth = 1 + max(int(key.split(".")[1]) for key in w if key.startswith("blocks."))
    grids = []
    for image in images:
        tokens = [w["cls_token"][0, 0] + w["pos_embed"][0, 0]]
        for i in range(h):
            for j in range(w_cells):
                patch = image[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
                embedded = np.tensordot(kernel, patch, 3) + w["patch_embed.proj.bias"]
                tokens.append(embedded + places[i, j])
        x = np.stack(tokens)
        for block in range(depth):
            b = f"blocks.{block}"
            x = x + w[f"{b}.ls1.gamma"] * attention(w, f"{b}.attn", layer_norm(w, f"{b}.norm1", x), heads)
            inside = linear(w, f"{b}.mlp.fc1", layer_norm(w, f"{b}.norm2", x))
            inside = inside * (1 + erf(inside / math.sqrt(2))) / 2  # GELU
            x = x + w[f"{b}.ls2.gamma"] * linear(w, f"{b}.mlp.fc2", inside)
        grids.append(layer_norm(w, "norm", x)[1:].T.reshape(dim, h, w_cells))
    return np.stack(grids)


# --- the residual network -----------------------------------------------------------------------------------


def conv(weight: np.ndarray, x: np.ndarray, stride: int) -> np.ndarray:
    """(N, C, H, W) by a square kernel, zeros around, as many as keep the size at stride 1."""
    side = weight.shape[-1]
    pad = side // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    h, w = ((length + 2 * pad - side) // stride + 1 for length in x.shape[2:])
    out = np.zeros((len(x), len(weight), h, w))
    for i in range(side):
        for j in range(side):
            part = padded[:, :, i : i + stride * h : stride, j : j + stride * w : stride][:, :, :h, :w]
            out += np.einsum("oc,nchw->nohw", weight[:, :, i, j], part)
    return out


def batch_norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, shift = (w[f"{name}.{part}"][:, None, None] for part in names)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def max_pool(x: np.ndarray) -> np.ndarray:
    """The largest of 3 x 3 at every second place."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    h, w = ((length - 1) // 2 + 1 for length in x.shape[2:])
    parts = [
        padded[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2][:, :, :h, :w] for i in range(3) for j in range(3)
    ]
    return np.max(parts, axis=0)


def bottleneck(w: Weights, name: str, x: np.ndarray, stride: int) -> np.ndarray:
    y = x
    for number, step in ((1, 1), (2, stride), (3, 1)):  # torchvision: the stride is on the 3 x 3
        y = batch_norm(w, f"{name}.bn{number}", conv(w[f"{name}.conv{number}.weight"], y, step))
        if number < 3:
            y = np.maximum(y, 0)
    if f"{name}.downsample.0.weight" in w:
        x = batch_norm(w, f"{name}.downsample.1", conv(w[f"{name}.downsample.0.weight"], x, stride))
    return np.maximum(x + y, 0)


def resnet(w: Weights, images: np.ndarray) -> np.ndarray:
    """Images (N, 3, H, W), normalised, to the last feature map."""
    x = np.maximum(batch_norm(w, "bn1", conv(w["conv1.weight"], images, 2)), 0)
    x = max_pool(x)
    stage = 1
    while f"layer{stage}.0.conv1.weight" in w:
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in w:
            x = bottleneck(w, f"layer{stage}.{block}", x, 2 if stage > 1 and block == 0 else 1)
            block += 1
        stage += 1
    return x


def shaken(model: Any) -> Any:
    """Give every parameter and statistic of a torch network numbers that a new network does not have."""
    import torch

    torch.manual_seed(11)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith(("gamma", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.1.weight")):
                value.uniform_(-1.5, 1.5)
            elif name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("cls_token", "pos_embed", "mask_token", "bias", "running_mean")):
                value.normal_(0, 0.5)
            elif value.is_floating_point():
                value.normal_(0, value[0].numel() ** -0.5)
    return model.eval()
