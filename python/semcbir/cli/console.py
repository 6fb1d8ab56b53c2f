# SPDX-License-Identifier: MIT
"""What the commands print: notes, errors and warnings go to stderr, results to stdout."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ParamSpec, get_type_hints

import typer
from typer.models import OptionInfo

from semcbir._files import display_path
from semcbir._streams import make_output_safe
from semcbir.cli.brief import collect_from_now_on
from semcbir.cli.interrupts import INTERRUPTED, interrupted, raise_from_now_on, what_is_left
from semcbir.errors import SemcbirError

P = ParamSpec("P")

ERROR, SKIPPED = 1, 3


def set_up() -> None:
    """Make output safe, and each warning one line."""
    make_output_safe()
    # Pillow's warnings about photos that it can read (a broken EXIF block, say) help nobody here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = lambda message, *_rest, **_more: note(f"warning: {message}")


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Turn errors into one line on stderr, and the function's result (None: 0) into the exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            raise_from_now_on()
            collect_from_now_on()
            code = function(*args, **kwargs) or 0
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or interrupted():
                note(what_is_left())
                code = INTERRUPTED
            elif isinstance(error, ValueError):
                code = _failed(ValueError(_as_option(str(error), function)))
            elif isinstance(error, (SemcbirError, OSError, MemoryError)):
                code = _failed(error)
            else:
                raise
        raise typer.Exit(code)

    return run


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors outside a command, in its options or its last output, into one line and the exit code."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (SemcbirError, OSError, MemoryError) as error:
        raise SystemExit(_failed(error)) from None


def _failed(error: BaseException) -> int:
    note(f"error: {_message(error)}")
    return ERROR


def _as_option(said: str, command: Callable[..., object]) -> str:
    """Return an error about a Python argument as one about the option of ``command`` that gave it."""
    name, colon, rest = said.partition(": ")
    for option in getattr(get_type_hints(command, include_extras=True).get(name), "__metadata__", ()):
        if isinstance(option, OptionInfo):
            flag = option.param_decls[0] if option.param_decls else f"--{name.replace('_', '-')}"
            return f"{flag}{colon}{rest}"
    return said


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{display_path(error.filename)}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return f"out of memory {error}".strip()
    return str(error) or type(error).__name__


def note(text: str) -> None:
    """Write ``text`` as one line to stderr."""
    line = display_path(re.sub(r"\s*\n\s*", " ", text.strip()))
    with suppress(OSError):
        print(f"semcbir: {line}", file=sys.stderr, flush=True)
