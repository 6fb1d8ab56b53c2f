# SPDX-License-Identifier: MIT
"""Scores as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from semcbir.evaluation.measuring import MODES, Scores


def markdown(scores: Mapping[str, Scores], epsilon: float) -> str:
    """Return the figures of every feature, each under the name of its protocol and mode."""
    filters = dict.fromkeys(_filter_line(one, epsilon) for one in scores.values())
    return "\n\n".join(
        (
            _table("", ("ap", "ap@100", "paper"), scores, _mean),
            _table("query out / in", ("p@20", "p@100"), scores, _out_in),
            *filters,
        )
    )


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
        *([name, *(cell(one, *column) for column in columns)] for name, one in scores.items()),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _mean(scores: Scores, protocol: str, mode: str) -> str:
    return f"{scores.protocols[mode][protocol]:.3f}"


def _out_in(scores: Scores, protocol: str, mode: str) -> str:
    return f"{_mean(scores, protocol + ' out', mode)} / {_mean(scores, protocol + ' in', mode)}"


def _filter_line(scores: Scores, epsilon: float) -> str:
    return (
        f"The filter at {epsilon:g} keeps {scores.kept_pairs:.1%} of the pairs "
        f"and penalises {scores.penalised_relevant:.1%} of the relevant images."
    )
