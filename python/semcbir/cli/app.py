# SPDX-License-Identifier: MIT
"""The ``semcbir`` command as a whole: its commands in the order of the help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from semcbir._core import __version__
from semcbir.cli import browse, duplicates, evaluate, find, index, models, outside, search
from semcbir.cli.completion import install, show
from semcbir.cli.console import one_line_errors, set_up
from semcbir.cli.examples import ending
from semcbir.cli.usage import Command, Commands

_HELP = "Find photos by what is in them and how it looks."
_CODES = """\b
Exit codes:
  0    done
  1    error; one line on stderr says what is wrong (check: damage)
  2    wrong usage; one line on stderr says of which argument or option
  3    done, but images were skipped in this run, or folders were missing
  130  interrupted; committed work is kept, and the same command goes on
       from there"""

app = typer.Typer(
    cls=Commands,
    help=_HELP,
    epilog=f"{_CODES}\n\n{ending('')}",
    no_args_is_help=True,
    add_completion=False,  # its own options take 5 ms at every start
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    index.index,
    index.refresh,
    search.search,
    find.find,
    search.explain,
    duplicates.duplicates,
    browse.browse,
    index.remove,
    index.merge,
    outside.export,
    index.info,
    index.check,
    index.compact,
):
    app.command(cls=Command, epilog=ending(_command.__name__))(_command)
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")


def _version(asked: bool) -> None:
    if asked:
        print(f"semcbir {__version__}")
        raise typer.Exit


def _eager(flag: str, call: Callable[[bool], None], explained: str) -> Any:
    return typer.Option(flag, callback=call, is_eager=True, help=explained)


@app.callback()
def _semcbir(
    version: Annotated[bool, _eager("--version", _version, "Show the version and exit.")] = False,
    install_completion: Annotated[
        bool,
        _eager("--install-completion", install, "Let this shell complete commands, options and classes."),
    ] = False,
    show_completion: Annotated[
        bool, _eager("--show-completion", show, "Show what --install-completion would install.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    set_up()
    with one_line_errors():
        app(prog_name="semcbir")
