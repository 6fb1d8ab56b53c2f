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
from semcbir.evaluation.tables import file_name

NO_PLOTS = 'plots need matplotlib: pip install "semcbir[eval]"'
_NAMED_INSIDE = 8
"""The most ways whose names a plot has room for."""
_BARS = 120
"""The most bars of a plot."""
_NAMED_CLASSES = 60
"""The most classes whose names an axis has room for."""


def available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw all plots to ``folder`` as SVG, and return their files.

    SemcbirError without matplotlib.
    """
    if not available():
        raise SemcbirError(NO_PLOTS)
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
            mode = scores.usual
            axes.plot(recall, scores.curves[mode][-1], label=f"{name}, {mode}", linewidth=1.5)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        _legend(axes, len(evaluation.scores))
    return path


def _legend(axes: Any, ways: int) -> None:
    """Many ways have their names beside the plot, not over it."""
    if ways <= _NAMED_INSIDE:
        axes.legend(fontsize=8)
    else:
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=1 + ways // 40)


def _class_names(evaluation: Evaluation) -> list[str]:
    """Return the classes' names as a picture can show them; "$" would begin a formula."""
    return [printable(name).replace("$", r"\$") for name in evaluation.dataset.class_names]


def _classes(evaluation: Evaluation, path: Path) -> Path:
    """``ap`` of the queries of each class, as bars."""
    names, wanted = _class_names(evaluation), evaluation.truth.wanted
    asked = [label for label in range(len(names)) if (wanted == label).any()]
    ways = len(evaluation.scores)
    if len(asked) * ways > _BARS:
        return _class_grid(evaluation, asked, path)
    wide = 0.8 / ways
    with _figure(path, max(6, 0.12 * len(asked) * ways), 4) as axes:
        for place, (name, scores) in enumerate(evaluation.scores.items()):
            values = scores.values[scores.usual]["ap"]
            heights = [values[wanted == label].mean() for label in asked]
            at = np.arange(len(asked)) + (place + 0.5) * wide - 0.4
            axes.bar(at, heights, wide, label=f"{name}, {scores.usual}")
        axes.set_xticks(range(len(asked)), [names[label] for label in asked], rotation=45, ha="right")
        axes.set(ylabel="ap", ylim=(0, 1))
        _legend(axes, ways)
    return path


def _class_grid(evaluation: Evaluation, asked: list[int], path: Path) -> Path:
    """``ap`` of each class and way as colours, where bars would be too many to tell apart."""
    wanted, names = evaluation.truth.wanted, _class_names(evaluation)
    means = [
        [scores.values[scores.usual]["ap"][wanted == label].mean() for label in asked]
        for scores in evaluation.scores.values()
    ]
    titles = [f"{name}, {scores.usual}" for name, scores in evaluation.scores.items()]
    every = 1 + len(asked) // _NAMED_CLASSES  # names that would overlap are left out
    with _figure(path, min(16, max(6, 0.22 * len(asked) + 3)), max(2.5, 0.2 * len(titles) + 1.5)) as axes:
        picture = axes.imshow(means, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        labels = [names[label] for label in asked[::every]]
        axes.set_xticks(range(0, len(asked), every), labels, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(titles)), titles, fontsize=7)
        axes.figure.colorbar(picture, ax=axes, label="ap")
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
        _legend(axes, len(next(iter(points.values()))))
    return path


def _confusion(evaluation: Evaluation, name: str, path: Path) -> Path:
    """Who is mistaken for whom: of the first 20 images for queries of a class, the share of each class."""
    scores = evaluation.scores[name]
    shares = scores.confusion[scores.usual]
    names = _class_names(evaluation)
    columns = [*names, "distractors"]
    if not evaluation.distractors:
        shares, columns = shares[:, :-1], columns[:-1]
    side = min(16.0, max(4.0, 0.4 * len(columns)))
    every = 1 + len(columns) // _NAMED_CLASSES
    with _figure(path, side + 1, side) as axes:
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        axes.set_xticks(range(0, len(columns), every), columns[::every], rotation=60, ha="right")
        axes.set_yticks(range(0, len(shares), every), names[::every])
        axes.set(xlabel="share of the first 20", ylabel="query", title=f"{name}, {scores.usual}")
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
