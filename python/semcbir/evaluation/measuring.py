# SPDX-License-Identifier: MIT
"""Ask a data set's queries in some way of ranking, and measure what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from semcbir.evaluation.metrics import MEASURES, ap, kept_share, penalised_relevant, precision_at_recall
from semcbir.evaluation.rankings import DISTRACTOR, NOWHERE, Bools, Floats, Integers, Truth, judge
from semcbir.evaluation.statistics import intervals
from semcbir.searcher import Penalized, Searcher, chosen_epsilon
from semcbir.signatures import Signatures

MODES = ("none", "last", "drop")
"""What happens to images that fail the semantic filter: nothing (no filter), ranked last, left out."""

RECALLS = 101
"""Points of a precision-recall curve."""

_ENTRIES = 10_000_000
"""The most ranks that are judged at once: 80 MB of ids."""

CONFUSED = 20
"""The first ranks that say what a class is mistaken for."""

SHOWN = 10
"""The first ranks that are kept, to be shown."""

Rank: TypeAlias = Callable[[Integers], tuple[Integers, Integers]]
"""Given q queries by number: the ids of all that is searched, int64 (q, n), nearest first and padded with -1,
and how many of each passed the filter, int64 (q,)."""


Ends: TypeAlias = dict[str, dict[str, float]]
"""Ends of confidence intervals by mode, then by measure."""


@dataclass(frozen=True)
class Way:
    """A way of ranking: a name, and how it ranks by mode (``MODES``, or only "none" where nothing filters).

    ``default`` is the mode of a search that is told nothing else, None where no search does that; ``usual``
    the one that figures are of where there is room for one.
    """

    name: str
    rank: Mapping[str, Rank]
    default: str | None = None
    usual: str = "none"

    def only(self, *modes: str) -> Way:
        """Return the way with these modes alone."""
        return Way(self.name, {mode: self.rank[mode] for mode in modes}, None)


@dataclass(frozen=True, eq=False)
class Scores:
    """The figures of one way of ranking.

    - ``values``: by mode, then by measure (``MEASURES``): float64 (q,), one for each query
    - ``kept``: float64 (q,), the share of the other images that the filter keeps
    - ``penalised``: float64 (q,), the share of the relevant images that it penalises
    - ``curves``: by mode, float64 (classes + 1, RECALLS): mean interpolated precision at recalls from 0 to 1,
      for the queries of each class (NaN where there are none), then for all
    - ``confusion``: by mode, float64 (classes, classes + 1): of the first 20 images, the query out, for
      queries of a class, the share that is of each class, then the share of distractors; NaN likewise
    - ``first``: by mode, int64 (q, 10): the ids of the first images, the query out; -1 behind the last one
    - ``default``, ``usual``: as in Way
    """

    values: dict[str, dict[str, Floats]]
    kept: Floats
    penalised: Floats
    curves: dict[str, Floats] = field(default_factory=dict)
    confusion: dict[str, Floats] = field(default_factory=dict)
    first: dict[str, Integers] = field(default_factory=dict)
    default: str | None = None
    usual: str = "none"

    def mean(self, mode: str, measure: str) -> float:
        """Return the figure of a data set: the mean over its queries."""
        return float(self.values[mode][measure].mean())

    def means(self) -> dict[str, dict[str, float]]:
        """Return the figures by mode, then by measure."""
        return {
            mode: {name: self.mean(mode, name) for name in values} for mode, values in self.values.items()
        }

    def intervals(self, chosen: Bools | None = None) -> tuple[Ends, Ends]:
        """Return the ends of each mean's confidence interval, by mode and measure: lower ones, upper ones.

        ``chosen`` bool (q,) leaves only some queries.
        """
        return self._all_intervals if chosen is None else self._intervals(chosen)

    @cached_property
    def _all_intervals(self) -> tuple[Ends, Ends]:
        return self._intervals(slice(None))

    def _intervals(self, chosen: Bools | slice) -> tuple[Ends, Ends]:
        keys = [(mode, name) for mode, values in self.values.items() for name in values]
        columns = np.stack([self.values[mode][name] for mode, name in keys], axis=1)
        ends: tuple[Ends, Ends] = ({}, {})
        for found, row in zip(ends, intervals(columns[chosen]), strict=True):
            for (mode, name), value in zip(keys, row.tolist(), strict=True):
                found.setdefault(mode, {})[name] = value
        return ends


def mean_ap(way: Way, truth: Truth, mode: str) -> float:
    """Return ``ap`` alone, the mean over the queries of ``truth``, of a way in one of its modes."""
    found = []
    for block in _blocks(truth):
        ids, passed = way.rank[mode](np.arange(len(truth.queries))[block])
        found.append(ap(judge(ids, passed, truth[block])))
    return float(np.concatenate(found).mean())


def _blocks(truth: Truth) -> list[slice]:
    """Return queries that are asked at once."""
    at_once = max(1, _ENTRIES // max(1, len(truth.classes)))
    return [slice(start, start + at_once) for start in range(0, len(truth.queries), at_once)]


def measure(way: Way, truth: Truth, n_classes: int) -> Scores:
    """Ask every query of ``truth``, whose classes are 0 to ``n_classes`` - 1, and judge whole rankings.

    Every query needs another image of its class: see ``answerable``. Memory is bounded: queries are asked in
    blocks.
    """
    n, blocks = len(truth.classes), _blocks(truth)
    values: dict[str, dict[str, Floats]] = {}
    curves, confusion, first = {}, {}, {}
    kept, penalised = np.ones(len(truth.queries)), np.zeros(len(truth.queries))
    for mode, rank in way.rank.items():
        found: dict[str, list[Floats]] = {name: [] for name in MEASURES}
        sums = np.zeros((n_classes + 1, RECALLS))
        confused = np.zeros((n_classes, n_classes + 1))
        heads = []
        for block in blocks:
            some = truth[block]
            ids, passed = rank(np.arange(len(truth.queries))[block])
            judged = judge(ids, passed, some)
            for name, value in MEASURES.items():
                found[name].append(value(judged))
            np.add.at(sums, some.wanted, precision_at_recall(judged, RECALLS))
            others = without_query(ids, some, CONFUSED)
            _confuse(confused, others, some)
            heads.append(np.pad(others, ((0, 0), (0, SHOWN)), constant_values=-1)[:, :SHOWN])
            if mode == "last":
                kept[block] = kept_share(judged, n)
                penalised[block] = penalised_relevant(judged)
        values[mode] = {name: np.concatenate(parts) for name, parts in found.items()}
        sizes = np.bincount(truth.wanted, minlength=n_classes)
        sums[-1] = sums.sum(axis=0)
        with np.errstate(invalid="ignore"):  # 0 / 0, of classes that were not asked, is NaN
            curves[mode] = sums / np.array([*sizes, len(truth.queries)])[:, None]
            confusion[mode] = confused / confused.sum(axis=1, keepdims=True)
        first[mode] = np.concatenate(heads)
    return Scores(values, kept, penalised, curves, confusion, first, way.default, way.usual)


def without_query(ids: Integers, truth: Truth, count: int) -> Integers:
    """Return the first ``count`` ids of each row, the query's own left out: int64 (q, up to ``count``)."""
    head = ids[:, : count + 1]
    itself = head == truth.queries[:, None]
    order = np.argsort(itself, axis=1, kind="stable")  # it goes to the end
    return np.take_along_axis(np.where(itself, NOWHERE, head), order, axis=1)[:, :count]


