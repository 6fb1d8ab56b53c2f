# SPDX-License-Identifier: MIT
"""The command that finds photos by words: the classes that they show."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import display_path
from semcbir.cli.asking import Conditions, Without, joined
from semcbir.cli.console import command, note
from semcbir.cli.copies import make_copies, plan_copies
from semcbir.cli.hits import write_paths
from semcbir.cli.options import Json, SameHits, Target, Threads, integer_option
from semcbir.cli.outputs import Copy, Csv, FoundSheet, Link, Null, Open, Outputs, Paths
from semcbir.cli.saving import save_picture
from semcbir.cli.table import shown_paths
from semcbir.cli.targets import ready_index
from semcbir.cli.text import write_json
from semcbir.cli.usage import OtherCommand
from semcbir.errors import SemcbirError
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.runtime import DEVICES
from semcbir.viewer import open_picture
from semcbir.words import Words, check_words, parse_words

if TYPE_CHECKING:
    from semcbir.finding import FoundImages


@command
def find(
    target: Target,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS",
            help="Classes and groups to show (sea, animal); with a minus in the same quotes before those to "
            'leave out ("sea -person"); with the share that they should have (sky:40%). Names of two words '
            "are joined by _.",
        ),
    ],
    k: Annotated[int, integer_option("-k", 1, 2**31 - 1, "How many photos on a page.")] = 20,
    top: SameHits = None,
    page: Annotated[int, integer_option("--page", 1, 2**31 - 1, "Which page.")] = 1,
    without: Without = None,
    where: Conditions = None,
    threads: Threads = None,
    paths: Paths = False,
    null: Null = False,
    as_csv: Csv = False,
    as_json: Json = False,
    copy: Copy = None,
    link: Link = None,
    sheet: FoundSheet = None,
    show: Open = False,
) -> int:
    """Find photos by what they show, in words.

    Best first: those nearest to the shares that are asked for, then those of which the least of the other
    classes is largest. A photo has to show at least 2 % of each, and at most 1 % of what is left out.
    """
    asked = _parsed(words, target)
    outputs = Outputs(as_json, paths, null, as_csv, sheet=sheet, copy=copy, link=link, show=show)
    outputs.check()
    from semcbir.finding import find as found_in

    opened, _, code = ready_index(target, None, None, None, None, DEVICES[0], threads, MAX_PIXELS)
    asked.without.extend(joined(without) or ())
    check_words(asked, opened.classes)
    found = found_in(
        opened, asked.only, asked.without, asked.shares, top or k, page, where=where, threads=threads
    )
    if page > found.pages:
        raise typer.BadParameter(
            f"expected an integer from 1 to {found.pages}, got {page}", param_hint="--page"
        )
    option, folder = ("--link", link) if link else ("--copy", copy)
    plan = plan_copies(option, folder, found) if folder else ()
    _write(found, asked, outputs, opened.roots)
    if not found.total:
        place = display_path(target)
        note(f"no photo in {place} shows that" if len(opened) else f"there are no photos in {place}")
    else:
        note(f"page {found.page} of {found.pages}, {found.total} of {len(opened)} photos")
    if folder:
        code = make_copies(folder, plan, link=folder == link) or code
    if sheet:
        from semcbir.pictures.found import found_sheet

        save_picture(found_sheet(found, _title(asked)), sheet)
    if show:
        if not (sheet or found):
            raise SemcbirError("--open: there is no photo to open")
        open_picture(sheet or found[0].path)
    return code


def _parsed(words: Sequence[str], target: Path) -> Words:
    """Parse the words. Raises a usage error, too if they and the index are the wrong way round."""
    try:
        asked = parse_words(words)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="WORDS") from None
    if not target.exists() and Path(words[-1]).is_dir():
        line = shlex.join(["semcbir", "find", words[-1], " ".join([str(target), *words[:-1]])])
        what = f"expected words, got a folder; did you mean: {display_path(line)}?"
        raise OtherCommand(what, param_hint="WORDS")
    return asked


def _title(asked: Words) -> str:
    """Return what was asked for, in words."""
    shown = [*asked.only, *(f"{name} {share:.0%}" for name, share in asked.shares.items())]
    words = f"photos that show {', '.join(shown)}" if shown else "photos"
    return f"{words}, without {', '.join(asked.without)}" if asked.without else words


def _write(found: FoundImages, asked: Words, outputs: Outputs, roots: Sequence[Path]) -> None:
    if outputs.as_json:
        write_json(found_values(found, asked))
    elif outputs.as_csv:
        names = [*asked.only, *asked.shares]
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(["rank", "id", "path", *names])
        rows.writerows([one.rank, one.id, one.path, *(one.shares[name] for name in names)] for one in found)
    elif outputs.paths or outputs.null:
        write_paths(found, outputs)
    elif found:
        print(found_text(found, roots))


def found_values(found: FoundImages, asked: Words) -> dict[str, Any]:
    """Return a page of found photos as values that JSON can hold."""
    return {
        "only": asked.only,
        "without": asked.without,
        "shares": asked.shares,
        "total": found.total,
        "page": found.page,
        "pages": found.pages,
        "images": [
            {"rank": one.rank, "id": one.id, "path": one.path, "shares": dict(one.shares)} for one in found
        ],
    }


def found_text(found: FoundImages, roots: Sequence[Path]) -> str:
    """Return a line for each found photo: rank, id, how much of it each class is, path."""
    names = list(found[0].shares)
    widths = [max(len(name), 4) for name in names]
    said, paths = shown_paths([one.path for one in found], roots)
    wide = max([5, *(len(str(one.id)) for one in found)])
    head = "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{'rank':>4}  {'id':>{wide}}{head}  path{said}"]
    for one, path in zip(found, paths, strict=True):
        parts = zip(one.shares.values(), widths, strict=True)
        shares = "".join(f"  {share:>{width}.0%}" for share, width in parts)
        lines.append(f"{one.rank:>4}  {one.id:>{wide}}{shares}  {path}")
    return "\n".join(lines)
