# SPDX-License-Identifier: MIT
"""HRNet compared with an independent implementation (hrnet_reading.py); needs torch."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

from hrnet_reading import TINY, Reading, shaken  # noqa: E402
from semcbir.export.hrnet import W18_SMALL_V1, HRNet, HRNetSpec  # noqa: E402
from semcbir.export.ocr import HRNetOCR  # noqa: E402

SIZES = [(64, 64), (96, 128), (65, 97), (41, 33)]


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
        network = model(HRNetSpec.of(48), classes, align_corners=True)
    assert len(network.state_dict()) == entries
    assert sum(value.numel() for value in network.parameters()) == parameters


def test_names_and_shapes_of_w48() -> None:
    with torch.device("meta"):
        shapes = {
            name: tuple(value.shape)
            for name, value in HRNet(HRNetSpec.of(48), 171, align_corners=True).state_dict().items()
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
