# SPDX-License-Identifier: MIT
"""Completion in a shell: setting it up, and answering a shell that asks."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperCommand

VARIABLE = "_SEMCBIR_COMPLETE"
"""Set by the shell that asks for completions."""
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_OF_CLASSES = ("only", "without", "weights")


def completing() -> bool:
    """Return whether this process only answers a shell that completes a command."""
    return VARIABLE in os.environ


class CompletesClasses(TyperCommand):
    """A command that completes the names of classes in its options of these."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if completing():
            from semcbir.cli.class_names import completer

            for parameter in self.params:
                if parameter.name in _OF_CLASSES:
                    complete: Any = completer(parameter.name)
                    parameter.shell_complete = complete  # type: ignore[method-assign]


def get_ready() -> None:
    """Prepare what the parsing library needs to answer a shell."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    from semcbir.cli.bash_words import join_words

    completion_init()
    if os.environ[VARIABLE] == "complete_bash":
        join_words()


def install(asked: bool) -> None:
    """Carry out ``--install-completion``."""
    if asked:
        from typer.completion import install as add  # type: ignore[attr-defined]

        from semcbir._files import display_path

        shell, place = add(_shell(), "semcbir", VARIABLE)
        print(f"completion for {shell} is in {display_path(place)}; it works in shells opened from now on")
        raise typer.Exit


def show(asked: bool) -> None:
    """Carry out ``--show-completion``."""
    if asked:
        from typer.completion import get_completion_script  # type: ignore[attr-defined]

        print(get_completion_script(prog_name="semcbir", complete_var=VARIABLE, shell=_shell()))
        raise typer.Exit


def _shell() -> str:
    """Return the shell that semcbir was called from, or else the user's own."""
    from semcbir._validate import listed

    try:
        from shellingham import detect_shell  # a dependency of typer

        name = str(detect_shell()[0])
    except Exception:  # not installed, or semcbir was started by something that is no shell
        name = os.path.basename(os.environ.get("SHELL", "")).lower()  # noqa: PTH119 - not a file to look at
    if name not in _SHELLS:
        raise typer.BadParameter(f"expected to be called from {listed(_SHELLS)}, got {name or 'no shell'!r}")
    return name
