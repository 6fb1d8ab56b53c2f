# SPDX-License-Identifier: MIT
"""Whether a photo's copy finds the photo."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from dataclasses import asdict, dataclass

from semcbir._validate import counted
from semcbir.evaluation.copies import COPIES
from semcbir.evaluation.datasets import DatasetError
from semcbir.images.decode import load_image
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.query import search
from semcbir.results import Hit, Results

QUERIES = 100
"""The most photos that copies are made of unless a number is asked for."""

_LISTED = 10
_QUERIES_AT_ONCE = 50


@dataclass(frozen=True)
class Found:
    """How often a copy's original came back, in [0, 1]: as the ``first`` hit, and among the first ``ten``."""

    first: float
    ten: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures as values that JSON can hold."""
        return asdict(self)


def find_originals(
    index: Index, queries: int | None = None, on_progress: Callable[[int], None] | None = None
) -> dict[str, dict[str, Found]]:
    """Return, by feature and kind of copy (``COPIES``), how often copies find their originals.

    Copies are made of the files of ``queries`` photos (None: ``QUERIES``, or all if there are fewer) spread
    evenly over the index's, sorted by path. They are searched for as photos from elsewhere, with the default
    settings of the feature. A photo with the same bytes as the original counts as the original.
    ``on_progress`` is told how many copies were searched for.

    Raises DatasetError if the index holds fewer photos, ImageError if one of them can no longer be read.
    """
    originals = spread(index, usual_queries(index) if queries is None else queries)
    found: dict[str, dict[str, Found]] = {feature: {} for feature in index.features}
    done = 0
    for kind, copy in COPIES.items():
        ranks = {feature: list[int]() for feature in index.features}
        for start in range(0, len(originals), _QUERIES_AT_ONCE):
            some = originals[start : start + _QUERIES_AT_ONCE]
            copies = index.extractor().extract_all([copy(load_image(record.path, None)) for record in some])
            for feature, signatures in copies.items():
                answers = search(signatures, index, _LISTED, feature=feature)
                ranks[feature] += map(_rank, some, answers)
            done += len(some)
            if on_progress:
                on_progress(done)
        for feature, places in ranks.items():
            first, ten = (sum(place < most for place in places) / len(places) for most in (1, _LISTED))
            found[feature][kind] = Found(first, ten)
    return found


def usual_queries(index: Index) -> int:
    """Return of how many photos of ``index`` copies are made unless a number is asked for."""
    return min(QUERIES, len(index))


def spread(index: Index, queries: int) -> list[Record]:
    """Return the records of ``queries`` images spread evenly over the index's, sorted by the path's bytes."""
    records = sorted(index, key=lambda record: bytes(record.path))
    if not records:
        raise DatasetError("expected photos to make copies of, got an index without images")
    if not 1 <= queries <= len(records):
        raise DatasetError(
            f"queries: expected 1 to {len(records)}, for there are {counted(len(records), 'image')}, "
            f"got {queries}"
        )
    return [records[place * len(records) // queries] for place in range(queries)]


def _rank(original: Record, hits: Results) -> int:
    """Return at which place of ``hits``, from 0, the original is; ``_LISTED`` if it is not among them."""
    places = (place for place, hit in enumerate(hits) if hit.id == original.id or _same(original, hit))
    return next(places, _LISTED)


def _same(original: Record, hit: Hit) -> bool:
    """Return whether two files have the same bytes, now."""
    try:
        return filecmp.cmp(original.path, hit.path, shallow=False)
    except OSError:  # one is gone meanwhile
        return False
