# SPDX-License-Identifier: MIT
"""Cards for the networks that a Classifier takes."""

from __future__ import annotations

import os
from pathlib import Path

from semcbir._files import expanded, file_sha256
from semcbir.errors import ModelError
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, LARGEST_MODEL, InputSpec, SizeSpec

TORCHVISION_INPUT = InputSpec(layout="NCHW", dtype="float32", mean=IMAGENET_MEAN, std=IMAGENET_STD)
SQUASHED_224 = SizeSpec(rule="squash", length=224)


def embedding_card(
    file: str | os.PathLike[str],
    *,
    dim: int,
    output: str | None = None,
    name: str | None = None,
    input: InputSpec = TORCHVISION_INPUT,
    size: SizeSpec = SQUASHED_224,
    licence: str = "",
    source: str = "",
    notes: str = "",
) -> EncoderCard:
    """Return a card of the ONNX file ``file`` for a Classifier; its ``sha256`` is worked out here.

    ``dim`` is the length of the vector that the graph's output called ``output`` (None: its first) gives.
    ``name``: None for the file's name without suffix. ``input`` and ``size`` are by default those of
    torchvision's classifiers, with photos squashed to 224 x 224. ``card.save(path)`` writes it.

    Raises ModelError if the file cannot be read, ValueError if a field is not as EncoderCard says.
    """
    path = Path(expanded(file, "file"))
    try:
        sha256 = file_sha256(path, LARGEST_MODEL)
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
    return EncoderCard(
        name=path.stem if name is None else name,
        file=path.name,
        sha256=sha256,
        input=input,
        size=size,
        dim=dim,
        output=output,
        licence=licence,
        source=source,
        notes=notes,
    )
