# SPDX-License-Identifier: MIT
"""Output options: in which form hits are written, and what else is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from semcbir._files import display_path, expanded
from semcbir.cli.options import parse_picture, usage
from semcbir.cli.pictures import check_terminal
from semcbir.cli.saving import check_place


def parse_folder(text: str) -> Path:
    """Parse the name of a folder to write into, which need not be there."""
    if not text:
        raise ValueError("expected a folder, got ''")
    folder = Path(expanded(text))  # A shell leaves the "~" of --copy=~/hits as it is.
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected a folder, got the file {display_path(folder)}")
    return folder


Sheet = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        parser=usage(parse_picture),
        metavar="PICTURE",
        help="Save query and hits as a contact sheet.",
        show_default=False,
    ),
]
FoundSheet = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        parser=usage(parse_picture),
        metavar="PICTURE",
        help="Save the photos as a contact sheet.",
        show_default=False,
    ),
]
Paths = Annotated[bool, typer.Option("--paths", help="Write the hits' paths alone, one a line.")]
Null = Annotated[
    bool, typer.Option("-0", "--null", help="The same, each path ended by a NUL byte (for xargs -0).")
]
Csv = Annotated[bool, typer.Option("--csv", help="Write CSV to stdout.")]
Terminal = Annotated[
    bool,
    typer.Option("--terminal", help="Show small pictures below the table, in a terminal that can."),
]
Copy = Annotated[
    Path | None,
    typer.Option(
        "--copy",
        parser=usage(parse_folder),
        metavar="DIR",
        help="Copy the hits' photos into a folder, as 001_NAME and so on.",
        show_default=False,
    ),
]
Link = Annotated[
    Path | None,
    typer.Option(
        "--link",
        parser=usage(parse_folder),
        metavar="DIR",
        help="The same with symbolic links.",
        show_default=False,
    ),
]
Open = Annotated[
    bool,
    typer.Option("--open", help="Open the sheet, or else the first photo found, in the system's viewer."),
]


@dataclass(frozen=True)
class Outputs:
    """What is written of the hits, and what else is made of them; all by the options of these names."""

    as_json: bool = False
    paths: bool = False
    null: bool = False
    as_csv: bool = False
    terminal: bool = False
    sheet: Path | None = None
    copy: Path | None = None
    link: Path | None = None
    show: bool = False

    def check(self, queries: int = 1) -> None:
        """Refuse what cannot be done, before any work.

        Raises a usage error for options that exclude each other or need a single query, ValueError for a
        sheet that would replace something, SemcbirError for a library that is missing.
        """
        forms = {
            "--json": self.as_json,
            "--paths": self.paths and not self.null,
            "-0": self.null,
            "--csv": self.as_csv,
            "--terminal": self.terminal,
        }
        _alone(forms)
        _alone({"--copy": self.copy, "--link": self.link})
        if queries > 1:
            single = {"--paths": forms["--paths"], "-0": self.null, "--sheet": self.sheet}
            single |= {"--copy": self.copy, "--link": self.link, "--open": self.show}
            for option in (name for name, given in single.items() if given):
                raise typer.BadParameter(
                    f"expected a single query, got {queries} queries; --csv and --json tell queries apart",
                    param_hint=option,
                )
        check_place("--sheet", self.sheet)
        if self.terminal:
            check_terminal()


def _alone(options: Mapping[str, object]) -> None:
    """Raise a usage error unless at most one of ``options`` is given."""
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        among = ", ".join(options)
        raise typer.BadParameter(f"expected one of {among}, got {' and '.join(given)}", param_hint=given[1])
