# SPDX-License-Identifier: MIT
"""Query a database with each of its labelled images and average every protocol over the queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from semcbir._files import display_path
from semcbir.evaluation.datasets import Dataset, DatasetError
from semcbir.evaluation.metrics import PROTOCOLS, Ranking, judge, kept_pairs, penalised_relevant
from semcbir.evaluation.rows import class_rows, whole_rows
from semcbir.index.index import Index
from semcbir.searcher import Penalized, Searcher, chosen_epsilon
from semcbir.signatures import Signatures

MODES = ("none", "last", "drop")
"""What happens to images that fail the semantic filter: nothing (no filter), ranked last, left out."""

DISTRACTOR = -1
"""The label of an image that is relevant to nothing and is never a query."""

_QUERIES_AT_ONCE = 100


@dataclass(frozen=True)
class Scores:
    """The figures of one feature: means over the queries, all in [0, 1].

    - ``protocols``: by mode (``MODES``), then by protocol (``metrics.PROTOCOLS``)
    - ``kept_pairs``: share of (query, other image) pairs that the filter keeps
    - ``penalised_relevant``: share of the relevant images that it penalises
    - ``default``: the mode of a search that is given no epsilon; None if that has another epsilon
    """

    protocols: dict[str, dict[str, float]]
    kept_pairs: float
    penalised_relevant: float
    default: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the figures as values that JSON can hold."""
        return asdict(self)


def evaluate(
    index: Index,
    dataset: Dataset,
    epsilon: float = 0.9,
    threads: int | None = None,
    *,
    smooth: int | None = None,
    parts: bool = False,
) -> dict[str, Scores]:
    """Return the scores of every feature of ``index``, which must hold the data set's images and no others.

    They are by the feature's name. With ``smooth`` there are also those of searches that smooth with that
    many neighbours ("deep, smoothed 10"); with ``parts``, for a feature with whole rows, those of its class
    rows and of its whole rows alone ("deep, class rows", "deep, whole row").

    Raises DatasetError if the index holds other images, ValueError for a wrong argument.
    """
    labels = labels_by_id(index, dataset)
    scores = {}
    for name in index.features:
        signatures = index.signatures(name)
        scores[name] = measure(index.searcher(name), signatures, labels, epsilon, threads)
        if smooth:
            searcher = index.searcher(name, smooth=smooth)
            scores[f"{name}, smoothed {smooth}"] = measure(searcher, signatures, labels, epsilon, threads)
        if parts and signatures.whole:
            for what, part in (("class rows", class_rows(signatures)), ("whole row", whole_rows(signatures))):
                one = measure(Searcher(part), part, labels, epsilon, threads)
                scores[f"{name}, {what}"] = replace(one, default=None)  # no search does that
    return scores


def measure(
    searcher: Searcher,
    signatures: Signatures,
    labels: npt.NDArray[np.int64],
    epsilon: float = 0.9,
    threads: int | None = None,
) -> Scores:
    """Query ``searcher`` with each labelled image of ``signatures``, the same images that it searches.

    ``labels`` int64 (n,) gives the class of each image, ``DISTRACTOR`` for one that is only in the database.
    Every class needs at least two images.
    """
    classes = {int(label): signatures.ids[labels == label] for label in np.unique(labels)}
    labelled = labels != DISTRACTOR
    queries = signatures if labelled.all() else signatures[labelled]
    relevant = [classes[int(label)] for label in labels[labelled]]
    protocols: dict[str, dict[str, float]] = {}
    kept, penalised = 1.0, 0.0
    for mode in MODES:
        rankings = list(_rankings(searcher, queries, relevant, mode, epsilon, threads))
        protocols[mode] = {
            name: float(np.mean([protocol(ranking) for ranking in rankings]))
            for name, protocol in PROTOCOLS.items()
        }
        if mode == "last":
            kept = float(np.mean([kept_pairs(ranking, len(signatures)) for ranking in rankings]))
            penalised = float(np.mean([penalised_relevant(ranking) for ranking in rankings]))
    return Scores(protocols, kept, penalised, _default_mode(searcher, epsilon))


def _default_mode(searcher: Searcher, epsilon: float) -> str | None:
    usual = chosen_epsilon("auto", searcher.recipe)
    if usual is None:
        return "none"
    return "last" if usual == epsilon else None


def _rankings(
    searcher: Searcher,
    queries: Signatures,
    relevant: list[npt.NDArray[np.int64]],
    mode: str,
    epsilon: float,
    threads: int | None,
) -> Iterator[Ranking]:
    """Judge the full ranking of every query in turn."""
    penalized: Penalized = "drop" if mode == "drop" else "last"
    threshold = None if mode == "none" else epsilon
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        some = queries[start : start + _QUERIES_AT_ONCE]
        found = searcher.search(some, len(searcher), threshold, penalized, threads)
        for row, query_id in enumerate(some.ids):
            yield judge(found.ids[row], int(found.kept[row]), relevant[start + row], int(query_id))


def labels_by_id(index: Index, dataset: Dataset) -> npt.NDArray[np.int64]:
    """Return the class of each of the index's images, by id: int64 (n,), ``DISTRACTOR`` for distractors.

    Raises DatasetError unless the index holds all the data set's images and no others; distractors that
    cannot be read may be missing.
    """
    label_of = dict.fromkeys(dataset.distractors, np.int64(DISTRACTOR))
    label_of.update(zip(dataset.paths, dataset.labels, strict=True))
    labels = []
    for record in index:
        if record.path not in label_of:
            raise DatasetError(
                f"index {display_path(index.path)} must hold only images of {dataset.name}, "
                f"got {display_path(record.path)}"
            )
        labels.append(label_of.pop(record.path))
    if missing := [path for path, label in label_of.items() if label != DISTRACTOR]:
        reasons = {skipped.path: f": {skipped.reason}" for skipped in index.skipped}
        raise DatasetError(
            f"index {display_path(index.path)} must hold all {len(dataset.paths)} images of {dataset.name}; "
            f"{len(missing)} are missing, such as {display_path(missing[0])}{reasons.get(missing[0], '')}"
        )
    return np.array(labels, np.int64)