def _confuse(confused: Floats, ids: Integers, truth: Truth) -> None:
    """Count of which classes the first images are."""
    rows, places = np.nonzero(ids >= 0)
    classes = truth.classes[ids[rows, places]]
    np.add.at(confused, (truth.wanted[rows], np.where(classes == DISTRACTOR, -1, classes)), 1)


def answerable(truth: Truth) -> Bools:
    """Return which queries something is relevant to: bool (q,)."""
    return np.asarray(truth.n_relevant > 0, bool)


def measure_signatures(
    images: Signatures,
    labels: Integers,
    epsilon: float = 0.9,
    threads: int | None = None,
    *,
    searcher: Searcher | None = None,
) -> Scores:
    """Measure searches among ``images``, ids from 0, for each of them but distractors.

    ``labels`` int64 (n,) gives the class of each, from 0, DISTRACTOR for one that is only in the database;
    ``searcher`` is as below.
    """
    queries = np.flatnonzero(labels != DISTRACTOR)
    truth = Truth(np.asarray(labels, np.int64), queries, labels[queries])
    way = by_signatures("", images, images[queries], epsilon, threads, searcher=searcher)
    return measure(way, truth, int(labels.max(initial=-1)) + 1)


def by_signatures(
    name: str,
    images: Signatures,
    queries: Signatures,
    epsilon: float,
    threads: int | None = None,
    *,
    searcher: Searcher | None = None,
) -> Way:
    """Return the way semcbir ranks: ``images`` have ids from 0; ``queries`` are in the order of the truth.

    ``searcher`` is one of ``images``, such as one that smooths (None: a plain one).
    """
    search = searcher or Searcher(images)

    def rank(mode: str) -> Rank:
        penalized: Penalized = "drop" if mode == "drop" else "last"
        threshold = None if mode == "none" else epsilon

        def ranked(numbers: Integers) -> tuple[Integers, Integers]:
            found = search.search(queries[numbers], len(images), threshold, penalized, threads)
            return found.ids, found.kept

        return ranked

    at = chosen_epsilon("auto", search.recipe)
    usual = "none" if at is None else "last"
    return Way(name, {mode: rank(mode) for mode in MODES}, usual if at in (None, epsilon) else None, usual)


def by_distances(name: str, distances: Callable[[Integers], Floats]) -> Way:
    """Return a way that ranks by given distances: those of some queries, (q, n), equal ones by id."""

    def ranked(numbers: Integers) -> tuple[Integers, Integers]:
        found = distances(numbers)
        ids = np.argsort(found, axis=1, kind="stable")
        return ids, np.full(len(ids), found.shape[1])

    return Way(name, {"none": ranked}, None)
