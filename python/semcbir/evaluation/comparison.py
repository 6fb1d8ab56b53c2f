# SPDX-License-Identifier: MIT
"""Two ways of ranking compared query by query, from the figures that runs have kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._files import display_path
from semcbir._validate import listed, shown
from semcbir.errors import SemcbirError
from semcbir.evaluation.metrics import MEASURES
from semcbir.evaluation.rankings import Floats
from semcbir.evaluation.statistics import difference
from semcbir.evaluation.tables import joined

COMPARED = ("ap", "p@20 in", "paper")
"""The measures that are compared unless others are asked for."""

Values = dict[str, Floats]
"""By measure: float64 (q,), one for each query."""


@dataclass(frozen=True, eq=False)
class Run:
    """The figures of one run.

    - ``path``: the file they come from
    - ``dataset``, ``queries``, ``wanted``: what was asked, and the class of each query
    - ``images``, ``distractors``: how many were searched
    - ``ways``: by name, then by mode, the values of each query; ``usual`` the mode that stands for a way
    """

    path: Path
    dataset: str
    queries: list[str]
    wanted: list[int]
    images: int
    distractors: int
    ways: dict[str, dict[str, Values]]
    usual: dict[str, str]

    def find(self, name: str) -> tuple[str, Values]:
        """Return the way that is called ``name``, "kaze" or "kaze, drop": its full name, and its values.

        ValueError if there is none.
        """
        every = {
            f"{way}, {mode}": values for way, modes in self.ways.items() for mode, values in modes.items()
        }
        full = f"{name}, {self.usual[name]}" if name in self.usual else name
        if full not in every:
            raise ValueError(f"expected one of {listed([*self.ways, *every])}, got {shown(name)}")
        return full, every[full]


def read(path: Path) -> Run:
    """Read a ``figures.json``, or that in a folder of results; SemcbirError if it is something else."""
    if path.is_dir():
        path /= "figures.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _run(path, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "no JSON" if isinstance(error, (ValueError, RecursionError)) else "other JSON"
        raise SemcbirError(
            f"{display_path(path)}: expected figures of an evaluation, got {why} ({error})"
        ) from error


def _run(path: Path, data: Any) -> Run:
    queries, wanted = list(data["queries"]), list(data["wanted"])
    if len(wanted) != len(queries) or not queries:
        raise TypeError(f"classes of {len(wanted)} queries, of {len(queries)}")
    ways: dict[str, dict[str, Values]] = {}
    for way, scores in data["scores"].items():
        ways[way] = {
            mode: {measure: _checked(values, len(queries)) for measure, values in measures.items()}
            for mode, measures in scores["values"].items()
        }
    usual = {way: scores["usual"] for way, scores in data["scores"].items()}
    if not ways or any(mode not in ways[way] for way, mode in usual.items()):
        raise TypeError("no way of ranking, or one without its mode")
    sizes = int(data["images"]), int(data["distractors"])
    return Run(path, data["dataset"], queries, wanted, *sizes, ways, usual)


def _checked(values: Any, count: int) -> Floats:
    array = np.array(values, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise TypeError(f"values of shape {array.shape}, for {count} queries")
    return array


def comparison(
    first: Run,
    second: Run,
    way: str | None = None,
    against: str | None = None,
    measures: Sequence[str] = COMPARED,
) -> str:
    """Return how ways of ranking differ over the same queries, as a table with intervals and p.

    ``way`` of the first run stands against ``against`` of the second (None: that of the same name); with
    neither, all that have a name in common do, and where the runs have a single way each these, whatever
    their names. ``measures`` are some of ``MEASURES``. p is that of ``statistics.difference``.

    SemcbirError if the queries are not the same or no way is in both, ValueError for a name or measure that
    there is not.
    """
    if unknown := [one for one in measures if one not in MEASURES]:
        raise ValueError(f"measures: expected some of {listed(MEASURES)}, got {shown(unknown[0])}")
    for name in ("dataset", "queries", "wanted"):
        if getattr(first, name) != getattr(second, name):
            counts = f"{len(first.queries)} and {len(second.queries)} queries"
            raise SemcbirError(
                f"expected two runs with the same {name}, got those of {display_path(first.path)} and of "
                f"{display_path(second.path)}, with {counts}"
            )
    lines = [["", "measure", "first", "second", "difference (95% interval)", "p"]]
    for title, ours, theirs in _pairs(first, second, way, against):
        for measure in measures:
            if measure not in ours or measure not in theirs:
                continue  # of a run by another version
            a, b = ours[measure], theirs[measure]
            mean, low, high, p = difference(a, b)
            interval = f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
            lines.append([title, measure, f"{a.mean():.4f}", f"{b.mean():.4f}", interval, f"{p:.4f}"])
    sizes = [(run.images, run.distractors) for run in (first, second)]
    if sizes[0] == sizes[1]:
        return joined(lines)
    said = " and ".join(f"{images} images with {others} distractors" for images, others in sizes)
    return f"{joined(lines)}\n\nBeware: the databases differ, {said}."


def _pairs(first: Run, second: Run, way: str | None, against: str | None) -> list[tuple[str, Values, Values]]:
    """Return what is compared: a title, and the values of both."""
    if way is not None or against is not None:
        mine, ours = _named(first, "way", way if way is not None else against)
        other, theirs = _named(second, "against", against if against is not None else way)
        return [(mine if mine == other else f"{mine} / {other}", ours, theirs)]
    names = [(name, name) for name in first.ways if name in second.ways]
    if len(first.ways) == len(second.ways) == 1:
        names = [(next(iter(first.ways)), next(iter(second.ways)))]
    if not names:
        raise SemcbirError("expected two runs with a way of ranking in common, got none")
    return [
        (f"{mine if mine == other else f'{mine} / {other}'}, {mode}", values, second.ways[other][mode])
        for mine, other in names
        for mode, values in first.ways[mine].items()
        if mode in second.ways[other]
    ]


def _named(run: Run, argument: str, name: str | None) -> tuple[str, Values]:
    assert name is not None
    try:
        return run.find(name)
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None
