# SPDX-License-Identifier: MIT
"""Wrong usage of the command line: one line on stderr and exit code 2, whatever the parsing library says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from semcbir.cli.completion import CompletesClasses, completing, get_ready
from semcbir.cli.console import note

USAGE = 2
"""Exit code of wrong usage."""

_UsageError: Any = typer.BadParameter.__bases__[0]


class MissingParameter(typer.BadParameter):
    """An argument that is needed with these options, and was not given."""


class OtherCommand(typer.BadParameter):
    """Wrong usage whose message ends in the command that is likely meant."""


class Command(CompletesClasses):
    """A command whose usage says what its arguments are, and that completes classes."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line. QUERY is a list only so that it may be left out."""
        pieces: list[str] = super().collect_usage_pieces(ctx)
        if not any(one.nargs == -1 and one.metavar == "QUERY" for one in self.params):
            return pieces
        # Older versions of typer write it as if it were needed.
        return ["[QUERY]" if piece.strip("[].") == "QUERY" else piece for piece in pieces]


class Commands(TyperGroup):
    """A group of commands whose usage errors are one line."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> Any:
        """Run the command that ``args`` (None: the process's arguments) name, and exit."""
        more["standalone_mode"] = False
        if completing():
            sys.exit(self._completions(args, prog_name, more))
        try:
            code = super().main(args, prog_name, **more)
        except _UsageError as error:
            _refuse(error)
        sys.exit(code if isinstance(code, int) else 0)

    def _completions(self, args: Sequence[str] | None, prog_name: str | None, more: dict[str, Any]) -> int:
        """Answer a shell; it shows nothing of what goes wrong, in the middle of a line."""
        try:
            get_ready()
            super().main(args, prog_name, **more)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        except Exception:
            return 1
        return 0


def _refuse(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        said = _words(error)
        seen = error.ctx is None or isinstance(error, OtherCommand)
        where = "" if seen else f"; see `{error.ctx.command_path} -h`"
        note(f"error: {said}{where}")
    sys.exit(USAGE)


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return " / ".join(parameter.opts)
    return str(parameter.metavar or parameter.name)


def _words(error: Any) -> str:
    """Say what is wrong with an argument or option, and which it is."""
    if not isinstance(error, typer.BadParameter):
        said = error.format_message().rstrip(".")
        if type(error).__name__ == "NoSuchOption" and error.ctx and error.ctx.info_name == "find":
            said += '; what is left out follows another word in the same quotes ("sea -person"), or --without'
        return f"{said[:1].lower()}{said[1:]}"
    name = error.param_hint or (_name(error.param) if error.param else "usage")
    name = (name if isinstance(name, str) else " / ".join(name)).replace("'", "")
    return f"{name} is missing" if type(error).__name__ == "MissingParameter" else f"{name}: {error.message}"
