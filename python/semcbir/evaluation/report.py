# SPDX-License-Identifier: MIT
"""An evaluation as text, and as files: Markdown, CSV, JSON, and plots where matplotlib is installed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._printable import printable
from semcbir.errors import SemcbirError
from semcbir.evaluation import paper, plots
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.sheets import sheet
from semcbir.evaluation.statistics import difference
from semcbir.evaluation.tables import class_table, file_name, interval_table, joined, markdown, size_line

COMPARED = ("ap", "p@20 in", "paper")
"""The measures by which two runs are compared."""


def text(evaluation: Evaluation, tables: tuple[int, ...] = ()) -> str:
    """Return the figures as Markdown, the paper's ``tables`` first."""
    parts = [paper.table(number, evaluation.dataset.name, evaluation.scores) for number in tables]
    if tables:
        parts.append(f"Ours: {_networks(evaluation)}. Why figures differ from the paper's: docs/results.md.")
    parts.append(markdown(evaluation.scores, evaluation.epsilon))
    parts.append(interval_table(evaluation.scores))
    parts.append(class_table(evaluation.scores, evaluation.truth.wanted, evaluation.dataset.class_names))
    if evaluation.sweep:
        parts.append(sweep_table(evaluation))
    queries, images = len(evaluation.truth.queries), len(evaluation.truth.classes)
    left = evaluation.lonely, evaluation.same
    parts.append(size_line(queries, images, evaluation.distractors, *left))
    return "\n\n".join(parts)


def _networks(evaluation: Evaluation) -> str:
    names = dict.fromkeys(recipe["model"]["name"] for recipe in evaluation.made["ways"].values())
    return f"label maps of {' and '.join(names)}, photos of at most {evaluation.made['long_side']} pixels"


def sweep_table(evaluation: Evaluation) -> str:
    """Return ``ap`` over epsilon, penalised images last / left out."""
    lines = [["ap last / drop", *(f"epsilon {epsilon:g}" for epsilon in evaluation.sweep)]]
    for name in next(iter(evaluation.sweep.values())):
        cells = ["{:.3f} / {:.3f}".format(*ways[name]) for ways in evaluation.sweep.values()]
        lines.append([name, *cells])
    return joined(lines)


def write(evaluation: Evaluation, folder: Path, said: str) -> None:
    """Write everything to ``folder``, which is made if it is not there.

    ``results.md``, which is ``said``, ``figures.json``, ``figures.csv``, the worst queries as contact sheets,
    and plots where matplotlib is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(said + "\n", encoding="utf-8")
    figures = json.dumps(evaluation.to_dict(), indent=1, allow_nan=False) + "\n"
    (folder / "figures.json").write_text(figures, encoding="utf-8")
    with (folder / "figures.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["way", "mode", "class", "measure", "queries", "mean", "low", "high"])
        writer.writerows(_rows(evaluation))
    for name in evaluation.scores:
        sheet(evaluation, name).save(folder / f"worst-{file_name(name)}.jpg", quality=85)
    if plots.available():
        plots.write(evaluation, folder)


def _rows(evaluation: Evaluation) -> Iterator[list[Any]]:
    """Yield a row for every way, mode, class and measure; the class is empty for all queries."""
    wanted = evaluation.truth.wanted
    groups = [("", np.ones(len(wanted), bool))]
    groups += [(name, wanted == label) for label, name in enumerate(evaluation.dataset.class_names)]
    for title, chosen in groups:
        if not chosen.any():
            continue
        for way, scores in evaluation.scores.items():
            low, high = scores.intervals(chosen)
            for mode, values in scores.values.items():
                for name, value in values.items():
                    figures = (value[chosen].mean(), low[mode][name], high[mode][name])
                    count = int(np.count_nonzero(chosen))
                    texts = [printable(way), mode, printable(title), name]
                    yield [*texts, count, *(f"{figure:.6f}" for figure in figures)]


def read(path: Path) -> dict[str, Any]:
    """Read what ``write`` wrote to ``figures.json``; SemcbirError if it is something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SemcbirError(f"{path}: expected figures of an evaluation, got no JSON ({error})") from error
    if not isinstance(data, dict) or not {"scores", "queries", "wanted"} <= data.keys():
        raise SemcbirError(f"{path}: expected figures of an evaluation, got other JSON")
    return data


def comparison(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return how the ways of two runs over the same queries differ, those of one name beside each other.

    Where the runs have a single way each, these are compared whatever their names. SemcbirError if the
    queries are not the same, or no way is in both.
    """
    try:
        return _comparison(ours, theirs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SemcbirError(f"expected figures of an evaluation, got others ({error!r})") from error


def _comparison(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    for name in ("dataset", "queries", "wanted"):
        if ours.get(name) != theirs.get(name):
            raise SemcbirError(f"expected two runs with the same {name}, got others")
    pairs = [(name, name) for name in ours["scores"] if name in theirs["scores"]]
    if len(ours["scores"]) == len(theirs["scores"]) == 1:
        pairs = [(next(iter(ours["scores"])), next(iter(theirs["scores"])))]
    if not pairs:
        raise SemcbirError("expected two runs with a way of ranking in common, got none")
    lines = [["", "measure", "first", "second", "difference (95% interval)", "p"]]
    for mine, other in pairs:
        one, two = ours["scores"][mine], theirs["scores"][other]
        for mode in one["values"]:
            if mode not in two["values"]:
                continue
            for measure in COMPARED:
                a, b = (np.array(run["values"][mode][measure]) for run in (one, two))
                mean, low, high, p = difference(a, b)
                title = mine if mine == other else f"{mine} / {other}"
                interval = f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
                cells = [f"{title}, {mode}", measure, f"{a.mean():.4f}", f"{b.mean():.4f}", interval]
                lines.append([*cells, f"{p:.4f}"])
    sizes = [(run["images"], run["distractors"]) for run in (ours, theirs)]
    if sizes[0] == sizes[1]:
        return joined(lines)
    said = " and ".join(f"{images} images with {others} distractors" for images, others in sizes)
    return f"{joined(lines)}\n\nBeware: the databases differ, {said}."
