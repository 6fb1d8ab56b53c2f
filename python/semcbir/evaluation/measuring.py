# SPDX-License-Identifier: MIT
"""Query a database with each of its own images and average every protocol over the queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir.evaluation.datasets import Dataset, DatasetError
from semcbir.evaluation.metrics import PROTOCOLS, Ranking, judge, kept_pairs, penalised_relevant
from semcbir.index.index import Index
from semcbir.searcher import Penalized, Searcher
from semcbir.signatures import Signatures

MODES = ("none", "last", "drop")
"""What happens to images that fail the semantic filter: nothing (no filter), ranked last, left out."""

_QUERIES_AT_ONCE = 100


@dataclass(frozen=True)
class Scores:
    """The figures of one feature: means over the queries, all in [0, 1].

    - ``protocols``: by mode (``MODES``), then by protocol (``metrics.PROTOCOLS``)
    - ``kept_pairs``: share of (query, other image) pairs that the filter keeps
    - ``penalised_relevant``: share of the relevant images that it penalises
    """

    protocols: dict[str, dict[str, float]]
    kept_pairs: float
    penalised_relevant: float

    def to_dict(self) -> dict[str, object]:
        """Return the figures as values that JSON can hold."""
        return asdict(self)


def evaluate(
    index: Index, dataset: Dataset, epsilon: float = 0.9, threads: int | None = None
) -> dict[str, Scores]:
    """Return the scores of every feature of ``index``, which must hold the data set's images and no others.

    Raises DatasetError if it does not, ValueError for a wrong ``epsilon`` or ``threads``.
    """
    labels = _labels_by_id(index, dataset)
    return {
        name: measure(index.searcher(name), index.signatures(name), labels, epsilon, threads)
        for name in index.features
    }


def measure(
    searcher: Searcher,
    signatures: Signatures,
    labels: npt.NDArray[np.int64],
    epsilon: float = 0.9,
    threads: int | None = None,
) -> Scores:
    """Query ``searcher`` with each image of ``signatures``, the same images that it searches.

    ``labels`` int64 (n,) gives the class of each image. Every class needs at least two images.
    """
    classes = {int(label): signatures.ids[labels == label] for label in np.unique(labels)}
    relevant = [classes[int(label)] for label in labels]
    protocols: dict[str, dict[str, float]] = {}
    kept, penalised = 1.0, 0.0
    for mode in MODES:
        rankings = list(_rankings(searcher, signatures, relevant, mode, epsilon, threads))
        protocols[mode] = {
            name: float(np.mean([protocol(ranking) for ranking in rankings]))
            for name, protocol in PROTOCOLS.items()
        }
        if mode == "last":
            kept = float(np.mean([kept_pairs(ranking, len(signatures)) for ranking in rankings]))
            penalised = float(np.mean([penalised_relevant(ranking) for ranking in rankings]))
    return Scores(protocols, kept, penalised)


def _rankings(
    searcher: Searcher,
    signatures: Signatures,
    relevant: list[npt.NDArray[np.int64]],
    mode: str,
    epsilon: float,
    threads: int | None,
) -> Iterator[Ranking]:
    """Judge the full ranking of every query in turn."""
    penalized: Penalized = "drop" if mode == "drop" else "last"
    threshold = None if mode == "none" else epsilon
    for start in range(0, len(signatures), _QUERIES_AT_ONCE):
        queries = signatures[start : start + _QUERIES_AT_ONCE]
        found = searcher.search(queries, len(searcher), threshold, penalized, threads)
        for row, query_id in enumerate(queries.ids):
            yield judge(found.ids[row], int(found.kept[row]), relevant[start + row], int(query_id))


def _labels_by_id(index: Index, dataset: Dataset) -> npt.NDArray[np.int64]:
    """Return the class of each of the index's images, by id."""
    label_of = dict(zip(dataset.paths, dataset.labels, strict=True))
    labels = []
    for record in index:
        if record.path not in label_of:
            raise DatasetError(
                f"index {display_path(index.path)} must hold only images of {dataset.name}, "
                f"got {display_path(record.path)}"
            )
        labels.append(label_of.pop(record.path))
    if label_of:
        reasons = {skipped.path: f": {skipped.reason}" for skipped in index.skipped}
        path = next(iter(label_of))
        raise DatasetError(
            f"index {display_path(index.path)} must hold all {len(dataset.paths)} images of {dataset.name}; "
            f"{len(label_of)} are missing, such as {display_path(path)}{reasons.get(path, '')}"
        )
    return np.array(labels, np.int64)
