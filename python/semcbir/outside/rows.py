# SPDX-License-Identifier: MIT
"""What is written of an index, wherever it goes: facts about the whole, and batches of its images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semcbir._printable import printable
from semcbir.explanation import WHOLE_IMAGE
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.signatures import Signatures

MADE_BY = {"made_by": "semcbir"}
"""The first of the texts that every export has."""
AT_ONCE = 2048
"""Images in a batch: some 10 MB of signatures."""


@dataclass(frozen=True)
class Facts:
    """What an export says of its index and feature.

    ``names`` are those of the classes by number, without control characters; with whole rows their number, C,
    has one too.
    """

    feature: str
    dim: int
    whole: bool
    names: tuple[str, ...]
    recipe: str
    identity: str

    @property
    def n_classes(self) -> int:
        """C, the number of the model's classes."""
        return len(self.names) - self.whole

    def texts(self) -> dict[str, str]:
        """Return the facts by the keys that every export has."""
        return {
            **MADE_BY,
            "format": "1",
            "feature": self.feature,
            "dim": str(self.dim),
            "n_classes": str(self.n_classes),
            "whole": str(int(self.whole)),
            "recipe": self.recipe,
            "index": self.identity,
        }


@dataclass(frozen=True)
class Batch:
    """Some images: their files, and their signatures in the same order."""

    records: list[Record]
    signatures: Signatures

    def ids_of_rows(self) -> npt.NDArray[np.int64]:
        """Return the id of the image of each row of the signatures."""
        return np.repeat(self.signatures.ids, np.diff(self.signatures.offsets))


@dataclass(frozen=True)
class Sink:
    """Where batches go: ``add`` writes one, ``place`` names it without secrets."""

    place: str
    add: Callable[[Batch], None]


def facts_of(index: Index, feature: str | None) -> Facts:
    """Return the facts about ``feature`` (None: the first). Raises ValueError if the index lacks it."""
    recipe = index.recipe.for_feature(feature)
    kind = recipe.feature()
    names = [*recipe.classes, *([WHOLE_IMAGE] if kind.whole_row else [])]
    return Facts(
        feature=kind.name,
        dim=kind.dim,
        whole=kind.whole_row,
        names=tuple(map(printable, names)),
        recipe=json.dumps(recipe.to_dict()),
        identity=index.identity,
    )


def batches(index: Index, feature: str) -> Iterator[Batch]:
    """Yield all images by id, as the index was when it was opened, AT_ONCE at a time."""
    ids = np.array(index._snapshot.ids(), np.int64)
    for start in range(0, len(ids), AT_ONCE):
        chosen = ids[start : start + AT_ONCE]
        yield Batch(index.records(chosen.tolist()), index.signatures(feature, ids=chosen))


def path_text(path: Path) -> str:
    r"""Return a path as text that UTF-8 can hold: a byte that is not UTF-8 becomes ``\xff`` or the like."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
