# SPDX-License-Identifier: MIT
"""Small pictures of the hits in a terminal that can show them, by the library textual-image."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcbir._files import display_path
from semcbir.errors import SemcbirError

if TYPE_CHECKING:
    from rich.console import Console

    from semcbir.results import Results

_CELLS = (22, 7)
"""The most columns and lines of a picture; a cell is about twice as high as wide."""
_BOX = (220, 140)


def check_terminal() -> None:
    """Raise SemcbirError, which says what to install, if only the library is missing to show pictures."""
    if _is_terminal() and importlib.util.find_spec("textual_image") is None:
        raise SemcbirError(
            "--terminal shows pictures with textual-image, which is not installed: "
            'pip install "semcbir[terminal]"'
        )


def _is_terminal() -> bool:
    # The library asks the terminal what it can, and reads the answer from standard input.
    return sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM") != "dumb"


def show_pictures(query: Path | None, results: Results) -> None:
    """Show the query and the hits, with rank and name; nothing where the terminal cannot show pictures."""
    if not _is_terminal():
        return
    sys.stdout.flush()  # the library writes to the terminal past it
    try:
        from textual_image import renderable
    except Exception:  # a terminal that answers otherwise than expected; the table has been printed
        return
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    plain = console.color_system is None or console.no_color
    if plain and renderable.Image is renderable.HalfcellImage:  # it is made of colours
        return
    _print(console, renderable.Image, query, results)


def _print(console: Console, image: Any, query: Path | None, results: Results) -> None:
    from rich.table import Table
    from rich.text import Text

    from semcbir.results import MAX_HITS

    across = max(1, (console.width + 2) // (_CELLS[0] + 2))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(across):
        grid.add_column(width=_CELLS[0], no_wrap=True)
    tiles = [("query", query, "bold")] if query else []
    tiles += [(str(hit.rank), hit.path, "dim" if hit.penalized else "") for hit in results[:MAX_HITS]]
    for first in range(0, len(tiles), across):
        row = tiles[first : first + across]
        grid.add_row(*(_picture(image, path) for _, path, _ in row))
        captions = ((f"{said} {display_path(path.name)}", style) for said, path, style in row)
        grid.add_row(*(Text(caption, style, overflow="ellipsis") for caption, style in captions))
    with suppress(ArithmeticError, OSError, ValueError):  # a terminal of no width, one that is closed
        console.print(grid)


def _picture(image: Any, path: Path) -> Any:
    from semcbir.pictures.draw import placeholder, thumbnail

    photo = thumbnail(path, _BOX) or placeholder(_BOX)
    return image(photo, width=max(1, round(photo.width * _CELLS[0] / _BOX[0])), height="auto")
