# SPDX-License-Identifier: MIT
"""The table of hits: a line for each, and words where the penalised ones begin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._files import display_path

if TYPE_CHECKING:
    from semcbir.results import Results


def hits_table(results: Results, roots: Sequence[Path], below: str) -> str:
    """Return a line for each hit: rank, id, distance, histogram distance, filter if there is one, path.

    Paths are shown as ``shown_paths`` says it; the line ``below`` stands before the first penalised hit.
    """
    filtered = results.epsilon is not None or any(hit.penalized for hit in results)
    said, names = shown_paths([hit.path for hit in results], roots)
    wide = max([5, *(len(str(hit.id)) for hit in results)])
    verdict = f"{'filter':<9}  " if filtered else ""
    lines = [f"{'rank':>4}  {'id':>{wide}}  {'distance':>9}  {'histogram':>9}  {verdict}path{said}"]
    parted = False
    for hit, name in zip(results, names, strict=True):
        if hit.penalized and not parted:
            lines.append(display_path(below))
            parted = True
        if filtered:
            verdict = f"{'penalised' if hit.penalized else 'kept':<9}  "
        numbers = f"{hit.rank:>4}  {hit.id:>{wide}}  {hit.distance:>9.4f}  {hit.histogram_distance:>9.4f}"
        lines.append(f"{numbers}  {verdict}{name}")
    return "\n".join(lines)


def shown_paths(paths: Sequence[Path], roots: Sequence[Path]) -> tuple[str, list[str]]:
    """Return absolute ``paths`` as people read them, and what to say once about all of them.

    Below the current folder they are relative to it. Where none is, and all are in one of ``roots``, they are
    relative to that, which is said, if that is shorter; else they stay absolute.
    """
    whole = [os.fspath(path) for path in paths]
    here = _here()
    if here and any(path.startswith(here) for path in whole):
        return "", [display_path(_plain(path.removeprefix(here))) for path in whole]
    if len(whole) > 1:  # of a single one the root and the rest are longer than the path
        for root in sorted(map(os.fspath, roots), key=len, reverse=True):
            top = os.path.join(root, "")  # noqa: PTH118 - ends in the separator
            if all(path.startswith(top) for path in whole):
                return f" in {display_path(root)}", [display_path(path.removeprefix(top)) for path in whole]
    return "", [display_path(path) for path in whole]


def _here() -> str | None:
    """Return the current folder with a separator at its end; None if it is not there any more."""
    try:
        return os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
    except OSError:
        return None


def _plain(path: str) -> str:
    # A shell or a program would take these for a home folder and an option.
    return f".{os.sep}{path}" if path[:1] in ("~", "-") else path
