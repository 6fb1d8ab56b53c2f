# SPDX-License-Identifier: MIT
"""Evaluate: a data set's photos, ways of ranking them, and the figures of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._core import __version__
from semcbir.evaluation.collect import OnProgress
from semcbir.evaluation.compared import (
    ClassifierParts,
    OnLearning,
    Unlearnt,
    check_learning,
    compared_parts,
    compared_ways,
)
from semcbir.evaluation.datasets import Dataset, DatasetError
from semcbir.evaluation.measuring import Scores, answerable, mean_ap, measure
from semcbir.evaluation.rankings import Floats, Truth
from semcbir.evaluation.store import Store
from semcbir.evaluation.ways import Material, Settings, describe, gather, signature_parts, signature_ways
from semcbir.searcher import check_epsilon
from semcbir.smoothing import check_smooth

EPSILON = 0.9
"""The filter's threshold in the paper."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of a data set.

    - ``dataset``, ``epsilon``
    - ``truth``: what was searched and asked; ``searched``, ``asked``: their files, in its order
    - ``scores``: by the name of the way
    - ``sweep``: by epsilon, then by way, ``ap`` with penalised images last, and left out
    - ``lonely``: queries that were left out because nothing is relevant to them
    - ``unreadable``: photos that were left out because they could not be read, and why
    - ``unlearnt``: ways that are not among ``scores`` because they could not learn, and why
    - ``same``: photos whose file has the same bytes as another one's
    - ``disguised``: distractors with the bytes of a photo that has a class
    - ``made``: what the figures depend on
    """

    dataset: Dataset
    epsilon: float
    truth: Truth
    searched: tuple[Path, ...]
    asked: tuple[Path, ...]
    scores: dict[str, Scores]
    sweep: dict[float, dict[str, tuple[float, float]]] = field(default_factory=dict)
    lonely: int = 0
    unreadable: dict[Path, str] = field(default_factory=dict)
    unlearnt: dict[str, str] = field(default_factory=dict)
    same: int = 0
    disguised: int = 0
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def distractors(self) -> int:
        """How many images are relevant to nothing."""
        return int(np.count_nonzero(self.truth.classes < 0))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold; queries by their path in the data set's folder."""
        return {
            "semcbir": __version__,
            "dataset": self.dataset.name,
            "folder": self.dataset.folder.as_posix(),
            "distractor folders": [folder.as_posix() for folder in self.dataset.distractor_folders],
            "images": len(self.truth.classes),
            "distractors": self.distractors,
            "left out": self.lonely,
            "unreadable": {_name(path, self.dataset.folder): why for path, why in self.unreadable.items()},
            "could not learn": self.unlearnt,
            "same bytes as another": self.same,
            "distractors with the bytes of a photo": self.disguised,
            "epsilon": self.epsilon,
            "made": self.made,
            "classes": list(self.dataset.class_names),
            "queries": [_name(path, self.dataset.folder) for path in self.asked],
            "wanted": self.truth.wanted.tolist(),
            "scores": {name: _scores_dict(one) for name, one in self.scores.items()},
            "sweep": {f"{epsilon:g}": ways for epsilon, ways in self.sweep.items()},
        }


def evaluate(
    dataset: Dataset,
    settings: Settings,
    store: Store,
    epsilon: float = EPSILON,
    *,
    sweep: Sequence[float] = (),
    on_progress: OnProgress | None = None,
    on_learning: OnLearning | None = None,
) -> Evaluation:
    """Ask all queries of ``dataset`` in every way of ``settings``, and measure what comes back.

    The filter's threshold is ``epsilon``; ``sweep`` are others, of which only ``ap`` is measured, and beside
    which ``epsilon`` itself then stands.
    ``on_progress`` is told how many photos are read, ``on_learning`` which baseline learns next.

    Raises ValueError or TypeError for a wrong argument, DatasetError if a photo of a data set that must be
    whole cannot be read or nothing is relevant to any query, ModelError, DeviceError or StoreError as those
    come up.
    """
    for one in (epsilon, *sweep):
        check_epsilon(one)
    if settings.smooth is not None:
        check_smooth("smooth", settings.smooth)
    parts, others = signature_parts(settings), compared_parts(settings)
    networks = [part for _, part in others if isinstance(part, ClassifierParts)]
    check_learning(dataset.truth(), settings, networks)
    wanted = [part for _, part in [*parts, *others]]
    material = gather(dataset, wanted, store, settings, on_progress)
    dataset = material.dataset
    chosen = answerable(material.truth)
    if not chosen.any():
        raise DatasetError(f"{dataset.name}: expected two images of some class to be searched, got none")
    material = material.asking(chosen)
    truth = material.truth
    n_classes = len(dataset.class_names)
    scores: dict[str, Scores] = {}
    unlearnt: dict[str, str] = {}
    epsilons = sorted({epsilon, *sweep}) if sweep else []
    swept: dict[float, dict[str, tuple[float, float]]] = {other: {} for other in epsilons}
    for way_at in signature_ways(material, parts, settings):
        way = way_at(epsilon)
        scores[way.name] = measure(way, truth, n_classes)
        for other, found in swept.items():
            swept_way = way_at(other)
            found[way.name] = mean_ap(swept_way, truth, "last"), mean_ap(swept_way, truth, "drop")
    for compared in compared_ways(material, others, settings, store, on_learning):
        if isinstance(compared, Unlearnt):
            unlearnt[compared.name] = compared.reason
        else:
            scores[compared.name] = measure(compared, truth, n_classes)
    asked = [path for path, kept in zip(dataset.queries, chosen, strict=True) if kept]
    return Evaluation(
        dataset,
        epsilon,
        truth,
        tuple(dataset.database),
        tuple(asked),
        scores,
        swept,
        int(np.count_nonzero(~chosen)),
        material.unreadable,
        unlearnt,
        *_same(material),
        describe(settings, parts)
        | {"classifiers": {name: part.card for name, part in others if part in networks}},
    )


def _same(material: Material) -> tuple[int, int]:
    """Return how many photos have the bytes of another, and how many distractors those of a labelled one."""
    count = Counter(material.contents)
    distractors = set(material.dataset.distractors)
    labelled = {
        content
        for path, content in zip(material.paths, material.contents, strict=True)
        if path not in distractors
    }
    disguised = sum(
        path in distractors and content in labelled
        for path, content in zip(material.paths, material.contents, strict=True)
    )
    return sum(n for n in count.values() if n > 1), disguised


def _name(path: Path, folder: Path) -> str:
    """Return a photo's path below the data set's folder, or the whole of one that is elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _scores_dict(scores: Scores) -> dict[str, Any]:
    modes = list(scores.values)
    low, high = scores.intervals()
    figures = {
        mode: {
            name: {"mean": mean, "low": low[mode][name], "high": high[mode][name]}
            for name, mean in means.items()
        }
        for mode, means in scores.means().items()
    }
    return {
        "default": scores.default,
        "usual": scores.usual,
        "kept": float(scores.kept.mean()),
        "penalised": float(scores.penalised.mean()),
        "figures": figures,
        "values": {mode: {name: _rounded(v) for name, v in scores.values[mode].items()} for mode in modes},
        "curves": {mode: [_rounded(row) for row in curve] for mode, curve in scores.curves.items()},
        "confusion": {mode: [_rounded(row) for row in rows] for mode, rows in scores.confusion.items()},
    }


def _rounded(values: Floats) -> list[float | None]:
    """Nine digits say more than any figure here can mean, and keep the file small; NaN, nothing, is null."""
    return [None if np.isnan(value) else float(f"{value:.9g}") for value in values.tolist()]
