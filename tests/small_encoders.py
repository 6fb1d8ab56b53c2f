# SPDX-License-Identifier: MIT
"""Small stand-ins for the published encoders: the same architectures, few numbers."""

from __future__ import annotations

from typing import Any

from semcbir.networks.draft import EncoderDraft
from semcbir.networks.published import Download, EncoderSpec, PublishedEncoder, ResNetSpec, ViTSpec
from semcbir.networks.specs import SizeSpec

TINY_VIT = ViTSpec(width=12, depth=3, heads=3, patch=4, table=5)
TINY_RESNET = ResNetSpec(blocks=(2, 1, 2), width=4, n_classes=7)
SIDE = 32


def made_encoder(spec: EncoderSpec = TINY_VIT, name: str = "made", **facts: Any) -> PublishedEncoder:
    """A published encoder for photos of 32 x 32; ``facts`` are about its checkpoint."""
    where = {"url": "https://example.org/made.pth", "file": "made.pth", "published_at": "https://example.org"}
    return PublishedEncoder(
        card=EncoderDraft(
            name=name,
            size=SizeSpec(rule="squash", length=SIDE),
            dim=spec.dim,
            licence="none stated",
            notes="made for the tests",
        ),
        architecture=spec,
        checkpoint=Download(**(where | facts)),
        trained_on="noise",
    )
