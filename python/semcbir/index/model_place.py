# SPDX-License-Identifier: MIT
"""Where an index keeps its copies of the models that it was made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semcbir.index.files import open_folder
from semcbir.networks.card import ModelCard
from semcbir.networks.card_file import Card
from semcbir.networks.encoder_card import EncoderCard


@dataclass(frozen=True)
class ModelPlace:
    """Where an index keeps its copy of a model; ``key`` is where its ``meta`` has the user's name for it.

    ``kind`` is that of the model's card.
    """

    key: str
    kind: type[Card]

    @property
    def file(self) -> str:
        """The copy, below the index's folder."""
        return f"{self.key}/{self.key}.onnx"

    @property
    def card(self) -> str:
        """The copy's card, below the index's folder."""
        return f"{self.key}/{self.key}.json"


MODEL, ENCODER = ModelPlace("model", ModelCard), ModelPlace("encoder", EncoderCard)
PLACES = (MODEL, ENCODER)


def has_model(folder: Path, place: ModelPlace) -> bool:
    """Return whether the index at ``folder`` holds a copy of a model, or a part of one.

    Raises IndexStorageError if what is in its place is not a regular file in a real folder.
    """
    copy, card = folder / place.file, folder / place.card
    try:
        with open_folder(copy.parent) as inside:
            return [inside.require_regular(path.name) for path in (copy, card)] != [None, None]
    except FileNotFoundError:
        return False
