# SPDX-License-Identifier: MIT
"""Scores as Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from semcbir._printable import printable
from semcbir._validate import counted
from semcbir.evaluation.finding import Found
from semcbir.evaluation.measuring import MODES, Scores
from semcbir.evaluation.statistics import CONFIDENCE

Cell = Callable[[Scores, str, str], str]


def markdown(scores: Mapping[str, Scores], epsilon: float) -> str:
    """Return the figures of every way, each under the name of its measure and mode.

    Those of a search by default are bold.
    """
    notes = _filter_lines(scores, epsilon)
    if any(one.default for one in scores.values()):
        notes["Bold: a search that is not told otherwise, with or without smoothing."] = None
    return "\n\n".join(
        (
            _table("", ("ap", "ap@100", "paper"), scores, _mean),
            _table("query out / in", ("p@20", "p@100"), scores, _out_in),
            _table("", ("r-precision", "ndcg", "11-point", "recall@100"), scores, _mean),
            *notes,
        )
    )


def interval_table(scores: Mapping[str, Scores]) -> str:
    """Return ``ap`` with its confidence interval over queries, for every way and mode."""
    lines = [[f"ap ({CONFIDENCE:.0%} interval)", *MODES]]
    for name, one in scores.items():
        low, high = one.intervals()
        cells = [
            f"{one.mean(mode, 'ap'):.3f} ({low[mode]['ap']:.3f} to {high[mode]['ap']:.3f})"
            if mode in low
            else ""
            for mode in MODES
        ]
        lines.append([name, *cells])
    return joined(lines)


def class_table(scores: Mapping[str, Scores], wanted: np.ndarray, class_names: Sequence[str]) -> str:
    """Return ``ap`` of the queries of each class, in the mode of a search by default.

    ``wanted`` int64 (q,) are the queries' classes.
    """
    asked = [label for label in range(len(class_names)) if (wanted == label).any()]
    lines = [["ap", *(class_names[label] for label in asked)]]
    for name, one in scores.items():
        mode = one.usual
        values = one.values[mode]["ap"]
        means = [f"{values[wanted == label].mean():.3f}" for label in asked]
        lines.append([name if len(one.values) == 1 else f"{name}, {mode}", *means])
    return joined(lines)


def file_name(way: str) -> str:
    """Return the name of a way as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", way).strip("-")


def copies_markdown(found: Mapping[str, Mapping[str, Found]]) -> str:
    """Return, for each feature and kind of copy, how often the original came first, and in the first ten."""
    kinds = list(next(iter(found.values())))
    lines = [["first / in ten", *kinds]]
    for feature, shares in found.items():
        lines.append([feature, *(f"{shares[kind].first:.2f} / {shares[kind].ten:.2f}" for kind in kinds)])
    return joined(lines)


def size_line(
    queries: int, images: int, distractors: int, lonely: int = 0, same: int = 0, disguised: int = 0
) -> str:
    """Return how much was searched, and what could not be asked."""
    text = f"{_queries(queries)} in a database of {counted(images, 'image')}"
    if distractors:
        text += f", {counted(distractors, 'distractor')} among them"
    if lonely:
        text += f"; left out: {_queries(lonely)} to which nothing is relevant"
    if same:
        text += f"; {counted(same, 'photo')} with the same bytes as another"
    if disguised:
        text += f", {counted(disguised, 'distractor')} with those of a photo that has a class"
    return text + "."


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count} queries"


def _table(corner: str, measures: Sequence[str], scores: Mapping[str, Scores], cell: Cell) -> str:
    """Return a row for each way and a column for each measure and mode."""
    columns = [(measure, mode) for measure in measures for mode in MODES]
    lines = [[corner, *(f"{measure} {mode}" for measure, mode in columns)]]
    lines += [[name, *(_marked(cell, one, *column) for column in columns)] for name, one in scores.items()]
    return joined(lines)


def joined(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its head."""
    rows = [[cell_text(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def cell_text(text: str) -> str:
    """Return ``text`` as a cell shows it, whatever characters a folder's name has."""
    return printable(text).replace("|", "\\|")


def _marked(cell: Cell, scores: Scores, measure: str, mode: str) -> str:
    if mode not in scores.values:
        return ""
    text = cell(scores, measure, mode)
    return f"**{text}**" if mode == scores.default else text


def _mean(scores: Scores, measure: str, mode: str) -> str:
    return f"{scores.mean(mode, measure):.3f}"


def _out_in(scores: Scores, measure: str, mode: str) -> str:
    return f"{_mean(scores, measure + ' out', mode)} / {_mean(scores, measure + ' in', mode)}"


def _filter_lines(scores: Mapping[str, Scores], epsilon: float) -> dict[str, None]:
    """Return what the filter does, once for all ways of which it does the same."""
    said: dict[str, list[str]] = {}
    for name, one in scores.items():
        if "last" in one.values:
            words = f"keeps {one.kept.mean():.1%} of the pairs and penalises {one.penalised.mean():.1%}"
            said.setdefault(words, []).append(name)
    every = len(said) == 1
    return {
        f"The filter at {epsilon:g} {words} of the relevant images"
        + ("." if every else f" ({'; '.join(map(printable, names))})."): None
        for words, names in said.items()
    }
