# SPDX-License-Identifier: MIT
"""The command that shows an index as a page in a browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from semcbir.cli.console import command, note
from semcbir.cli.options import Target, integer_option, usage
from semcbir.cli.outputs import parse_folder
from semcbir.errors import SemcbirError

MIN_TOKEN = 16


@command
def browse(
    target: Target,
    port: Annotated[int, integer_option("--port", 0, 65535, "The port; 0: any that is free.")] = 8427,
    host: Annotated[
        str, typer.Option(help="The address to serve; others than this machine's own need --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help=f"What who opens the page has to know, {MIN_TOKEN} characters or more; new: a random one.",
            show_default=False,
        ),
    ] = None,
    copy: Annotated[
        Path | None,
        typer.Option(
            parser=usage(parse_folder),
            metavar="DIR",
            help="A folder into which photos that are chosen on the page can be copied.",
            show_default=False,
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in a browser.")] = False,
) -> NoReturn:
    """Open a page on an index, or on a folder of photos, in a browser.

    A folder is indexed first, and what is read already can be searched meanwhile. Nothing leaves this
    machine. Ctrl-C ends it.
    """
    try:
        from semcbir.web.safety import is_loopback
        from semcbir.web.serve import NEW, require_photos, serve
    except ModuleNotFoundError as error:
        lacking = (error.name or "").split(".")[0]
        if lacking not in (
            "starlette",
            "uvicorn",
            "jinja2",
            "anyio",
            "python_multipart",
            "h11",
        ):
            raise
        raise SemcbirError(
            f'the page needs the extra web: pip install "semcbir[web]" ({lacking} is missing)'
        ) from None
    if token is not None and token != NEW and len(token) < MIN_TOKEN:
        raise typer.BadParameter(f"expected {MIN_TOKEN} characters or more", param_hint="--token")
    if token is None and not is_loopback(host):
        raise typer.BadParameter(
            f"{host} can be reached from other machines, so the page needs --token (--token new makes one)",
            param_hint="--host",
        )
    require_photos(target)

    def ready(place: str) -> None:
        note(f"{place} (Ctrl-C ends it)")
        if not no_open:
            import webbrowser

            webbrowser.open(place)

    serve(target, host, port, token, ready, copy)
    # A thread may still be at an answer that nobody waits for any more, and Python would wait for it.
    sys.stderr.flush()
    os._exit(0)
