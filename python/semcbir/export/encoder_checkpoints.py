# SPDX-License-Identifier: MIT
"""Read published checkpoint files into encoders: strictly, by their official names (see ``weights``)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from semcbir._files import PathLike, file_sha256
from semcbir.export.resnet import ResNet
from semcbir.export.vit import ViT
from semcbir.export.weights import COUNTER, counters, fitting, read_state
from semcbir.networks.published import EncoderSpec, PublishedEncoder, ViTSpec


def build_encoder(spec: EncoderSpec) -> ViT | ResNet:
    """Return the network of ``spec``, untrained, in evaluation mode."""
    network = ViT(spec) if isinstance(spec, ViTSpec) else ResNet(spec)
    network.eval()
    return network


def load_encoder(path: PathLike, encoder: PublishedEncoder) -> tuple[nn.Module, str]:
    """Read a published checkpoint of ``encoder``; return the network in evaluation mode, and the file's hash.

    The network takes photos of the size that the encoder's card says. Entries are named as in the official
    files, at the top or under "state_dict"; only the counters of batch normalisation may all be missing, as
    in files of old versions of torch. Raises ModelError if the file is missing, is not a checkpoint, is cut
    short or would run code, or if it holds another network, or weights that are not finite in float32.
    """
    path, spec = Path(path), encoder.architecture
    network = build_encoder(spec)
    state, own = dict(read_state(path)), network.state_dict()
    if not any(key.endswith(COUNTER) for key in state):
        state |= counters(own)
    network.load_state_dict(fitting(state, own, encoder.name, path), strict=True)
    if isinstance(network, ViT):
        cells = encoder.card.size.length // spec.stride
        network.place(cells, cells)
    return network, file_sha256(path)
