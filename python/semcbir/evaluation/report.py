# SPDX-License-Identifier: MIT
"""An evaluation as text, and as files: Markdown, CSV, JSON, and plots where matplotlib is installed."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._files import display_path
from semcbir._printable import printable
from semcbir.evaluation import paper, plots
from semcbir.evaluation.datasets import Dataset
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.sheets import Thumbnails, sheet
from semcbir.evaluation.tables import (
    cell_text,
    class_table,
    file_name,
    interval_table,
    joined,
    markdown,
    size_line,
)


def text(evaluation: Evaluation, tables: tuple[int, ...] = ()) -> str:
    """Return the figures as Markdown, the paper's ``tables`` first."""
    parts = [paper.table(number, evaluation.dataset.name, evaluation.scores) for number in tables]
    if tables:
        parts.append(f"Ours: {_networks(evaluation)}. Why figures differ from the paper's: docs/results.md.")
        if len(np.unique(evaluation.truth.wanted)) < len(evaluation.dataset.class_names):
            parts.append("The paper's figures are of queries of all classes; ours are of some.")
    parts.append(markdown(evaluation.scores, evaluation.epsilon))
    parts.append(interval_table(evaluation.scores))
    parts.append(class_table(evaluation.scores, evaluation.truth.wanted, evaluation.dataset.class_names))
    if evaluation.sweep:
        parts.append(sweep_table(evaluation))
    queries, images = len(evaluation.truth.queries), len(evaluation.truth.classes)
    left = evaluation.lonely, evaluation.same, evaluation.disguised
    parts.append(size_line(queries, images, evaluation.distractors, *left))
    parts += [f"Left out: {cell_text(name)} ({why})." for name, why in evaluation.unlearnt.items()]
    parts += _remarks(evaluation)
    parts.append(_folders(evaluation.dataset))
    return "\n\n".join(parts)


def _remarks(evaluation: Evaluation) -> list[str]:
    """Return what one has to know to read the figures: short classes, a single one, photos left out."""
    relevant, names = evaluation.truth.n_relevant, evaluation.dataset.class_names
    said = []
    few, fewer = (int((relevant + 1 < count).sum()) for count in (100, 20))
    if few:
        said.append(
            f"For {few} of the queries fewer than 100 images are of their class, for {fewer} fewer than 20: "
            "p@100, ap@100 and p@20 then look at as many first images as there are."
        )
    if len(np.unique(evaluation.truth.classes)) == 1:
        said.append("All images are of one class, so every ranking has the same figures.")
    asked = set(evaluation.truth.wanted.tolist())
    if evaluation.lonely and (lonely := [name for label, name in enumerate(names) if label not in asked]):
        said.append(f"No queries of {', '.join(map(cell_text, lonely))}.")
    if evaluation.unreadable:
        shown = [display_path(path) for path in evaluation.unreadable][:20]
        more = f" and {len(evaluation.unreadable) - 20} more" if len(evaluation.unreadable) > 20 else ""
        said.append(f"Left out, since they cannot be read: {', '.join(map(cell_text, shown))}{more}.")
    return said


def _folders(dataset: Dataset) -> str:
    distractors = ", ".join(display_path(folder) for folder in dataset.distractor_folders)
    return f"Photos: {display_path(dataset.folder)}" + (
        f"; distractors: {distractors}" if distractors else ""
    )


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


_RESULTS, _FIGURES = "results.md", "figures.json"
_WRITTEN = re.compile(
    r"results\.md|figures\.(json|csv)|(precision-recall|classes|epsilon)\.svg|worst-.*\.jpg|confusion-.*\.svg"
)


def check_place(folder: Path, dataset: Dataset) -> None:
    """Make ``folder``, where results are to be written, if it is not there.

    ValueError, about "out", if it is in a folder of photos that are measured, where pictures would be taken
    for photos the next time, or if it holds anything but what ``write`` wrote. OSError if it cannot be
    written to.
    """
    place = Path(folder).resolve()
    for root in (dataset.folder, *dataset.distractor_folders):
        if place.is_relative_to(root.resolve()):
            raise ValueError(
                f"out: expected a folder outside of {display_path(root)}, whose photos are measured, "
                f"got {display_path(folder)}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(path.name for path in folder.iterdir())
    strange = [name for name in there if not _WRITTEN.fullmatch(name)]
    if strange or (there and _FIGURES not in there):
        raise ValueError(
            f"out: expected a new folder, an empty one, or one of older results, got "
            f"{display_path(folder)} with {display_path((strange or there)[0])} in it"
        )
    probe = folder / _FIGURES
    if not probe.exists():
        probe.touch()
        probe.unlink()
    elif not os.access(probe, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(probe))


def write(evaluation: Evaluation, folder: Path, said: str) -> bool:
    """Write everything to ``folder``, in the place of older results: see ``check_place``.

    ``results.md``, which is ``said``, ``figures.json``, ``figures.csv``, the worst queries as contact sheets,
    and plots where matplotlib is installed. Returns whether it is.
    """
    check_place(folder, evaluation.dataset)
    for path in folder.iterdir():
        path.unlink()
    (folder / _RESULTS).write_text(said + "\n", encoding="utf-8")
    figures = json.dumps(evaluation.to_dict(), indent=1, allow_nan=False) + "\n"
    (folder / _FIGURES).write_text(figures, encoding="utf-8")
    with (folder / "figures.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["way", "mode", "class", "measure", "queries", "mean", "low", "high"])
        writer.writerows(_rows(evaluation))
    thumbnails = Thumbnails()
    for name in evaluation.scores:
        sheet(evaluation, name, thumbnails).save(folder / f"worst-{file_name(name)}.jpg", quality=85)
    if plotted := plots.available():
        plots.write(evaluation, folder)
    return plotted


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
