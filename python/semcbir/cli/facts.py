# SPDX-License-Identifier: MIT
"""Facts in two columns, names and values, wrapped to the width of a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

from semcbir._files import display_path

_NARROWEST = 40


def facts_text(facts: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs as lines; in a terminal, long values continue under their beginning."""
    wide = _width()
    return "\n".join(_fact(name, display_path(value), wide) for name, value in facts)


def _width() -> int | None:
    """Return the width of the terminal that is written to, None if it is none."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def _fact(name: str, value: str, wide: int | None) -> str:
    head = f"{name:<10}  "
    if wide is None:
        return head + value
    # Neither addresses nor names of files are broken.
    return textwrap.fill(
        value,
        wide,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
