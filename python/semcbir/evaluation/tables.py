# SPDX-License-Identifier: MIT
"""Scores as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from semcbir.evaluation.finding import Found
from semcbir.evaluation.measuring import MODES, Scores


def markdown(scores: Mapping[str, Scores], epsilon: float) -> str:
    """Return the figures of every feature, each under the name of its protocol and mode.

    Those of a search by default are bold.
    """
    notes = dict.fromkeys(_filter_line(one, epsilon) for one in scores.values())
    if any(one.default for one in scores.values()):
        notes["Bold: a search that is not told otherwise, with or without smoothing."] = None
    return "\n\n".join(
        (
            _table("", ("ap", "ap@100", "paper"), scores, _mean),
            _table("query out / in", ("p@20", "p@100"), scores, _out_in),
            *notes,
        )
    )


def copies_markdown(found: Mapping[str, Mapping[str, Found]]) -> str:
    """Return, for each feature and kind of copy, how often the original came first, and in the first ten."""
    kinds = list(next(iter(found.values())))
    lines = [["first / in ten", *kinds], ["---"] * (1 + len(kinds))]
    for feature, shares in found.items():
        lines.append([feature, *(f"{shares[kind].first:.2f} / {shares[kind].ten:.2f}" for kind in kinds)])
    return _joined(lines)


def _table(
    corner: str,
    protocols: Sequence[str],
    scores: Mapping[str, Scores],
    cell: Callable[[Scores, str, str], str],
) -> str:
    """Return a row for each feature and a column for each protocol and mode."""
    columns = [(protocol, mode) for protocol in protocols for mode in MODES]
    lines = [
        [corner, *(f"{protocol} {mode}" for protocol, mode in columns)],
        ["---"] * (1 + len(columns)),
        *([name, *(_marked(cell, one, *column) for column in columns)] for name, one in scores.items()),
    ]
    return _joined(lines)


def _joined(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _marked(cell: Callable[[Scores, str, str], str], scores: Scores, protocol: str, mode: str) -> str:
    text = cell(scores, protocol, mode)
    return f"**{text}**" if mode == scores.default else text


def _mean(scores: Scores, protocol: str, mode: str) -> str:
    return f"{scores.protocols[mode][protocol]:.3f}"


def _out_in(scores: Scores, protocol: str, mode: str) -> str:
    return f"{_mean(scores, protocol + ' out', mode)} / {_mean(scores, protocol + ' in', mode)}"


def _filter_line(scores: Scores, epsilon: float) -> str:
    return (
        f"The filter at {epsilon:g} keeps {scores.kept_pairs:.1%} of the pairs "
        f"and penalises {scores.penalised_relevant:.1%} of the relevant images."
    )
