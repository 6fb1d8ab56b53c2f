# SPDX-License-Identifier: MIT
"""The published encoders in torch, compared with independent implementations (encoder_reading.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

import encoder_reading as reading  # noqa: E402
from encoder_reading import as_weights, shaken  # noqa: E402
from semcbir.export.encoder_checkpoints import build_encoder  # noqa: E402
from semcbir.export.resnet import ResNet  # noqa: E402
from semcbir.export.vit import ViT  # noqa: E402
from semcbir.networks.published import ENCODERS, ViTSpec  # noqa: E402
from small_encoders import TINY_RESNET, TINY_VIT  # noqa: E402

torch.set_num_threads(1)  # on networks this small, threads cost more than they save


def images(*size: int) -> Any:
    torch.manual_seed(1)
    return torch.randn(2, 3, *size)


def run(model: Any, x: Any) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(x).numpy())


def assert_close(found: np.ndarray, expected: np.ndarray, share: float = 2e-5) -> None:
    """Rounding of float32, in parts of the largest number."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= share * np.abs(expected).max()


@pytest.mark.parametrize("size", [(20, 20), (12, 12), (32, 32), (8, 28), (4, 4), (23, 17)])
def test_the_transformer(size: tuple[int, int]) -> None:
    """Grids of the table's size, smaller, larger, not square, of one cell; the rest of a patch is dropped."""
    model = shaken(ViT(TINY_VIT))
    x = images(*size)
    expected = reading.vit(as_weights(model.state_dict()), x.double().numpy(), TINY_VIT.heads)
    assert expected.shape == (2, 12, size[0] // 4, size[1] // 4)
    assert_close(run(model, x), expected)


@pytest.mark.parametrize("left_out", ["cls_token", "pos_embed", "ls1.gamma", "norm.weight", "attn.qkv.bias"])
def test_the_comparison_sees_every_part(left_out: str) -> None:
    model = shaken(ViT(TINY_VIT))
    x = images(16, 16)
    weights = as_weights(model.state_dict())
    for name in weights:
        if name.endswith(left_out):
            weights[name] = np.zeros_like(weights[name])
    other = reading.vit(weights, x.double().numpy(), TINY_VIT.heads)
    assert np.abs(run(model, x) - other).max() > 0.01 * np.abs(other).max()


def test_the_mask_token_is_not_used() -> None:
    model = shaken(ViT(TINY_VIT))
    x = images(16, 16)
    before = run(model, x)
    with torch.no_grad():
        model.mask_token.add_(9)
    assert np.array_equal(run(model, x), before)


@pytest.mark.parametrize("grid", [(16, 16), (37, 37), (1, 1), (24, 11), (52, 40)])
def test_positions_are_interpolated_as_published(grid: tuple[int, int]) -> None:
    """From DINOv2's table of 37 x 37, against a direct bicubic sum in float64."""
    model = shaken(ViT(ViTSpec(width=3, depth=1, heads=1, patch=2, table=37)))
    with torch.no_grad():
        found = model.positions(*grid)[0].permute(1, 2, 0).numpy()
    table = model.pos_embed[0, 1:].detach().double().numpy().reshape(37, 37, 3)
    expected = reading.interpolated(table, *grid)
    if grid == (37, 37):
        assert np.array_equal(found, table.astype(np.float32))
    assert np.abs(found - expected).max() < 3e-5


def test_rows_of_the_table_are_rows_of_the_grid() -> None:
    model = ViT(ViTSpec(width=2, depth=1, heads=1, patch=2, table=37))
    with torch.no_grad():
        rows, columns = torch.meshgrid(torch.arange(37.0), torch.arange(37.0), indexing="ij")
        model.pos_embed[0, 1:] = torch.stack([rows.flatten(), columns.flatten()], 1)
        found = model.positions(16, 16)[0].numpy()
    centres = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    inside = slice(1, 15)  # away from the border, where the table is repeated
    # With a = -0.75 the kernel gives a straight line back only nearly.
    assert np.abs(found[0, inside, inside] - centres[inside, None]).max() < 0.1
    assert np.abs(found[1, inside, inside] - centres[inside]).max() < 0.1


def test_placed_positions_are_those_of_the_size() -> None:
    model = shaken(ViT(TINY_VIT))
    x = images(28, 28)
    before, names = run(model, x), list(model.state_dict())
    model.place(7, 7)
    assert np.array_equal(run(model, x), before)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("placed", [(7, 7), (1, 7), (7, 1), (1, 1)])
def test_a_placed_network_takes_no_other_grid(placed: tuple[int, int]) -> None:
    model = shaken(ViT(TINY_VIT))
    model.place(*placed)
    assert run(model, images(4 * placed[0], 4 * placed[1])).shape[2:] == placed
    said = f"placed for {placed[0]} x {placed[1]} cells, got images of 7 x 8$"
    with pytest.raises(ValueError, match=said):
        model(images(28, 32))


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (16, 96)])
def test_the_residual_network(size: tuple[int, int]) -> None:
    model = shaken(ResNet(TINY_RESNET))
    x = images(*size)
    expected = reading.resnet(as_weights(model.state_dict()), x.double().numpy())
    assert expected.shape == (2, 64, -(-size[0] // 16), -(-size[1] // 16))
    assert (expected > 0).any()
    assert_close(run(model, x), expected)


def test_the_classifier_is_not_used() -> None:
    model = shaken(ResNet(TINY_RESNET))
    x = images(32, 32)
    before = run(model, x)
    with torch.no_grad():
        model.fc.weight.add_(9)
    assert np.array_equal(run(model, x), before)


# --- names and sizes of the published networks --------------------------------------------------------------


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = build_encoder(ENCODERS[name].architecture)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "parameters"),
    # torchvision's page of resnet50 has the number; those of DINOv2 follow from its shapes
    [("resnet50", 25_557_032), ("dinov2-vits14", 22_056_576), ("dinov2-vitb14", 86_580_480)],
)
def test_the_published_sizes(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = build_encoder(ENCODERS[name].architecture)
    assert sum(value.numel() for value in model.parameters()) == parameters
    stored = 4 * sum(value.numel() for value in model.state_dict().values())
    assert stored == pytest.approx(ENCODERS[name].checkpoint.about, rel=0.005)


@pytest.mark.parametrize(("name", "width"), [("dinov2-vits14", 384), ("dinov2-vitb14", 768)])
def test_names_and_shapes_of_dinov2(name: str, width: int) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + 37 * 37, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(12):
        layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        layers |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for layer, shape in layers.items():
            expected[f"blocks.{block}.{layer}.weight"] = shape
            expected[f"blocks.{block}.{layer}.bias"] = shape[:1]
        for layer in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"):
            expected[f"blocks.{block}.{layer}"] = (width,)
    assert shapes(name) == expected


def test_names_and_shapes_of_resnet50() -> None:
    expected: dict[str, tuple[int, ...]] = {
        "conv1.weight": (64, 3, 7, 7),
        "fc.weight": (1000, 2048),
        "fc.bias": (1000,),
    }

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{name}.{part}"] = (channels,)
        expected[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        inside = 32 * 2**stage
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            kernels = ((inside, channels, 1), (inside, inside, 3), (4 * inside, inside, 1))
            for number, (out, into, side) in enumerate(kernels, 1):
                expected[f"{name}.conv{number}.weight"] = (out, into, side, side)
                norm(f"{name}.bn{number}", out)
            if block == 0:
                expected[f"{name}.downsample.0.weight"] = (4 * inside, channels, 1, 1)
                norm(f"{name}.downsample.1", 4 * inside)
            channels = 4 * inside
    assert shapes("resnet50") == expected
