# SPDX-License-Identifier: MIT
"""The command that writes an index for other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from semcbir._validate import counted
from semcbir.cli.console import command
from semcbir.cli.options import Json, Place, choice_option, parse_feature, usage
from semcbir.cli.progress import RunMeter
from semcbir.cli.targets import open_index
from semcbir.cli.text import elapsed, write_json

_TARGETS = ("parquet", "pgvector", "qdrant")


@command
def export(
    source: Place,
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="A folder for Parquet; a connection string of PostgreSQL; http://HOST:PORT of Qdrant, or a "
            "folder for its embedded client.",
        ),
    ],
    to: Annotated[str, choice_option("--to", _TARGETS, "What to write.")],
    feature: Annotated[
        str | None,
        typer.Option(
            parser=usage(parse_feature),
            metavar="NAME",
            help="The feature whose signatures are written. Default: the index's first.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How the tables begin, or the collection's name. Default: semcbir.",
            show_default=False,
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an export that is there; nothing else ever is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write an index for other programs: Parquet, PostgreSQL, Qdrant.

    Each needs the extra of its name. docs/export.md describes the columns, and how to search them with the
    ids and order of semcbir. A password belongs into PGPASSWORD or QDRANT_API_KEY.
    """
    from semcbir.outside.exporting import checked_name, export_index

    try:
        checked_name(name, to)
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("name: "), param_hint="--name") from None
    opened = open_index(source)
    with RunMeter() as meter:
        done = export_index(opened, place, to, feature=feature, name=name, replace=replace, on_progress=meter)
    if as_json:
        write_json({"index": opened.path, **vars(done), "seconds": round(meter.seconds, 3)})
        return
    rows = f"{counted(done.images, 'image')}, {counted(done.rows, 'row')} of {done.feature}"
    print(f"{done.place}: {rows} in {elapsed(meter.seconds)}")
