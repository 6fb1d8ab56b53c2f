# SPDX-License-Identifier: MIT
"""The semantic filter in words: what it kept, why ranks jump, and what other options would do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from semcbir._validate import counted

if TYPE_CHECKING:
    from semcbir.results import Results

LARGEST = 2.0
"""The largest histogram distance there is."""


def asked_words(only: Sequence[str] | None) -> str:
    """Return what photos are asked to hold, such as "2 % of bus"; "" if nothing is."""
    if not only:
        return ""
    from semcbir.terms import MIN_SHARE

    return f"{MIN_SHARE:.0%} of ".replace("%", " %") + names_words(only)


def names_words(only: Sequence[str]) -> str:
    """Return names of classes as they are said; "=bus" is the class bus alone."""
    return ", ".join(name.removeprefix("=") for name in only)


def epsilon_note(epsilon: float | str | None) -> str | None:
    """Say that a threshold keeps everything, if it is so large."""
    if not isinstance(epsilon, float) or epsilon == math.inf or epsilon <= LARGEST:
        return None
    return (
        f"--epsilon {epsilon:g} keeps everything: {LARGEST:g} is the largest histogram distance there is; "
        "--epsilon none does the same"
    )


def kept_note(
    results: Results, images: int, only: Sequence[str] | None, keep: int | None, drop: bool
) -> str | None:
    """Say how many of all ``images`` the filter kept; None if there was none."""
    if only:
        also = "" if results.epsilon is None else " and pass the semantic filter"
        return f"{results.kept} of {images} images hold 2 % or more of {names_words(only)}{also}"
    if results.epsilon is not None:
        came = f", whose epsilon came to {results.epsilon:.3g}" if keep else ""
        return f"{results.kept} of {images} images pass the semantic filter{came}"
    if drop:
        return "--drop leaves out what the semantic filter penalises, and there is none; --epsilon sets one"
    return None


def keep_note(results: Results, images: int, k: int, searched: Callable[[int], Results]) -> str | None:
    """Say what ``--keep`` would do where an epsilon keeps fewer photos than are wanted.

    ``searched`` does the search with this ``--keep``. None where there is nothing to say.
    """
    wanted = min(k, images)
    if results.epsilon is None or results.kept >= wanted:
        return None
    could = searched(wanted)
    if could.kept <= results.kept:  # it is not epsilon that keeps the others out
        return None
    bound = LARGEST if could.epsilon is None else could.epsilon
    return f"--keep {wanted} would let {counted(could.kept, 'image')} pass, with epsilon {bound:.3g}"
