# SPDX-License-Identifier: MIT
"""The command that finds photos by words: the classes that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcbir._files import display_path
from semcbir.cli.asking import Conditions
from semcbir.cli.console import command, note
from semcbir.cli.options import Json, Target, Threads, integer_option, usage
from semcbir.cli.targets import ready_index
from semcbir.cli.text import write_json
from semcbir.cli.words import Words, parse_words
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.runtime import DEVICES

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
    page: Annotated[int, integer_option("--page", 1, 2**31 - 1, "Which page.")] = 1,
    where: Conditions = None,
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Find photos by what they show, in words.

    Best first: those nearest to the shares that are asked for, then those of which the least of the other
    classes is largest. A photo has to show at least 2 % of each, and at most 1 % of what is left out.
    """
    asked = usage(lambda _: parse_words(words))(words)
    from semcbir.finding import find as found_in

    opened, _, code = ready_index(target, None, None, None, None, DEVICES[0], threads, MAX_PIXELS)
    found = found_in(
        opened,
        asked.only,
        asked.without,
        asked.shares,
        k,
        page,
        where=where,
        threads=threads,
    )
    if as_json:
        write_json(found_values(found, asked))
    elif len(found):
        print(found_text(found))
    if not found.total:
        place = display_path(target)
        note(f"no photo in {place} shows that" if len(opened) else f"there are no photos in {place}")
    else:
        note(f"page {found.page} of {found.pages}, {found.total} of {len(opened)} photos")
    return code


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


def found_text(found: FoundImages) -> str:
    """Return a line for each found photo: rank, how much of it each class is, id, path."""
    names = list(found[0].shares) if len(found) else []
    widths = [max(len(name), 4) for name in names]
    head = "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"rank{head}  {'id':>7}  path"]
    for one in found:
        shares = "".join(
            f"  {one.shares[name]:>{width}.0%}" for name, width in zip(names, widths, strict=True)
        )
        lines.append(f"{one.rank:>4}{shares}  {one.id:>7}  {display_path(one.path)}")
    return "\n".join(lines)
