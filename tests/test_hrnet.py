# SPDX-License-Identifier: MIT
"""HRNet against a second reading of its definition, written on parameter names alone; needs torch."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

from torch.nn import functional  # noqa: E402

from semcbir.export.hrnet import W18_SMALL_V1, W48, HRNet, HRNetSpec  # noqa: E402
from semcbir.export.ocr import HRNetOCR  # noqa: E402

TINY = HRNetSpec.of(4, blocks=2, modules=(1, 2, 1), stem_blocks=2, stem_width=8)
SIZES = [(64, 64), (96, 128), (65, 97), (41, 33)]


class Reading:
    """The forward pass step by step, every weight looked up by the name that the checkpoints use."""

    def __init__(self, weights: dict[str, Any], align_corners: bool) -> None:
        self.weights = weights
        self.align_corners = align_corners

    def has(self, prefix: str) -> bool:
        return any(name.startswith(prefix + ".") for name in self.weights)

    def conv(self, name: str, x: Any, stride: int = 1) -> Any:
        weight = self.weights[f"{name}.weight"]
        padding = weight.shape[-1] // 2
        return functional.conv2d(x, weight, self.weights.get(f"{name}.bias"), stride, padding)

    def bn(self, name: str, x: Any) -> Any:
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(self.weights[f"{name}.{part}"] for part in names), False, 0.1, 1e-5)

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
    """The network with batch statistics and scales that are not those of a fresh one."""
    torch.manual_seed(3)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            value.normal_(0, 0.2)
        elif value.ndim == 1:
            value.uniform_(-1.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_simple_head(size: tuple[int, int], align_corners: bool) -> None:
    model = shaken(HRNet(TINY, 7, align_corners=align_corners))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        reading = Reading(model.state_dict(), align_corners)
        expected = reading.head("last_layer", reading.features(x, TINY))
        found = model(x)
    assert found.shape == (2, 7, -(-size[0] // 4), -(-size[1] // 4))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_ocr_head(size: tuple[int, int]) -> None:
    model = shaken(HRNetOCR(TINY, 7))
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        reading = Reading(model.state_dict(), True)
        expected = reading.ocr(reading.features(x, TINY))
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "classes", "entries", "parameters"),
    [
        (HRNet, 171, 1839, 65_968_971),
        (HRNet, 19, 1839, 65_859_379),
        (HRNet, 194, 1839, 65_985_554),
        (HRNetOCR, 171, 1890, 70_560_246),
    ],
)
def test_w48_has_the_published_sizes(model: Any, classes: int, entries: int, parameters: int) -> None:
    with torch.device("meta"):
        network = model(W48, classes, align_corners=True)
    assert len(network.state_dict()) == entries
    assert sum(value.numel() for value in network.parameters()) == parameters


def test_names_and_shapes_of_w48() -> None:
    with torch.device("meta"):
        shapes = {
            name: tuple(value.shape)
            for name, value in HRNet(W48, 171, align_corners=True).state_dict().items()
        }
    for name, shape in {
        "conv1.weight": (64, 3, 3, 3),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.3.conv3.weight": (256, 64, 1, 1),
        "transition1.0.0.weight": (48, 256, 3, 3),
        "transition1.1.0.0.weight": (96, 256, 3, 3),
        "transition2.2.0.0.weight": (192, 96, 3, 3),
        "transition3.3.0.0.weight": (384, 192, 3, 3),
        "stage2.0.branches.1.3.conv2.weight": (96, 96, 3, 3),
        "stage3.3.fuse_layers.2.0.0.0.weight": (48, 48, 3, 3),
        "stage3.3.fuse_layers.2.0.1.0.weight": (192, 48, 3, 3),
        "stage4.2.fuse_layers.0.3.0.weight": (48, 384, 1, 1),
        "stage4.2.fuse_layers.0.3.1.running_var": (48,),
        "last_layer.0.weight": (720, 720, 1, 1),
        "last_layer.0.bias": (720,),
        "last_layer.1.num_batches_tracked": (),
        "last_layer.3.weight": (171, 720, 1, 1),
    }.items():
        assert shapes[name] == shape, name
    assert "transition2.0.0.weight" not in shapes


def test_the_small_one() -> None:
    with torch.device("meta"):
        network = HRNet(W18_SMALL_V1, 19, align_corners=False)
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 1) == 1.5
