# SPDX-License-Identifier: MIT
"""Plots of an evaluation, by matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._printable import printable
from semcbir.errors import SemcbirError
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.measuring import RECALLS
from semcbir.evaluation.tables import file_name, usual_mode


def available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw all plots to ``folder`` as SVG, and return their files.

    SemcbirError without matplotlib.
    """
    if not available():
        raise SemcbirError('plots need matplotlib: pip install "semcbir[eval]"')
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        _curves(evaluation, folder / "precision-recall.svg"),
        _classes(evaluation, folder / "classes.svg"),
    ]
    if evaluation.sweep:
        files.append(_sweep(evaluation, folder / "epsilon.svg"))
    for name in evaluation.scores:
        files.append(_confusion(evaluation, name, folder / f"confusion-{file_name(name)}.svg"))
    return files


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Give the axes of a picture that is written when the context ends; the same figures, the same bytes."""
    matplotlib, figures = import_module("matplotlib"), import_module("matplotlib.figure")
    with matplotlib.rc_context({"svg.hashsalt": "semcbir", "font.size": 9}):
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        yield figure.add_subplot()
        figure.savefig(path, format="svg", metadata={"Date": None})


def _curves(evaluation: Evaluation, path: Path) -> Path:
    """Mean interpolated precision over recall, each way in the mode of a search by default."""
    recall = np.linspace(0, 1, RECALLS)
    with _figure(path, 6, 4.5) as axes:
        for name, scores in evaluation.scores.items():
            mode = usual_mode(scores)
            axes.plot(recall, scores.curves[mode][-1], label=f"{name}, {mode}", linewidth=1.5)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    return path


def _class_names(evaluation: Evaluation) -> list[str]:
    """Return the classes' names as a picture can show them; "$" would begin a formula."""
    return [printable(name).replace("$", r"\$") for name in evaluation.dataset.class_names]


def _classes(evaluation: Evaluation, path: Path) -> Path:
    """``ap`` of the queries of each class, as bars."""
    names, wanted = _class_names(evaluation), evaluation.truth.wanted
    asked = [label for label in range(len(names)) if (wanted == label).any()]
    wide = 0.8 / len(evaluation.scores)
    with _figure(path, max(6, 0.12 * len(asked) * len(evaluation.scores)), 4) as axes:
        for place, (name, scores) in enumerate(evaluation.scores.items()):
            values = scores.values[usual_mode(scores)]["ap"]
            heights = [values[wanted == label].mean() for label in asked]
            at = np.arange(len(asked)) + (place + 0.5) * wide - 0.4
            axes.bar(at, heights, wide, label=f"{name}, {usual_mode(scores)}")
        axes.set_xticks(range(len(asked)), [names[label] for label in asked], rotation=45, ha="right")
        axes.set(ylabel="ap", ylim=(0, 1))
        axes.legend(fontsize=8)
    return path


def _sweep(evaluation: Evaluation, path: Path) -> Path:
    """``ap`` over epsilon, penalised images last; dashed: left out."""
    points = dict(sorted(evaluation.sweep.items()))
    with _figure(path, 6, 4.5) as axes:
        for name in next(iter(points.values())):
            both = np.array([ways[name] for ways in points.values()])
            (line,) = axes.plot(list(points), both[:, 0], marker="o", label=f"{name}, last")
            axes.plot(list(points), both[:, 1], marker="o", linestyle="--", color=line.get_color())
        axes.set(xlabel="epsilon (dashed: penalised images left out)", ylabel="ap", ylim=(0, 1))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    return path


def _confusion(evaluation: Evaluation, name: str, path: Path) -> Path:
    """Who is mistaken for whom: of the first 20 images for queries of a class, the share of each class."""
    scores = evaluation.scores[name]
    shares = scores.confusion[usual_mode(scores)]
    names = _class_names(evaluation)
    columns = [*names, "distractors"]
    if not evaluation.distractors:
        shares, columns = shares[:, :-1], columns[:-1]
    side = max(4.0, 0.4 * len(columns))
    with _figure(path, side + 1, side) as axes:
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        axes.set_yticks(range(len(shares)), names)
        axes.set(xlabel="share of the first 20", ylabel="query", title=f"{name}, {usual_mode(scores)}")
        if len(columns) <= 30:
            for row, column in np.argwhere(shares >= 0.005):
                value = shares[row, column]
                colour = "white" if value > 0.5 else "black"
                axes.text(
                    column,
                    row,
                    f"{value:.2f}".lstrip("0"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )
    return path
